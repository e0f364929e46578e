import contextlib
import gzip
import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import fsspec
import pytest
from crawl import SCHEMA, Counted, crawl, index, row
from hypothesis import given
from hypothesis import strategies as st
from sources_reading import read
from test_sources_warc import http, page, record

from corpuskit.cli import main
from corpuskit.errors import CorpuskitError, UsageError
from corpuskit.sources import ranges
from corpuskit.sources.ranges import Range, RangedFiles, read_in_order

fsspec.register_implementation("counted", Counted, clobber=True)


@pytest.fixture
def small(tmp_path):
    """The folder of a crawl, its index and the rows of that."""
    rows = crawl(tmp_path / "cc")
    return tmp_path / "cc", index(tmp_path / "index/part.parquet", rows), rows


def placed(documents):
    return [(document["warc_filename"], document["warc_record_offset"]) for document in documents]


def test_a_language_is_read_as_warc_reads_it(small):
    base, path, rows = small
    found = read("commoncrawl_index", path, base=str(base), languages=["isl"])
    assert (found.bad, found.skipped, found.error) == ([], [], None)
    wanted = [(one["warc_filename"], one["warc_record_offset"]) for one in rows if one["content_languages"] == "isl"]
    assert placed(found.documents) == sorted(wanted)
    assert all("Þetta er síða" in text and "menu" not in text for text in found.texts)
    whole = [
        document
        for file in sorted(base.rglob("*.warc.gz"))
        for document in read("warc", file).documents
        if ".is/" in document["url"]
    ]
    given = {"warc_filename", "warc_record_offset"}
    assert [{key: one[key] for key in one.keys() - given} for one in found.documents] == whole


CONDITIONS = [
    ({}, 24),
    ({"languages": ["isl", "deu"]}, 16),
    ({"tlds": ["is", ".DE"]}, 16),
    ({"registered_domains": ["host0.is", "host1.de", "www.host2.com"]}, 4),
    ({"mime_types": ["text/html"]}, 24),
    ({"mime_types": ["application/pdf"]}, 0),
    ({"where": "url LIKE '%host1%' OR fetch_status <> 200"}, 6),
    ({"where": "crawl = 'CC-TEST' AND subset = 'warc'"}, 24),
    ({"where": "subset = 'robotstxt'"}, 0),
    ({"languages": ["isl"], "where": "warc_filename LIKE '%00001.warc.gz' -- of one file\n"}, 4),
    ({"where": "content_truncated = 'length'"}, 0),
]


@pytest.mark.parametrize(("conditions", "count"), CONDITIONS)
def test_all_conditions_must_hold(conditions, count, small, tmp_path):
    base, path, rows = small
    path = index(tmp_path / "crawl=CC-TEST/subset=warc/part.parquet", rows)
    found = read("commoncrawl_index", path, base=str(base), **conditions)
    assert (len(found.documents), found.bad, found.skipped) == (count, [], [])


def test_the_language_is_the_first_that_the_index_names(small, tmp_path):
    base, _, rows = small
    for one, languages in zip(rows, ["isl,eng", "eng,isl", None, "isl"], strict=False):
        one["content_languages"] = languages
    found = read("commoncrawl_index", index(tmp_path / "x", rows[:4]), base=str(base), languages=["isl"])
    assert sorted(one["url"] for one in found.documents) == [rows[0]["url"], rows[3]["url"]]


def test_only_the_ranges_are_read_and_near_ones_together(tmp_path):
    rows = crawl(tmp_path / "cc", files=2, pages=30, padding=50_000)
    path = index(tmp_path / "part.parquet", rows)
    base = f"counted://{tmp_path}/cc"
    with Counted.watched() as asked:
        found = read("commoncrawl_index", path, base=base, where="url LIKE '%host2.com/0' OR url LIKE '%host17.com/1'")
    chosen = [one for one in rows if one["url"] in {document["url"] for document in found.documents}]
    assert len(chosen) == 2
    assert sorted(end - start for _, start, end in asked) == sorted(one["warc_record_length"] for one in chosen)
    with Counted.watched() as asked:
        found = read("commoncrawl_index", path, base=base, languages=["isl"])
    assert (len(found.documents), len(asked)) == (20, 20)  # some 150 kB apart
    assert sum(end - start for _, start, end in asked) < 20_000
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.warc.gz")) > 3_000_000
    with Counted.watched() as asked:
        whole = read("commoncrawl_index", path, base=base)
    assert (len(whole.documents), len(asked)) == (60, 2)  # 50 kB apart: a request a file


