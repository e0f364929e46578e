"""Stack Exchange dumps: a question with its answers is one document."""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from xml.parsers import expat

from corpuskit.core import step
from corpuskit.core.step import Bad, Skip
from corpuskit.errors import InputError
from corpuskit.sources.base import SourceFile
from corpuskit.sources.decompress import codec_of
from corpuskit.sources.lines import too_large
from corpuskit.sources.runs import Key, SortedRuns
from corpuskit.sources.xml import clean_xml

QUESTION, ANSWER = "1", "2"
_OTHER = {
    "3": "orphaned tag wiki",
    "4": "tag wiki excerpt",
    "5": "tag wiki",
    "6": "moderator nomination",
    "7": "wiki placeholder",
    "8": "privilege wiki",
}
_COLUMNS = {
    "title": "string",
    "tags": "string",
    "score": "int64",
    "license": "string",
    "answers": "int64",
    "site": "string",
    "url": "string",
    "date": "string",
}
# https://stackoverflow.com/help/licensing: content contributed before, between and from these days
_BEFORE_3, _BEFORE_4 = "2011-04-08", "2018-05-02"


@step.source(columns=_COLUMNS, version=3, extract=True)
def stackexchange(file: SourceFile) -> Iterator[dict[str, Any] | Bad | Skip]:
    """Read `Posts.xml`: plain, compressed, or in the 7z archive of a site, as the dumps come.

    Other tables of an archive are counted.

    One document a question: title, question, then answers by score (highest first, then by id); HTML becomes text with
    its paragraphs and code blocks. Posts of other kinds, and answers without their question, are counted. Posts are
    joined by a sort on disk, so that memory does not grow with the site. Bytes that are no UTF-8 and characters that
    XML does not allow become U+FFFD.

    `license` is CC BY-SA 2.5, 3.0 or 4.0 as the post says or by its date; several where the posts differ. `site` and
    `url` come from the name of the folder or of the archive.

    Raises:
        InputError: an archive without posts; a stream that is cut or damaged, XML that is not well formed, after the
            documents made of all posts before.
    """
    site = _site(file)
    with tempfile.TemporaryDirectory(prefix="corpuskit-posts-") as scratch:
        runs = SortedRuns(Path(scratch))
        error: InputError | None = None
        try:
            chunks, others = _table(file)
            yield from others
            for item in _posts(file, chunks):
                if isinstance(item, Bad | Skip):
                    yield item
                else:
                    key, post = item
                    runs.add(key, post, len(post["Body"]))
        except InputError as fault:
            error = fault
        yield from _joined(runs, site, file)
        if error is not None:
            raise error


def _table(file: SourceFile) -> tuple[Iterator[bytes], list[Skip]]:
    """The content of `Posts.xml`, and what else is in its archive."""
    with file.raw() as raw:
        packed = codec_of(raw.take(10)) == "7z"
    if not packed:
        return file.chunks(), []
    from corpuskit.sources.sevenzip import member, names

    listed = names(file)
    posts = next((name for name in listed if PurePosixPath(name).name.lower() == "posts.xml"), None)
    others = [Skip(f"table {PurePosixPath(name).name}") for name in listed if name != posts]
    if posts is None and all(PurePosixPath(name).suffix.lower() == ".xml" for name in listed):
        return iter(()), others  # an archive of another table of a large site
    if posts is None:
        raise file.damaged(f"no Posts.xml among {', '.join(listed[:5]) or 'its files, of which there are none'}")
    return member(file, posts), others


def _site(file: SourceFile) -> str | None:
    """The name of the folder, or of the archive, where it looks like one of a site."""
    archive = PurePosixPath(file.relative).name
    if archive.lower().endswith(".7z"):
        name = archive[:-3].rpartition("-")[0] or archive[:-3]  # stackoverflow.com-Posts.7z
        return name if "." in name else None
    folder = PurePosixPath(file.relative).parent.name or PurePosixPath(file.path).parent.name
    return folder if "." in folder else None


class _Rows:
    """The `<row>` elements of a posts file."""

    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = []
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EntityDeclHandler = self._entity

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "row":
            self.rows.append(attributes)

    def _entity(self, name: str, *_: Any) -> None:
        msg = f"the file declares the entity `{name}`, which no dump does"
        raise ValueError(msg)


