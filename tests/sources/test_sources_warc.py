import gzip
import itertools
import json
import random
import time
import tracemalloc
import zlib

import brotli
import pytest
import zstandard
from sources_reading import read

from corpuskit.core.keys import canonical
from corpuskit.core.registry import resolve
from corpuskit.sources.base import SourceFile
from corpuskit.sources.http import fields, parse


def http(body, content_type="text/html; charset=utf-8", status="200 OK", extra=""):
    return f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{extra}\r\n".encode() + body


def page(text):
    return f"<html><body><nav>menu menu</nav><main><h1>Title</h1><p>{text}</p></main></body></html>"


def record(kind, body, url="http://example.org/", extra=""):
    content_type = "application/http; msgtype=response" if kind == "response" else "text/plain"
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2024-05-01T00:00:00Z\r\n"
        f"WARC-Record-ID: <urn:uuid:{url}>\r\nContent-Type: {content_type}\r\n{extra}"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


def pages(count):
    return [
        record("response", http(page(f"This is page number {n}. " * 20).encode()), f"http://example.org/{n}")
        for n in range(count)
    ]


RECORDS = [
    record("warcinfo", b"software: test\r\n"),
    record("request", b"GET / HTTP/1.1\r\n\r\n"),
    record("response", http(page("Grüße aus Köln, liebe Leute.").encode(), extra="Content-Language: de\r\n")),
    record("response", http(b"gone", status="404 Not Found")),
    record("response", http(b"%PDF", "application/pdf")),
    record(
        "response",
        http(page("Grüße im alten Zeichensatz, schöne Wörter.").encode("cp1252"), "text/html; charset=iso-8859-1"),
    ),
    record(
        "response",
        http(zlib.compress(page("A packed body is unpacked here.").encode()), extra="Content-Encoding: deflate\r\n"),
    ),
    record("conversion", "Already plain text, ü.".encode(), extra="WARC-Identified-Content-Language: deu\r\n"),
    record("conversion", "schön, a bad ".encode() + b"\xff byte"),
]
PACKED = {
    "plain": b"".join(RECORDS),
    "members": b"".join(gzip.compress(r, mtime=0) for r in RECORDS),
    "one member": gzip.compress(b"".join(RECORDS), mtime=0),
    "zstd": b"".join(zstandard.compress(r) for r in RECORDS),
}


@pytest.mark.parametrize("packing", PACKED)
def test_each_kind_of_record_has_its_place(packing, tmp_path):
    path = tmp_path / "x.warc"
    path.write_bytes(PACKED[packing])
    found = read("warc", path)
    assert found.skipped == ["warcinfo record", "request record", "HTTP status 404", "not HTML"]
    assert found.bad == []
    german, old, packed, plain, damaged = found.documents
    assert "Grüße aus Köln" in german["text"]
    assert "menu" not in german["text"]
    assert (german["url"], german["date"], german["status"], german["content_language"]) == (
        "http://example.org/",
        "2024-05-01T00:00:00Z",
        200,
        "de",
    )
    assert german["record_id"] == "<urn:uuid:http://example.org/>"
    assert "schöne Wörter" in old["text"]
    assert "A packed body" in packed["text"]
    assert (plain["text"], plain["content_language"]) == ("Already plain text, ü.", "deu")
    assert damaged["text"] == "schön, a bad \ufffd byte"


