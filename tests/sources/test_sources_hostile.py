"""Input that was made to do harm: nothing reaches the disk, memory is bounded, good documents around it are kept."""

import gzip
import io
import json
import tarfile
import tracemalloc
import zipfile

import pytest
from sources_reading import read

from corpuskit.sources.base import SourceFile

LIMIT = 1 << 20
GOOD = "A book of some words.\n"
NAMES = ["../../out.txt", "a/../../b.txt", "C:\\x.txt", "good.txt"]


def tar(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zipped(*members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


@pytest.mark.parametrize("pack", [tar, zipped])
@pytest.mark.parametrize("reader", ["gutenberg", "code"])
def test_paths_that_lead_out_of_an_archive_are_names_and_nothing_more(pack, reader, tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    names = [*NAMES, f"{tmp_path}/absolute.txt"]
    (folder / "x").write_bytes(pack(*((name, f"{GOOD}{name}".encode()) for name in names)))
    found = read(reader, folder / "x")
    assert len(found.documents) + len(found.skipped) == len(names)
    assert any("good.txt" in text for text in found.texts)
    assert [path.name for path in tmp_path.rglob("*")] == ["raw", "x"]


def test_links_are_counted(tmp_path):
    (tmp_path / "x.tar").write_bytes(tar(("link.txt", None), ("good.txt", GOOD.encode())))
    for reader in ("gutenberg", "code"):
        found = read(reader, tmp_path / "x.tar")
        assert found.skipped == ["link"]
        assert len(found.documents) == 1


def test_archives_in_archives_are_counted_and_not_opened(tmp_path):
    inner = zipped(("bomb.txt", bytes(50 << 20)))
    (tmp_path / "x.tar").write_bytes(tar(("inner.zip", inner), ("inner.tar.gz", gzip.compress(tar(("a.txt", b"a"))))))
    for reader in ("gutenberg", "code"):
        found = read(reader, tmp_path / "x.tar")
        assert found.documents == []
        assert len(found.skipped) == 2


def test_members_that_grow_beyond_the_limit_are_bad_and_take_no_memory(tmp_path):
    (tmp_path / "x.zip").write_bytes(zipped(("bomb.txt", bytes(100 << 20)), ("good.txt", GOOD.encode())))
    papers = tar(("0001/a.gz", gzip.compress(bytes(100 << 20))), ("0001/b.gz", gzip.compress(b"\\section{x} words")))
    (tmp_path / "x.tar").write_bytes(papers)
    for reader, path in (("gutenberg", tmp_path / "x.zip"), ("arxiv", tmp_path / "x.tar")):
        read(reader, path)  # what is imported takes memory, too
        tracemalloc.start()
        found = read(reader, path, file=SourceFile(str(path), path.name, max_doc_bytes=LIMIT))
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
        tracemalloc.stop()
        assert ["larger than max_doc_bytes" in bad.reason for bad in found.bad] == [True]
        assert len(found.documents) == 1


ENTITIES = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>'
PAGE = "<page><title>{}</title><ns>0</ns><id>{}</id><revision><text>{}</text></revision></page>"


def test_xml_entities_are_an_error_and_read_no_file(tmp_path):
    (tmp_path / "x.xml").write_text(f"{ENTITIES}<mediawiki>{PAGE.format('T', 1, '&c; &b;')}</mediawiki>")
    (tmp_path / "Posts.xml").write_text(
        f'{ENTITIES}<posts><row Id="1" PostTypeId="1" Title="t" Body="&b;" CreationDate="2020-01-01"/></posts>'
    )
    for reader, name in (("wikipedia", "x.xml"), ("stackexchange", "Posts.xml")):
        found = read(reader, tmp_path / name)
        assert found.documents == []
        assert "entity" in str(found.error)


def test_deep_nesting_and_lone_surrogates_in_json(tmp_path):
    rows = ['{"text": "before"}', '{"text": "deep", "x": ' + "[" * 100_000 + "]" * 100_000 + "}"]
    rows += ['{"text": "lone \\ud800 surrogate"}', json.dumps({"text": "after"})]
    (tmp_path / "x.jsonl").write_text("\n".join(rows))
    found = read("jsonl", tmp_path / "x.jsonl")
    assert found.texts[0] == "before"
    assert found.texts[-1] == "after"
    assert len(found.documents) + len(found.bad) == 4