def test_of_the_index_what_cannot_match_is_not_read(small, tmp_path):
    base, _, rows = small
    many = sorted(rows * 2000, key=lambda one: one["url_host_tld"])
    path = index(tmp_path / "big.parquet", many, row_group_size=1000, use_dictionary=False, compression="none")
    address = f"counted://{path}"
    with Counted.watched() as asked:
        found = read("commoncrawl_index", address, base=str(base), tlds=["no"])
    assert found.documents == []
    assert sum(end - start for _, start, end in asked) < path.stat().st_size / 20  # the directory at its end
    with Counted.watched() as asked:
        read("commoncrawl_index", address, base=str(base), tlds=["is"], where="url LIKE '%host0.is/1'")
    assert sum(end - start for _, start, end in asked) < path.stat().st_size / 2  # a third of the rows, some columns


def damages(base, rows):
    """Rows of which each has a fault of its own, with the reason, in the order of reading."""
    name = rows[0]["warc_filename"]
    warc = base / name
    at = warc.stat().st_size
    request = gzip.compress(record("request", b"GET / HTTP/1.1\r\n\r\n", "https://a.is/"))
    broken = bytearray(gzip.compress(record("response", http(page("lost " * 99).encode()), "https://b.is/")))
    broken[len(broken) // 2] ^= 0x55
    garbage = b"no WARC record at all"
    page_ = gzip.compress(record("response", http(page("one").encode()), "https://c.is/"))
    arc = gzip.compress(b"filedesc://x.arc 0.0.0.0 20240101000000 text/plain 9\n")
    gone = gzip.compress(record("response", http(b"gone", status="404 Not Found"), "https://d.is/"))
    cases = [
        (b"", 0, "https://nowhere.is/", "the index gives no byte range"),
        (request, len(request), "https://a.is/", "request record"),
        (bytes(broken), len(broken), "https://b.is/", "damaged gzip member"),
        (garbage, len(garbage), "https://b.is/", "no WARC header"),
        (bytes(50), 50, "https://b.is/", "no WARC header"),
        (b"\r\n" * 9, 18, "https://b.is/", "no WARC record"),
        (page_, len(page_), "https://other.is/", "the record is of https://c.is/, the index says https://other.is/"),
        (page_, len(page_) - 9, "https://c.is/", "damaged gzip member"),
        (page_ * 2, 2 * len(page_), "https://c.is/", "more than one WARC record"),
        (arc, len(arc), "https://c.is/", "an ARC file"),
        (gone, len(gone), "https://d.is/", "HTTP status 404"),
        (b"x", 2**31 - 1, "https://e.is/", "larger than max_doc_bytes"),
        (page_, len(page_) + 1000, "https://c.is/", "the file is cut"),
    ]
    made = []
    with warc.open("ab") as stream:
        for data, length, url, reason in cases:
            made.append((row(url, "isl", name, at, length), reason))
            stream.write(data)
            at += len(data)
    made.append((row("https://f.is/", "isl", name, at + 10**6, 500), "the file is cut: it has 0 of the 500 bytes"))
    made.append((row("https://g.is/", "isl", "no/such.warc.gz", 7, 500), f"there is no file {base}/no/such.warc.gz"))
    made.append((row("https://h.is/", "isl", None, None, None), "the index gives no byte range of https://h.is/"))
    return made


@pytest.mark.parametrize("protocol", ["", "counted://"])
def test_a_fault_costs_its_row_alone_and_is_named(protocol, small, tmp_path):
    base, _, rows = small
    wrong = damages(base, rows)
    path = index(tmp_path / "wrong.parquet", [*rows, *(one for one, _ in wrong)])
    found = read("commoncrawl_index", path, base=f"{protocol}{base}")
    assert (len(found.documents), found.error) == (24, None)
    skips = {"request record", "HTTP status 404"}
    assert set(found.skipped) == skips
    expected = [(one, reason) for one, reason in wrong if reason not in skips]
    assert len(found.bad) == len(expected)
    for bad, (one, reason) in zip(found.bad, expected, strict=True):
        assert reason.replace(f"{base}/", "") in bad.reason.replace(f"{protocol}{base}/", "")
        if one["warc_filename"] is not None:
            assert bad.where == f"{one['warc_filename']} at byte {one['warc_record_offset']}"


def test_an_url_may_be_escaped_otherwise_in_the_index(tmp_path):
    data = record("response", http(page("Sagan af Ægi. " * 9).encode()), "https://x.is/saga um æ")
    (tmp_path / "x.warc").write_bytes(b"\r\n" * 50 + data)  # not compressed
    rows = [row("https://x.is/saga%20um%20%C3%A6", "isl", "x.warc", 100, len(data))]
    found = read("commoncrawl_index", index(tmp_path / "x", rows), base=str(tmp_path))
    assert ("Sagan af Ægi." in found.texts[0], found.bad) == (True, [])


def test_a_connection_that_fails_is_tried_again(small, monkeypatch):
    base, path, _ = small
    monkeypatch.setattr(ranges, "WAITS", (0.01, 0.01))
    address = {"path": f"counted://{path}", "base": f"counted://{base}"}
    with Counted.watched(TimeoutError("slow"), ConnectionResetError("reset")):
        assert len(read("commoncrawl_index", address["path"], base=address["base"]).documents) == 24
    for where, other in (("path", "part.parquet"), ("base", "00000.warc.gz")):
        broken = {"path": str(path), "base": str(base)} | {where: address[where]}
        with (
            Counted.watched(*[ConnectionResetError("reset by peer")] * 9),
            pytest.raises(CorpuskitError, match=rf"{other}: cannot be read, 3 times.*reset by peer\n.*run again"),
        ):
            read("commoncrawl_index", broken["path"], base=broken["base"])
        with (
            Counted.watched(*[PermissionError("Forbidden")] * 9) as asked,
            pytest.raises(CorpuskitError, match=rf"{other}: access is refused: Forbidden\n.*credentials"),
        ):
            read("commoncrawl_index", broken["path"], base=broken["base"])
        assert len(asked) <= 2  # not again, and again


def test_what_is_wrong_with_the_index_is_said(small, tmp_path):
    base, path, rows = small
    with pytest.raises(UsageError, match=r"part.parquet: .*`content_lang` is no column here\n.*`content_languages`"):
        read("commoncrawl_index", path, base=str(base), where="content_lang = 'isl'")
    with pytest.raises(UsageError, match=r"gives int16, not true or false"):
        read("commoncrawl_index", path, base=str(base), where="fetch_status")
    with pytest.raises(UsageError, match=r"part.parquet: .*Could not convert.* column url\n  TRY_CAST"):
        read("commoncrawl_index", path, base=str(base), where="CAST(url AS INT) > 1")
    old = SCHEMA.remove(SCHEMA.get_field_index("content_languages"))
    path = index(tmp_path / "old.parquet", rows, old)
    assert len(read("commoncrawl_index", path, base=str(base), tlds=["is"]).documents) == 8
    with pytest.raises(UsageError, match=r"old.parquet: .* no column `content_languages`\n.*url_surtkey, url, "):
        read("commoncrawl_index", path, base=str(base), languages=["isl"])
    (tmp_path / "cut").write_bytes(path.read_bytes()[:-20])
    assert "cut: cannot be read as Parquet" in str(read("commoncrawl_index", tmp_path / "cut", base=str(base)).error)
    with pytest.raises(CorpuskitError, match="there is no such file"):
        read("commoncrawl_index", tmp_path / "none", base=str(base))


@given(
    cuts=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2000), st.integers(0, 300)), max_size=40),
    limits=st.sampled_from([(0, 1, 1), (64, 500, 700), (1 << 16, 1 << 20, 1 << 20)]),
)
def test_ranges_are_slices_in_order_however_they_are_put_together(cuts, limits):
    contents = [bytes((n * k) % 251 for k in range(1500)) for n in (1, 3)]
    files = fsspec.filesystem("memory")
    for number, content in enumerate(contents):
        files.pipe_file(f"/ranges/{number}", content)
    wanted = [Range(f"memory://ranges/{number}", start, length) for number, start, length in sorted(cuts)]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("GAP_BYTES", "REQUEST_BYTES", "HELD_BYTES"), limits, strict=True):
            patch.setattr(ranges, name, value)
        found = list(read_in_order(RangedFiles("memory://ranges"), wanted))
    assert [one for one, _ in found] == wanted
    for one, data in found:
        number = int(one.address[-1])
        if one.length and number == 2:
            assert data is None
        elif one.length:
            assert data == contents[number][one.start : one.end]


