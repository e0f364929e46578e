import gzip
import html
import threading

import py7zr
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources_reading import read

from corpuskit.errors import UsageError
from corpuskit.sources.base import SourceFile
from corpuskit.sources.runs import SortedRuns
from corpuskit.sources.sevenzip import member

TABLE = pa.table({"text": ["one", None, "three ü"], "score": [1, 2, 3], "other": ["x", "y", "z"]})


def write(table, kind, path):
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=2)
    elif kind == "file":
        with pa.ipc.new_file(path, table.schema) as sink:
            sink.write_table(table)
    else:
        with pa.OSFile(str(path), "wb") as target, pa.ipc.new_stream(target, table.schema) as sink:
            sink.write_table(table)


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
def test_arrow_tables_are_read_with_the_columns_asked_for(kind, tmp_path):
    write(TABLE, kind, tmp_path / "x")
    found = read("parquet", tmp_path / "x", columns={"score": "float64"})
    assert found.documents == [{"text": "one", "score": 1.0}, {"text": "three ü", "score": 3.0}]
    assert [(bad.reason, bad.where) for bad in found.bad] == [("the text is null", "row 1")]


def test_faults_of_arrow_tables_are_named(tmp_path):
    bad = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0\4\0\0\0"), pa.py_buffer(b"ok\xff\xfe")]
    )
    write(pa.table({"text": bad}), "parquet", tmp_path / "utf8")
    found = read("parquet", tmp_path / "utf8")
    assert (found.texts, len(found.bad)) == (["ok"], 1)
    write(TABLE, "parquet", tmp_path / "x")
    with pytest.raises(UsageError, match=r"did you mean `text`"):
        read("parquet", tmp_path / "x", text="txt")
    with pytest.raises(UsageError, match=r"`other` is string and cannot become int64"):
        read("parquet", tmp_path / "x", columns={"other": "int64"})
    (tmp_path / "cut").write_bytes((tmp_path / "x").read_bytes()[:-20])
    assert "cut" in str(read("parquet", tmp_path / "cut").error)
    (tmp_path / "none").write_bytes(b"no such format")
    assert "neither Parquet nor Arrow" in str(read("parquet", tmp_path / "none").error)


def test_csv(tmp_path):
    data = 'url,text,score\nu1,"two\nlines, ""quoted""",1.5\nu2,short\nu3,bad \xff,2\n\nu4,word,x\nu5,last,\n'
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + data.encode("latin-1")))
    found = read("csv", path, columns={"score": "float64"})
    assert found.documents == [
        {"text": 'two\nlines, "quoted"', "score": 1.5, "meta": {"url": "u1"}},
        {"text": "last", "score": None, "meta": {"url": "u5"}},
    ]
    assert [(bad.where, bad.reason) for bad in found.bad] == [
        ("line 4", "2 cells, but the header names 3 columns"),
        ("line 5", "invalid UTF-8"),
        ("line 7", "`score` is 'x', not float64"),
    ]
    with pytest.raises(UsageError, match=r"names no column `body`"):
        read("csv", path, text="body")


