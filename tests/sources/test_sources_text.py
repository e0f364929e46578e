"""Folders of ordinary files: what becomes a document, in which encodings, and what is counted instead."""

import bz2
import gzip
import json
import lzma
import random
import shutil

import pyarrow.parquet as pq
import pytest
import zstandard
from sources_reading import read

from corpuskit.cli import main
from corpuskit.kernels.html import MOST_TAGS
from corpuskit.sources.base import SourceFile

SENTENCES = (
    "The river rises in the hills behind the village, and for most of the year it is no more than a stream.",
    "In spring, when the snow melts, it carries away whatever was left on its banks: boats, fences, a bridge.",
    "A gauge was put up in 1931; its book, kept in the school, has an entry for every morning since then.",
)
MENU = "".join(f'<li><a href="/{word}">{word}</a></li>' for word in ("Home", "Maps", "Walks", "Contact"))
PAGE = (
    '<!DOCTYPE html><html><head><title>River</title><meta charset="{}"></head>'
    f"<body><nav><ul>{MENU}</ul></nav><main><article><h1>Höhe des Flusses</h1>"
    + "".join(f"<p>{sentence}</p>" for sentence in SENTENCES)
    + "</article></main><footer><p>Copyright, all rights reserved.</p></footer></body></html>"
)
FRENCH = "Le matin, nous avons quitté la maison et marché jusqu'à la rivière ; « l'eau » était très froide — déjà !"
JAPANESE = "朝早く家を出て、川のほとりまで歩きました。子どもたちはもう集まっていて、犬と一緒に走り回っていました。"
BINARY = {
    "image": b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(4000),
    "zeros": bytes(5000),
    "one NUL": b"Some words, " * 900 + b"\0" + b"and more. " * 900,
    "no NUL": bytes(byte for byte in random.Random(2).randbytes(4000) if byte),
}


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.rst", "a.TXT", "README", ".hidden", "folder.d/a", "a.text.1"])
def test_a_file_is_a_document_as_it_is(name, tmp_path):
    (tmp_path / "x").write_bytes(b"  # One\r\n\r\n<p>two</p>\rthree \n")
    found = read("text", tmp_path / "x", name)
    assert found.documents == [{"text": "  # One\n\n<p>two</p>\nthree \n", "path": name}]
    assert found.file.raw_record == found.texts[0]


@pytest.mark.parametrize(
    ("text", "encoding", "mark"),
    [
        (FRENCH, "utf-8", b""),
        (FRENCH, "utf-8", b"\xef\xbb\xbf"),
        (FRENCH, "utf-16-le", b"\xff\xfe"),
        (FRENCH, "utf-16-be", b"\xfe\xff"),
        (SENTENCES[0], "utf-16-le", b""),
        (FRENCH, "cp1252", b""),
        (FRENCH.replace("—", ","), "latin-1", b""),
        (JAPANESE, "utf-16-be", b"\xfe\xff"),
        (JAPANESE, "shift_jis", b""),
    ],
)
def test_encodings_are_told_by_the_evidence(text, encoding, mark, tmp_path):
    (tmp_path / "a.txt").write_bytes(mark + text.encode(encoding))
    assert read("text", tmp_path / "a.txt").texts == [text]


def test_one_bad_byte_costs_one_letter(tmp_path):
    data = FRENCH.encode()
    (tmp_path / "a.txt").write_bytes(data[:50] + b"\xff" + data[50:])
    (found,) = read("text", tmp_path / "a.txt").texts
    assert found.replace("\ufffd", "") == FRENCH
    assert found.count("\ufffd") == 1


@pytest.mark.parametrize("extract", ["corpuskit", "resiliparse", "trafilatura"])
@pytest.mark.parametrize("name", ["a.html", "a.HTM", "a.xhtml.gz"])
def test_of_a_page_the_main_text_is_kept(name, extract, tmp_path):
    page = PAGE.format("iso-8859-1").encode("latin-1")
    (tmp_path / name).write_bytes(gzip.compress(page) if name.endswith("gz") else page)
    found = read("text", tmp_path / name, extract=extract)
    (document,) = found.documents
    assert all(part in document["text"] for part in ("Höhe des Flusses", *SENTENCES))
    assert not any(part in document["text"] for part in ("Walks", "rights reserved", "<p>"))
    assert document["path"] == name
    assert "<nav>" in found.file.raw_record


def test_a_page_in_a_file_of_text_stays_as_it_is(tmp_path):
    (tmp_path / "a.txt").write_text(PAGE, encoding="utf-8")
    assert read("text", tmp_path / "a.txt").texts == [PAGE]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", ["a.txt.packed", "a.txt"])