# -- recipes -------------------------------------------------------------------------------------------------------

RECIPE = """\
sources:
  web:
    read: commoncrawl_index
    path: {path}
    languages: [isl]
    base: {base}
    {more}
"""


def recipe(folder, path, base, more=""):
    (folder / "recipe.yaml").write_text(RECIPE.format(path=path, base=base, more=more))
    return str(folder / "recipe.yaml")


@pytest.mark.parametrize(
    ("base", "more", "said"),
    [
        ("cc", 'where: "fetch_status ="', ":7:12: `where`: `fetch_status =` does not parse"),
        ("cc", 'where: "count(*) > 1"', "`count_star` is an aggregate"),
        ("cc", 'where: "url IN (SELECT 1)"', "a subquery is not allowed"),
        ("cc", "tlds: is", ":7:11: `tlds` should be a list"),
        ("nowhere", "", ":6:11: there is no folder "),
    ],
)
def test_a_wrong_recipe_is_refused_before_anything_runs(base, more, said, small, tmp_path, capsys):
    assert main(["check", recipe(tmp_path, "index/*.parquet", base, more)]) == 2
    assert said in capsys.readouterr().err
    text = (tmp_path / "recipe.yaml").read_text()
    (tmp_path / "recipe.yaml").write_text(text.replace("[isl]", "[is]"))
    assert main(["check", str(tmp_path / "recipe.yaml")]) == 2
    assert "should be an ISO 639-3 code" in capsys.readouterr().err


