"""Small dumps of the seven domains in the formats they come in, with copies and near copies planted across domains."""

import bz2
import gzip
import html
import io
import json
import random
import tarfile
from pathlib import Path

from tests.core.builder import text

EACH = 12
"""Documents of a domain that have nothing of each other."""

FILES = {
    "commoncrawl": ("warc", ["cc/*.warc.gz"]),
    "c4": ("jsonl", ["c4/*.json.gz"]),
    "github": ("code", ["github/*.tar.gz"]),
    "books": ("gutenberg", ["books/*/*.txt"]),
    "arxiv": ("arxiv", ["arxiv/*.tar"]),
    "wikipedia": ("wikipedia", ["*-pages-articles*.xml.bz2"]),
    "stackexchange": ("stackexchange", ["stackexchange/*/Posts.xml.gz"]),
}


def write(folder: Path) -> Path:
    """Write the dumps under a folder: of each domain `EACH` documents, of some also copies; one that is too short."""
    rng = random.Random(7)
    texts = {domain: [paragraphs(rng) for _ in range(EACH)] for domain in FILES}
    # exact and near copies of what other domains have; `keep` of the recipe says which domain loses its own
    texts["c4"] += [*texts["wikipedia"][:3], *(edited(rng, one) for one in texts["wikipedia"][3:6]), "Too short."]
    texts["commoncrawl"] += [edited(rng, one) for one in texts["c4"][:4]]
    texts["github"] += [edited(rng, one) for one in texts["stackexchange"][:2]]
    texts["books"] += [texts["arxiv"][0]]
    for domain, found in texts.items():
        WRITERS[domain](folder, found)
    return folder


def paragraphs(rng: random.Random) -> str:
    return "\n\n".join(text(rng, 60) for _ in range(3))


def edited(rng: random.Random, one: str) -> str:
    words = one.split(" ")
    words[rng.randrange(len(words))] = "edited"
    return " ".join(words)


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _commoncrawl(folder: Path, texts: list[str]) -> None:
    members = []
    for number, one in enumerate(texts):
        body = "".join(f"<p>{part}</p>" for part in one.split("\n\n"))
        page = f"<html><body><nav><a href=/>Home</a></nav><main><h1>Page</h1>{body}</main></body></html>".encode()
        http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page
        head = (
            f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://example.org/{number}\r\n"
            f"WARC-Date: 2024-05-01T00:00:00Z\r\nWARC-Record-ID: <urn:uuid:{number}>\r\n"
            f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
        )
        members.append(gzip.compress(head.encode() + http + b"\r\n\r\n", mtime=0))
    _put(folder / "cc" / "one.warc.gz", b"".join(members))


def _c4(folder: Path, texts: list[str]) -> None:
    half = len(texts) // 2
    for name, part in (("0", texts[:half]), ("1", texts[half:])):
        rows = "".join(json.dumps({"text": one, "url": f"https://{name}/{n}"}) + "\n" for n, one in enumerate(part))
        _put(folder / "c4" / f"{name}.json.gz", gzip.compress(rows.encode(), mtime=0))


def tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _github(folder: Path, texts: list[str]) -> None:
    # one word a line: as code, lines are short
    files = {f"repo/notes{n}.py": one.replace(" ", "\n").encode() for n, one in enumerate(texts)}
    _put(folder / "github" / "repo.tar.gz", gzip.compress(tar(files), mtime=0))


def _books(folder: Path, texts: list[str]) -> None:
    for number, one in enumerate(texts):
        book = (
            f"The Project Gutenberg EBook of Number {number}\n\nTitle: Number {number}\n\nAuthor: Nobody\n\n"
            f"*** START OF THE PROJECT GUTENBERG EBOOK NUMBER {number} ***\n\n{one}\n\n"
            f"*** END OF THE PROJECT GUTENBERG EBOOK NUMBER {number} ***\nlicence\n"
        )
        _put(folder / "books" / str(number) / f"{number}.txt", book.encode())


def _arxiv(folder: Path, texts: list[str]) -> None:
    papers = {
        f"0704/0704.{n:04d}.gz": gzip.compress(
            (r"\documentclass{article}" + "\n\\begin{document}\n" + one + "\n\\end{document}\n").encode(), mtime=0
        )
        for n, one in enumerate(texts, start=1)
    }
    _put(folder / "arxiv" / "papers.tar", tar(papers))


def _wikipedia(folder: Path, texts: list[str]) -> None:
    pages = "".join(
        f"<page><title>Page {n}</title><ns>0</ns><id>{n}</id><revision><id>9</id>"
        f"<text>{one} [[Category:Pages]]</text></revision></page>"
        for n, one in enumerate(texts, start=1)
    )
    redirect = '<page><title>Old</title><ns>0</ns><id>99</id><redirect title="Page 1"/></page>'
    head = (
        '<mediawiki xml:lang="en"><siteinfo><base>https://en.wikipedia.org/wiki/Main_Page</base><namespaces>'
        '<namespace key="14">Category</namespace></namespaces></siteinfo>'
    )
    dump = f"{head}{pages}{redirect}</mediawiki>".encode()
    streams = (bz2.compress(dump[at : at + 4000]) for at in range(0, len(dump), 4000))
    _put(folder / "enwiki-1-pages-articles1.xml.bz2", b"".join(streams))


def _stackexchange(folder: Path, texts: list[str]) -> None:
    rows = []
    for number, one in enumerate(texts, start=1):
        question, *answers = one.split("\n\n")
        for kind, body in enumerate((question, *answers)):
            about = (
                f'PostTypeId="1" Title="Question {number}"' if not kind else f'PostTypeId="2" ParentId="{10 * number}"'
            )
            escaped = html.escape(f"<p>{body}</p>")
            rows.append(f'<row Id="{10 * number + kind}" {about} Score="{9 - kind}" Body="{escaped}" />\n')
    posts = f'<?xml version="1.0" encoding="utf-8"?>\n<posts>\n{"".join(rows)}</posts>\n'
    _put(folder / "stackexchange" / "site" / "Posts.xml.gz", gzip.compress(posts.encode(), mtime=0))


WRITERS = {
    "commoncrawl": _commoncrawl,
    "c4": _c4,
    "github": _github,
    "books": _books,
    "arxiv": _arxiv,
    "wikipedia": _wikipedia,
    "stackexchange": _stackexchange,
}