def test_a_damaged_member_costs_its_record_alone(tmp_path):
    members = [gzip.compress(r, mtime=0) for r in pages(20)]
    for position in (5, 15, len(members[7]) // 2, len(members[7]) - 5):
        broken = bytearray(members[7])
        broken[position] ^= 0x55
        path = tmp_path / "x.warc.gz"
        path.write_bytes(b"".join([*members[:7], bytes(broken), *members[8:]]))
        found = read("warc", path)
        urls = [document["url"] for document in found.documents]
        lost = [n for n in range(20) if f"http://example.org/{n}" not in urls]
        assert lost in ([7], []), position  # a changed time stamp in the gzip header does no harm
        assert len(found.bad) == len(lost)
        assert all(f"byte {sum(map(len, members[:7]))}" in bad.reason for bad in found.bad)


def test_a_broken_header_in_a_plain_file_costs_its_record_alone(tmp_path):
    records = pages(6)
    records[2] = records[2].replace(b"Content-Length: ", b"Content-Length: x")
    records[4] = b"garbage\r\n\r\n"
    path = tmp_path / "x.warc"
    path.write_bytes(b"".join(records))
    found = read("warc", path)
    assert [document["url"][-1] for document in found.documents] == ["0", "1", "3", "5"]
    assert len(found.bad) == 2


def test_a_record_beyond_the_limit_is_passed_over(tmp_path):
    path = tmp_path / "x.warc.gz"
    big = record("response", http(page("x" * 200_000).encode()))
    path.write_bytes(b"".join(gzip.compress(r, mtime=0) for r in [pages(1)[0], big, pages(2)[1]]))
    found = read("warc", path, file=SourceFile(str(path), "x", max_doc_bytes=100_000))
    assert len(found.documents) == 2
    assert [bad.reason for bad in found.bad] == ["larger than max_doc_bytes (100,000 bytes)"]


def test_http_content_that_grows_beyond_the_limit_is_bad(tmp_path):
    path = tmp_path / "x.warc"
    bomb = http(gzip.compress(bytes(5_000_000)), extra="Content-Encoding: gzip\r\n")
    path.write_bytes(record("response", bomb))
    found = read("warc", path, file=SourceFile(str(path), "x", max_doc_bytes=100_000))
    assert "larger than max_doc_bytes" in found.bad[0].reason


WHOLE = page("The body of a page, which is told word by word. " * 200).encode()


def chunked(body, size=1000):
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def raw_deflate(body):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


PACKINGS = {
    "Content-Encoding: gzip": gzip.compress,
    "Content-Encoding: x-gzip": gzip.compress,
    "content-encoding:  GZIP ": gzip.compress,
    "Content-Encoding: deflate": zlib.compress,
    "Content-Encoding: Deflate": raw_deflate,
    "Content-Encoding: br": brotli.compress,
    "Content-Encoding: zstd": zstandard.compress,
    "Transfer-Encoding: chunked": chunked,
    "Transfer-Encoding: chunked\r\nContent-Encoding: gzip": lambda body: chunked(gzip.compress(body)),
    "Content-Encoding: gzip, br": lambda body: brotli.compress(gzip.compress(body)),
    "X-Nothing: said": gzip.compress,
}


def one(tmp_path, header, body):
    path = tmp_path / "x.warc"
    path.write_bytes(record("response", http(body, extra=f"{header}\r\n")))
    found = read("warc", path)
    assert found.bad == []
    return found.documents[0]


@pytest.mark.parametrize("header", PACKINGS)
def test_a_body_is_unpacked(header, tmp_path):
    whole = one(tmp_path, "X: y", WHOLE)
    found = one(tmp_path, header, PACKINGS[header](WHOLE))
    assert found["text"] == whole["text"]
    assert found["text"].count("word by word") == 200
    assert found["truncated"] is None


@pytest.mark.parametrize("header", [*PACKINGS, "Content-Encoding: none", "Content-Encoding: utf-8"])
def test_a_body_that_is_not_packed_as_its_header_says_is_taken_as_it_is(header, tmp_path):
    found = one(tmp_path, header, WHOLE)
    assert found["text"].count("word by word") == 200
    assert found["truncated"] is None


@pytest.mark.parametrize("header", PACKINGS)
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_of_a_body_that_breaks_off_the_beginning_is_kept_and_told(header, damage, tmp_path):
    chance = random.Random(1)
    text = " ".join(str(chance.random()) for _ in range(40_000))
    packed = PACKINGS[header](page(text).encode())
    broken = packed[: len(packed) // 2] + (b"" if damage == "cut" else b"\0\0\0\0\r\n" + packed[len(packed) // 2 + 6 :])
    found = one(tmp_path, header, broken)
    pairs = zip(found["text"].partition("\n\n")[2], text, strict=False)
    assert sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)) > 100_000
    assert found["truncated"] is not None or "X-N" in header or damage == "changed"


def test_fields_behind_the_chunks_cut_nothing():
    message = (
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x="y"\r\nwords\r\n0\r\nExpires: never\r\nX: y\r\n\r\n'
    )
    found = parse(message, 1000)
    assert (found.body, found.cut) == (b"words", None)


def test_a_header_of_many_folded_lines_is_joined_in_linear_time():
    begun = time.process_time()
    found = fields(["X: a", *[" b"] * 1_000_000, "x: of a second of that name", " and more", "Y: c", " d"])
    assert found == {"x": "a" + " b" * 1_000_000, "y": "c d"}
    assert time.process_time() - begun < 5  # twenty seconds, if each line is added to the whole


def test_many_members_and_what_cannot_be_packed_take_time_as_their_length_says():
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
    noise = random.Random(1).randbytes(40_000_000)
    begun = time.process_time()
    assert parse(head + gzip.compress(noise, 1), 1 << 30).body == noise
    assert parse(head + gzip.compress(b"a") * 200_000, 1 << 30).body == b"a" * 200_000
    assert time.process_time() - begun < 10  # half a minute, if what is left is copied at each step


def test_another_extractor_may_be_chosen(tmp_path):
    path = tmp_path / "x.warc"
    path.write_bytes(pages(1)[0])
    texts = [
        read("warc", path, extract=name).documents[0]["text"] for name in ("corpuskit", "resiliparse", "trafilatura")
    ]
    assert all("This is page number 0." in text and "menu" not in text for text in texts)
    source = resolve("warc", ("source",), tmp_path)
    keys = [
        source.fingerprint(source.validate({"extract": name})) for name in ("corpuskit", "resiliparse", "trafilatura")
    ]
    assert len({canonical(key) for key in keys}) == 3
    assert "trafilatura" in keys[2]["libraries"]
    assert "trafilatura" not in keys[0]["libraries"]