def test_compression_is_known_by_the_first_bytes(pack, name, tmp_path):
    (tmp_path / name).write_bytes(pack(FRENCH.encode()))
    assert read("text", tmp_path / name).texts == [FRENCH]


@pytest.mark.parametrize("ending", ["txt", "html"])
@pytest.mark.parametrize("kind", BINARY)
def test_binary_files_are_bad(kind, ending, tmp_path):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(BINARY[kind])
    found = read("text", path)
    assert (found.documents, found.skipped, found.error) == ([], [], None)
    assert [bad.reason.partition(" (")[0] for bad in found.bad] == ["binary, not text"]


def test_files_that_are_too_large_are_bad_as_are_pages_of_too_many_tags(tmp_path):
    for name, data in (("a.txt", b"word " * 300), ("b.html.gz", gzip.compress(bytes(50 << 20)))):
        (tmp_path / name).write_bytes(data)
        found = read("text", tmp_path / name, file=SourceFile(str(tmp_path / name), name, max_doc_bytes=1499))
        assert [bad.reason for bad in found.bad] == ["larger than max_doc_bytes (1,499 bytes)"]
    (tmp_path / "a.htm").write_text("<p>" * (MOST_TAGS + 1))
    assert [bad.reason for bad in read("text", tmp_path / "a.htm").bad] == ["more than 1,048,576 tags"]
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"word " * 3000, mtime=0)[:-9])
    assert "a.txt.gz: gzip data damaged" in str(read("text", tmp_path / "a.txt.gz").error)


RECIPE = """name: files
sources:
  notes: {{read: text, path: raw, on_error: {on_error}}}
steps:
  - clean_chars: {{}}
  - where: clean_chars >= 20
    name: too_short
"""


def build(folder, on_error="drop"):
    """Run the recipe on `folder/raw`; (exit code, documents by path)."""
    (folder / "files.yaml").write_text(RECIPE.format(on_error=on_error))
    code = main(["run", str(folder / "files.yaml"), "--root", str(folder / "root"), "--engine", "inline"])
    rows = pq.read_table(folder / "root/corpus").to_pylist() if code == 0 else []
    return code, {row["path"]: row for row in rows}


def test_a_folder_of_files_gives_a_corpus_whose_books_balance(tmp_path, capsys):
    raw = tmp_path / "raw"
    (raw / "site").mkdir(parents=True)
    for number in range(40):
        (raw / f"{number:02}.txt").write_text(f"Note number {number} tells of the river and of stone {number**2}.\n")
    (raw / "site/river.html").write_text(PAGE.format("utf-8"), encoding="utf-8")
    (raw / "site/nothing.htm").write_text("<html><body><script>x</script></body></html>")
    (raw / "french.txt.gz").write_bytes(gzip.compress(FRENCH.encode("cp1252")))
    (raw / "short.md").write_text("short")
    (raw / "empty.txt").write_bytes(b"")
    (raw / "image.png").write_bytes(BINARY["image"])

    assert build(tmp_path, "fail")[0] == 1
    said = capsys.readouterr().err
    assert f"{raw}/image.png: binary, not text" in said
    assert "on_error: drop" in said
    assert said.count("image.png") == 1

    code, documents = build(tmp_path)
    assert code == 0
    assert len(documents) == 42
    assert documents["french.txt.gz"]["text"] == FRENCH
    assert all(sentence in documents["site/river.html"]["text"] for sentence in SENTENCES)
    dropped = pq.read_table(tmp_path / "root/dropped").to_pylist()
    (reason,) = (row["reason"] for row in dropped if row["rule"] == "unreadable")
    assert reason.startswith("image.png: binary, not text")
    capsys.readouterr()
    assert main(["stats", str(tmp_path / "root"), "--json"]) == 0
    (books,) = json.loads(capsys.readouterr().out)["domains"]
    assert (books["read"], books["unreadable"], books["empty"], books["kept"]) == (46, 1, 2, 42)

    for name in ("00a.txt", "zz.txt", "site/a.html"):
        (raw / name).write_text(f"A file that was added, {name}, is one more document and moves no other one.")
    code, more = build(tmp_path)
    assert code == 0
    assert len(more) == 45
    assert {path: row["doc"] for path, row in more.items() if path in documents} == {
        path: row["doc"] for path, row in documents.items()
    }

    shutil.rmtree(tmp_path / "root")
    assert build(tmp_path) == (0, more)


def test_many_small_files_share_units(tmp_path, capsys):
    (tmp_path / "raw").mkdir()
    for number in range(300):
        (tmp_path / f"raw/{number}.txt").write_text(f"Note number {number} tells of the river and of its banks.")
    assert build(tmp_path)[0] == 0
    receipts = list((tmp_path / "root/stages").glob("read-notes-*/receipts/*.json"))
    assert 0 < len(receipts) < 10