def _posts(file: SourceFile, chunks: Iterator[bytes]) -> Iterator[tuple[Key, dict[str, str]] | Bad | Skip]:
    rows = _Rows()
    parser = rows.parser
    fed = 0
    for chunk, last in _with_last(clean_xml(chunks)):
        error = None
        try:
            for start in range(0, max(1, len(chunk)), 1 << 18):
                parser.Parse(chunk[start : start + (1 << 18)], last and start + (1 << 18) >= len(chunk))
        except (expat.ExpatError, ValueError) as fault:
            error = fault
        fed += len(chunk)
        for row in rows.rows:
            yield _post(row, file.max_doc_bytes)
        rows.rows.clear()
        if error is None and fed - max(0, parser.CurrentByteIndex) > 2 * file.max_doc_bytes + (1 << 20):
            error = ValueError(f"a row {too_large(file.max_doc_bytes)}")
        if error is not None:
            if fed == 0:
                return
            if last and file.compressed():  # the stream is whole: the file was cut before it was compressed
                yield Skip("cut off at the end of the file")
                return
            place = f"line {parser.CurrentLineNumber}, byte {max(0, parser.CurrentByteIndex)} of the unpacked file"
            raise file.damaged(f"the XML ends or breaks at {place}: {error}")


def _with_last(chunks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    for chunk in chunks:
        yield chunk, False
    yield b"", True


def _post(row: dict[str, str], limit: int) -> tuple[Key, dict[str, str]] | Bad | Skip:
    kind = row.get("PostTypeId", "")
    if kind not in (QUESTION, ANSWER):
        return Skip(_OTHER.get(kind, "post of an unknown type"))
    number = row.get("Id", "")
    where = f"post {number}"
    parent = number if kind == QUESTION else row.get("ParentId", "")
    score = row.get("Score", "0")
    if not (number.isdecimal() and parent.isdecimal() and score.removeprefix("-").isdecimal()):
        return Bad("Id, ParentId or Score is no number", where)
    body = row.get("Body", "")
    if len(body.encode()) > limit:
        return Bad(too_large(limit), where)
    names = ("Title", "Tags", "CreationDate", "ContentLicense")
    post = {name: row[name] for name in names if name in row} | {"Id": number, "Score": score, "Body": body}
    rank = (0, 0) if kind == QUESTION else (1, -int(score))
    return (int(parent), *rank, int(number)), post


def _joined(runs: SortedRuns, site: str | None, file: SourceFile) -> Iterator[dict[str, Any] | Bad | Skip]:
    """One document a question, by question id."""
    limit = file.max_doc_bytes
    for question, group in itertools.groupby(runs, key=lambda record: record[0][0]):
        posts: list[dict[str, str]] = []
        size = 0
        for key, post in group:
            if not posts and key[1] != 0:
                yield Skip("answer without its question")
                continue
            if posts and key[1] == 0:
                yield Bad("a second question with this id", f"question {question}")
                continue
            size += len(post["Body"].encode())
            if size <= limit or not posts:  # beyond that the answers are not held
                posts.append(post)
        if size > limit:
            yield Bad(too_large(limit), f"question {question}")
        elif posts:
            file.raw_record = [post["Body"] for post in posts]
            yield _document(posts, site)


def _document(posts: list[dict[str, str]], site: str | None) -> dict[str, Any]:
    from corpuskit.sources.main_text import all_text

    question, *answers = posts
    title = question.get("Title", "").strip()
    parts = [title, *(all_text(post["Body"]) for post in posts)]
    return {
        "text": "\n\n".join(part for part in parts if part),
        "title": title or None,
        "tags": ", ".join(re.findall(r"[^<>|]+", question.get("Tags", ""))),
        "score": int(question["Score"]),
        "license": "; ".join(sorted({_license(post) for post in posts})),
        "answers": len(answers),
        "site": site,
        "url": f"https://{site}/questions/{question['Id']}" if site else None,
        "date": question.get("CreationDate"),
    }


def _license(post: dict[str, str]) -> str:
    if said := post.get("ContentLicense"):
        return said
    date = post.get("CreationDate", "")
    return f"CC BY-SA {'2.5' if date < _BEFORE_3 else '3.0' if date < _BEFORE_4 else '4.0'}"