def summary(root, capsys):
    sql = "SELECT url, warc_filename AS file, warc_record_offset AS at, text FROM corpus ORDER BY 2, 3"
    assert main(["stats", str(root), "--sql", sql, "--json"]) == 0
    return capsys.readouterr().out


def test_a_recipe_reads_a_language_and_goes_on_where_it_was(small, tmp_path, capsys):
    base, _, _ = small
    index(tmp_path / "index/wrong.parquet", [row("https://g.is/", "isl", "no/such.warc.gz", 7, 500)])
    path, root = recipe(tmp_path, "index/*.parquet", "cc"), tmp_path / "root"
    words = ["run", path, "--root", str(root), "--engine", "inline"]
    assert main(words) == 1
    assert "no/such.warc.gz at byte 7: there is no file" in capsys.readouterr().err
    assert main([*words, "--set", "sources.web.on_error=drop"]) == 0
    capsys.readouterr()
    found = summary(root, capsys)
    assert found.count('"text": "Title') == 8
    assert main([*words, "--set", "sources.web.on_error=drop"]) == 0
    assert "0 units run" in capsys.readouterr().out
    # another base is another thing to read: nothing of the files there is in the key
    base.rename(tmp_path / "moved")
    assert main([*words, "--set", "sources.web.on_error=drop", "--set", "sources.web.base=moved"]) == 0
    assert "0 units run" not in capsys.readouterr().out
    assert summary(root, capsys) == found


@pytest.fixture(scope="module")
def bucket():
    """A real server of S3's protocol on loopback with a bucket; the environment that reaches it."""
    pytest.importorskip("s3fs", reason="fsspec reads s3:// with s3fs")
    pytest.importorskip("moto", reason="the server of S3's protocol is moto's")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", url.rpartition(":")[2]]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(urllib.request.Request(f"{url}/crawl", method="PUT"), timeout=5).close()
                break
            time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait()


def test_index_and_pages_in_a_bucket(small, bucket, monkeypatch, tmp_path, capsys):
    base, _, rows = small
    for name, value in {"ENDPOINT_URL": bucket, "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    wrong = [one for one in damages(base, rows) if one[0]["warc_filename"] is not None]
    path = index(tmp_path / "wrong.parquet", [*rows, *(one for one, _ in wrong)])
    store = fsspec.filesystem("s3")
    for file in base.rglob("*.warc.gz"):
        store.put_file(str(file), f"crawl/data/{file.relative_to(base)}")
    store.put_file(str(path), "crawl/table/crawl=CC-TEST/subset=warc/part.parquet")
    here = read("commoncrawl_index", path, base=str(base))
    there = read("commoncrawl_index", "s3://crawl/table/crawl=CC-TEST/subset=warc/part.parquet", base="s3://crawl/data")
    assert (len(there.documents), there.documents, there.skipped) == (24, here.documents, here.skipped)
    local, remote = f"{base}/", "s3://crawl/data/"
    assert [(bad.reason.replace(remote, local), bad.where) for bad in there.bad] == [
        (bad.reason, bad.where) for bad in here.bad
    ]
    address = "s3://crawl/table/crawl=CC-TEST/subset=*/*.parquet"
    path = recipe(tmp_path, address, "s3://crawl/data/", "where: warc_record_length < 3000 AND url LIKE '%host%'")
    assert main(["run", path, "--root", str(tmp_path / "root"), "--engine", "inline"]) == 0
    capsys.readouterr()
    assert summary(tmp_path / "root", capsys).count('"url"') == 8


def test_the_recipe_of_unifiedcrawl(tmp_path, capsys, monkeypatch):
    rows = crawl(tmp_path / "cc")
    index(tmp_path / "index/crawl=CC-TEST/subset=warc/x.parquet", rows)
    monkeypatch.setenv("INDEX", f"{tmp_path}/index/*/*/*.parquet")
    monkeypatch.setenv("CRAWL", str(tmp_path / "cc"))
    monkeypatch.setenv("LANGUAGE", "isl")
    path = Path(__file__).parents[2] / "recipes" / "unifiedcrawl.yaml"
    assert main(["run", str(path), "--root", str(tmp_path / "root"), "--engine", "inline"]) == 0
    capsys.readouterr()
    assert main(["stats", str(tmp_path / "root"), "--sql", "SELECT text FROM corpus", "--json"]) == 0
    texts = [one["text"] for one in json.loads(capsys.readouterr().out)]
    assert 0 < len(texts) <= 8
    assert all("Þetta er síða" in text for text in texts)