def test_tab_separated_and_long_lines(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("text\ta\n" + "x" * 2000 + "\t1\nshort\t2\n")
    from corpuskit.sources.base import SourceFile

    found = read("csv", path, file=SourceFile(str(path), "x.tsv", max_doc_bytes=1000), delimiter="\t")
    assert found.texts == ["short"]
    assert [bad.reason for bad in found.bad] == ["larger than max_doc_bytes (1,000 bytes)"]


def escaped(value):
    return html.escape(str(value)).replace("\n", "&#xA;")  # as the dumps write it: a bare line end would be a space


def post(id, kind, body, **more):  # noqa: A002
    attributes = {
        "Id": id,
        "PostTypeId": kind,
        "Score": 0,
        "CreationDate": "2012-01-01T00:00:00.000",
        "Body": body,
        **more,
    }
    return "  <row " + " ".join(f'{name}="{escaped(value)}"' for name, value in attributes.items()) + " />\n"


POSTS = (
    '<?xml version="1.0" encoding="utf-8"?>\n<posts>\n'
    + post(5, 2, "<p>early answer</p>", ParentId=7, Score=1)
    + post(7, 1, "<p>Why?</p><pre><code>if x:\n    y = 1\n</code></pre>", Title="A & B", Tags="<a><b-c>", Score=3)
    + post(8, 2, "<p>best</p>", ParentId=7, Score=9)
    + post(9, 2, "<p>same score</p>", ParentId=7, Score=1, CreationDate="2019-01-01T00:00:00.000")
    + post(10, 2, "<p>lost</p>", ParentId=99)
    + post(11, 5, "wiki")
    + post(2, 1, "<p>alone</p>", Title="Q2", CreationDate="2010-01-01", Tags="|x|y|")
    + post(12, 77, "?")
    + "</posts>\n"
)


def test_a_question_stands_with_its_answers_by_score(tmp_path):
    folder = tmp_path / "beer.stackexchange.com"
    folder.mkdir()
    (folder / "Posts.xml").write_text(POSTS)
    found = read("stackexchange", folder / "Posts.xml")
    second, first = found.documents
    assert first["text"] == "A & B\n\nWhy?\n\nif x:\n    y = 1\n\nbest\n\nearly answer\n\nsame score"
    assert {key: first[key] for key in ("tags", "score", "answers", "license", "site", "url")} == {
        "tags": "a, b-c", "score": 3, "answers": 3, "license": "CC BY-SA 3.0; CC BY-SA 4.0",
        "site": "beer.stackexchange.com", "url": "https://beer.stackexchange.com/questions/7",
    }  # fmt: skip
    assert (second["text"], second["license"], second["tags"]) == ("Q2\n\nalone", "CC BY-SA 2.5", "x, y")
    assert sorted(found.skipped) == ["answer without its question", "post of an unknown type", "tag wiki"]


def test_a_cut_posts_file_gives_what_it_holds_then_an_error(tmp_path):
    (tmp_path / "Posts.xml").write_text(POSTS[: POSTS.index('  <row Id="9"') + 20])
    found = read("stackexchange", tmp_path / "Posts.xml")
    assert [document["answers"] for document in found.documents] == [2]
    assert "breaks at line" in str(found.error)
    (tmp_path / "Posts.xml").write_bytes(gzip.compress((tmp_path / "Posts.xml").read_bytes()))
    found = read("stackexchange", tmp_path / "Posts.xml")
    assert [document["answers"] for document in found.documents] == [2]
    assert "cut off at the end of the file" in found.skipped
    assert found.error is None


def seven(path, **members):
    with py7zr.SevenZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(content, f"{name}.xml")
    return path


def test_a_sites_archive_is_read_as_it_comes(tmp_path):
    path = seven(tmp_path / "beer.stackexchange.com.7z", Badges="<badges/>", Posts=POSTS, Votes="<votes/>")
    (tmp_path / "beer.stackexchange.com").mkdir()
    (tmp_path / "beer.stackexchange.com" / "Posts.xml").write_text(POSTS)
    found, plain = read("stackexchange", path), read("stackexchange", tmp_path / "beer.stackexchange.com" / "Posts.xml")
    assert found.documents == plain.documents
    assert found.skipped[:2] == ["table Badges.xml", "table Votes.xml"]
    large = read("stackexchange", seven(tmp_path / "stackoverflow.com-Posts.7z", Posts=POSTS))
    assert large.documents[0]["site"] == "stackoverflow.com"
    assert read("stackexchange", seven(tmp_path / "stackoverflow.com-Votes.7z", Votes="<votes/>")).skipped == [
        "table Votes.xml"
    ]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["beer.stackexchange.com"]


def test_an_archive_that_is_damaged_or_holds_no_posts(tmp_path):
    rows = "".join(post(n, 1, f"<p>{n} {'word ' * 50}</p>", Title=f"Q{n}") for n in range(3000))
    whole = seven(tmp_path / "a.example.7z", Posts=f"<posts>{rows}</posts>").read_bytes()
    assert len(read("stackexchange", tmp_path / "a.example.7z").documents) == 3000
    for place in (40, len(whole) // 2, len(whole) - 20):
        broken = bytearray(whole)
        broken[place] ^= 0xFF
        (tmp_path / "a.example.7z").write_bytes(broken)
        assert "a.example.7z: " in str(read("stackexchange", tmp_path / "a.example.7z").error), place
    (tmp_path / "a.example.7z").write_bytes(whole[: len(whole) // 2])
    assert "7z data damaged" in str(read("stackexchange", tmp_path / "a.example.7z").error)
    (tmp_path / "a.example.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(50))
    assert "a.example.7z: " in str(read("stackexchange", tmp_path / "a.example.7z").error)
    with py7zr.SevenZipFile(tmp_path / "b.7z", "w") as archive:
        archive.writestr("x", "readme.txt")
    assert "no Posts.xml among readme.txt" in str(read("stackexchange", tmp_path / "b.7z").error)
    with py7zr.SevenZipFile(tmp_path / "c.7z", "w", password="secret") as archive:
        archive.writestr(POSTS, "Posts.xml")
    assert "encrypted" in str(read("stackexchange", tmp_path / "c.7z").error)


def test_a_member_that_is_packed_tightly_comes_in_small_pieces(tmp_path):
    text = "<posts>" + " " * 40_000_000 + "</posts>"
    file = SourceFile(str(seven(tmp_path / "a.7z", Posts=text)), "a.7z")
    pieces = list(member(file, "Posts.xml"))
    assert b"".join(pieces) == text.encode()
    assert max(map(len, pieces)) <= 1 << 20


def test_a_reader_that_stops_leaves_no_thread(tmp_path):
    rows = "".join(post(n, 1, f"<p>{n} {'word ' * 2000}</p>", Title=f"Q{n}") for n in range(3000))
    file = SourceFile(str(seven(tmp_path / "a.7z", Posts=f"<posts>{rows}</posts>")), "a.7z")
    pieces = member(file, "Posts.xml")
    assert next(pieces).startswith(b"<posts>")
    pieces.close()
    assert "7z" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("damage", [b"\xff", b"\0", b"&#x1F;"])
def test_damaged_bytes_in_a_post_cost_no_other(damage, tmp_path):
    path = tmp_path / "Posts.xml"
    path.write_bytes(POSTS.encode().replace(b"best", b"be" + damage + b"st"))
    found = read("stackexchange", path)
    assert found.error is None
    assert [document["answers"] for document in found.documents] == [0, 3]
    assert "be\ufffdst" in found.texts[1]


@pytest.mark.parametrize(
    ("site", "questions"),
    [("beer.stackexchange.com", 663), ("coffee.stackexchange.com", 225), ("datascience.meta.stackexchange.com", 257)],
)
def test_real_sites(site, questions, shared):
    found = read("stackexchange", shared / f"stackexchange/{site}/Posts.xml.gz")
    assert (len(found.documents), found.bad, found.error) == (questions, [], None)
    assert {document["site"] for document in found.documents} == {site}
    again = read("stackexchange", shared / f"stackexchange/{site}/Posts.xml.gz")
    assert again.documents == found.documents


@given(keys=st.lists(st.integers(0, 10_000), unique=True, max_size=300), limit=st.sampled_from([1, 500, 5000, 1 << 20]))
def test_sorted_runs_sort_whatever_their_memory(keys, limit, tmp_path_factory):
    runs = SortedRuns(tmp_path_factory.mktemp("runs"), limit)
    for key in keys:
        runs.add((key,), f"payload {key}", 10)
    assert [key for (key,), _ in runs] == sorted(keys)