def test_what_the_crawler_cut_is_told(tmp_path):
    path = tmp_path / "x.warc"
    path.write_bytes(record("response", http(WHOLE), extra="WARC-Truncated: length\r\n"))
    assert read("warc", path).documents[0]["truncated"] == "length"


@pytest.mark.parametrize("header", ["Content-Encoding: br", "Content-Encoding: zstd", "Content-Encoding: deflate"])
def test_a_bomb_is_not_unpacked(header, tmp_path):
    path = tmp_path / "x.warc"
    path.write_bytes(record("response", http(PACKINGS[header](bytes(300 << 20)), extra=f"{header}\r\n")))
    tracemalloc.start()
    found = read("warc", path, file=SourceFile(str(path), "x", max_doc_bytes=100_000))
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()
    assert "larger than max_doc_bytes" in found.bad[0].reason


def test_arbitrary_damage_never_stops_or_crashes_reading(tmp_path):
    data = bytearray(b"".join(gzip.compress(r, mtime=0) for r in pages(12)))
    chance = random.Random(3)
    for _ in range(40):
        broken = bytearray(data)
        for _ in range(chance.randrange(1, 6)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        path = tmp_path / "x.warc.gz"
        path.write_bytes(broken)
        found = read("warc", path)
        assert found.error is None
        assert len(found.documents) >= 6
        assert len(found.documents) == 12 or found.bad or found.skipped


@pytest.mark.parametrize(
    ("name", "documents", "bad"), [("truncated", 273, 1), ("corrupt_record", 111, 2), ("whole_file_gzip", 22, 1)]
)
def test_damaged_crawls_lose_only_what_is_damaged(name, documents, bad, shared):
    found = read("warc", shared / f"adversarial/generated/{name}.warc.gz")
    assert (len(found.documents), len(found.bad), found.error) == (documents, bad, None)
    assert all("byte" in fault.reason + fault.where for fault in found.bad)
    assert len(found.skipped) == 1


def test_malformed_fixtures_are_read_as_far_as_they_go(shared):
    folder = shared / "commoncrawl/warc_fixtures"
    for path in sorted(folder.glob("*.arc*")):
        assert "ARC file" in str(read("warc", path).error)
    counts = {path.name: len(read("warc", path).documents) for path in sorted(folder.glob("*.warc*"))}
    assert {name for name, count in counts.items() if count} == {
        "example-bad-non-chunked.warc.gz", "example-bad.warc.gz.bad", "example-wget-bad-target-uri.warc.gz",
        "example-wrong-chunks.warc.gz", "example.warc", "example.warc.gz",
    }  # fmt: skip
    wget = read("warc", folder / "example-wget-bad-target-uri.warc.gz").documents[0]
    assert wget["url"].startswith("http")  # wget wrote it as <http...>
    assert len(read("warc", folder / "example-trunc.warc").bad) == 1


def test_a_real_crawl_record_and_its_conversion(shared):
    for name in ("whirlwind.warc", "whirlwind.warc.gz"):
        found = read("warc", shared / f"commoncrawl/{name}")
        assert found.skipped == ["warcinfo record", "request record", "metadata record"]
        assert found.documents[0]["url"] == "https://an.wikipedia.org/wiki/Escopete"
        assert "Escopete" in found.texts[0]
    assert len(read("warc", shared / "commoncrawl/whirlwind.warc.wet.gz").documents) == 1


def test_main_text_keeps_what_people_marked_as_content(shared):
    found = read("warc", shared / "commoncrawl/cc-licensed-pages-00000.warc.gz")
    texts = {document["url"]: " ".join(document["text"].split()) for document in found.documents}
    gold = (
        zstandard.ZstdDecompressor()
        .stream_reader((shared / "commoncrawl/cc_licensed_pages_gold_segments.jsonl.zst").read_bytes())
        .read()
    )
    wanted = kept = unwanted = leaked = 0
    for line in gold.splitlines():
        row = json.loads(line)
        wanted += len(row["must_contain"])
        kept += sum(" ".join(segment.split()) in texts[row["url"]] for segment in row["must_contain"])
        unwanted += len(row["must_not_contain"])
        leaked += sum(" ".join(segment.split()) in texts[row["url"]] for segment in row["must_not_contain"])
    assert len(texts) == 28
    assert kept / wanted > 0.95
    assert leaked / unwanted < 0.3


@pytest.mark.parametrize(
    ("name", "count"), [("apache-httpd-docs", 828), ("sqlite-org", 766), ("cc-licensed-pages", 28)]
)
def test_all_pages_of_the_crawls_have_text(name, count, shared):
    for suffix in ("warc", "warc.wet"):
        found = read("warc", shared / f"commoncrawl/{name}-00000.{suffix}.gz")
        assert (len(found.documents), found.bad) == (count, [])
        assert sum(bool(text.strip()) for text in found.texts) == count
