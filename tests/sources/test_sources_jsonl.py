import itertools
import json
import tarfile

import jsonl_variants
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sources_reading import read

from corpuskit.sources.base import SourceFile
from corpuskit.sources.lines import lines
from corpuskit.step import Bad

GOOD_AND_WHOLE = [
    "control.jsonl.gz", "control.jsonl.zst", "trailing_zeros.jsonl.gz", "skippable_frame.jsonl.zst", "bom_crlf.jsonl",
    "two_members.jsonl.gz", "two_frames.jsonl.zst", "plain_named_gz.jsonl.gz", "gz_named_plain.jsonl",
    "window27_unknown_size.jsonl.zst", "no_final_newline.jsonl",
]  # fmt: skip


@pytest.fixture(scope="module", params=["own", "shared"])
def generated(request, tmp_path_factory):
    if request.param == "own":
        return jsonl_variants.write(tmp_path_factory.mktemp("variants"))
    return request.getfixturevalue("shared") / "adversarial/generated"


@pytest.fixture(scope="module")
def control(generated):
    return read("jsonl", generated / "control.jsonl.gz").documents


@pytest.mark.parametrize("name", GOOD_AND_WHOLE)
def test_every_sound_variant_gives_the_same_40_rows(name, generated, control):
    found = read("jsonl", generated / name)
    assert len(control) == 40
    assert (found.documents, found.bad, found.error) == (control, [], None)


@pytest.mark.parametrize("name", ["truncated_trailer.jsonl.gz", "bad_crc.jsonl.gz", "trailing_garbage.jsonl.gz"])
def test_damage_behind_the_data_keeps_all_rows_and_is_an_error(name, generated, control):
    found = read("jsonl", generated / name)
    assert found.documents == control
    assert name in str(found.error)


@pytest.mark.parametrize("name", ["truncated_half.jsonl.gz", "bitflip_middle.jsonl.gz", "truncated_half.jsonl.zst"])
def test_damage_inside_keeps_the_rows_before_it(name, generated, control):
    found = read("jsonl", generated / name)
    assert found.documents == control[: len(found.documents)]
    assert (len(found.documents) > 15) == name.endswith("gz")  # the zstd files are one block, which is cut
    assert len(found.documents) < 25
    assert found.error is not None


@pytest.mark.parametrize("name", ["empty.jsonl", "empty.jsonl.gz", "zero_bytes.jsonl.gz"])
def test_empty_files_hold_no_records(name, generated):
    found = read("jsonl", generated / name)
    assert (found.documents, found.bad, found.error) == ([], [], None)


@pytest.mark.parametrize("name", ["bomb_one_line_256MiB.jsonl.gz", "bomb_1GiB_zeros.zst"])
def test_a_line_beyond_the_limit_is_one_bad_record(name, generated):
    found = read("jsonl", generated / name)
    assert [bad.reason for bad in found.bad] == ["larger than max_doc_bytes (67,108,864 bytes)"]


def test_other_encodings_and_line_ends_are_named(generated):
    assert "UTF-16" in str(read("jsonl", generated / "utf16le.jsonl").error)
    assert "iconv" in str(read("jsonl", generated / "utf16le.jsonl").error)
    assert "invalid UTF-8" in read("jsonl", generated / "latin1.jsonl").bad[0].reason
    assert "carriage return" in read("jsonl", generated / "cr_only.jsonl").bad[0].reason
    assert len(read("jsonl", generated / "unicode_normalisation.jsonl").documents) == 18


def test_every_bad_row_has_the_wanted_verdict(generated):
    found = read("jsonl", generated / "bad_rows.jsonl")
    wanted = dict(line.split("\t") for line in (generated / "bad_rows.expected.tsv").read_text().splitlines())
    good = {
        int(n)
        for n, what in wanted.items()
        if what.startswith("ok") or what in ("duplicate key", "big int", "empty text", "5 MB line")
    }
    bad = {int(n) for n in wanted} - good - {11, 12}  # blank lines are no records
    assert {int(fault.where.split()[1]) for fault in found.bad} == bad
    assert len(found.documents) == len(good)
    reasons = {int(fault.where.split()[1]): fault.reason for fault in found.bad}
    assert "invalid UTF-8" in reasons[2]
    assert "surrogate" in reasons[4]
    assert reasons[13] == "`text` is a number, no string"
    assert reasons[14] == "`text` is a null, no string"
    assert reasons[15].startswith("no field `text`, but `")
    assert reasons[16] == "a JSON array, not an object"
    assert "byte-order mark" in reasons[21]
    assert found.texts[6 - 2] == "cr inside"
    assert found.texts[-1].startswith("Contact")


def test_where_a_bad_line_stands_is_its_byte(generated):
    data = (generated / "bad_rows.jsonl").read_bytes()
    for fault in read("jsonl", generated / "bad_rows.jsonl").bad:
        number, offset = int(fault.where.split()[1]), int(fault.where.split("byte ")[1][:-1])
        assert data.split(b"\n")[number - 1] == data[offset:].split(b"\n")[0]


def test_json_is_strict(shared, tmp_path):
    with tarfile.open(shared / "adversarial/JSONTestSuite_test_parsing.tar.gz") as archive:
        cases = {m.name.rpartition("/")[2]: archive.extractfile(m).read() for m in archive if m.isfile()}
    tested = 0
    for name, data in cases.items():
        path = tmp_path / "case.jsonl"
        if b"\n" in data or not name.endswith(".json"):
            continue
        path.write_bytes(b'{"text": "t", "value": ' + data + b"}\n")
        found = read("jsonl", path)
        if name.startswith("y_"):
            assert found.texts == ["t"], name
        path.write_bytes(data + b"\n")
        if name.startswith("n_"):
            assert not read("jsonl", path).documents, name
        tested += 1
    assert tested > 250


def test_fields_become_columns_and_the_rest_meta(tmp_path):
    row = {
        "body": {"en": "hello", "n": 1},
        "url": "u",
        "score": 2,
        "stars": 3,
        "ok": True,
        "none": None,
        "a.b": "dotted",
    }
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(row))
    columns = {
        "url": "string",
        "score": "float64",
        "stars": "int64",
        "ok": "bool",
        "none": "string",
        "missing": "int64",
        "a.b": "string",
    }
    found = read("jsonl", path, text="body.en", columns=columns)
    typed = {"text": "hello", "url": "u", "score": 2.0, "stars": 3, "ok": True, "a.b": "dotted"}
    assert found.documents == [typed | {"meta": {"body": {"n": 1}}}]


@pytest.mark.parametrize(
    ("value", "kind"),
    [("x", "int64"), (1, "string"), (1.5, "int64"), (True, "int64"), (1, "bool"), (1 << 63, "int64"), ({}, "string")],
)
def test_a_value_of_another_type_is_bad(value, kind, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"text": "t", "value": value}))
    assert [fault.where for fault in read("jsonl", path, columns={"value": kind}).bad] == ["line 1 (byte 0)"]


@given(
    rows=st.lists(st.text(max_size=40), min_size=1, max_size=12),
    cuts=st.lists(st.integers(0, 600), max_size=4),
    final=st.booleans(),
)
@settings(max_examples=80)
def test_ranges_together_give_each_line_once(rows, cuts, final, tmp_path_factory):
    data = b"\n".join(orjson.dumps({"text": row}) for row in rows) + b"\n" * final
    path = tmp_path_factory.mktemp("ranges") / "x.jsonl"
    path.write_bytes(data)
    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    texts = []
    for start, end in itertools.pairwise(borders):
        texts += read("jsonl", path, file=SourceFile(str(path), "x.jsonl", start, end)).texts
    assert texts == rows


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=6), limit=st.integers(0, 50))
def test_lines_do_not_depend_on_the_pieces_they_arrive_in(data, cuts, limit):
    data = data.replace(b"\0", b"\n")
    borders = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    pieces = [data[a:b] for a, b in itertools.pairwise(borders)]
    expected, offset = [], 0
    for line in data.split(b"\n"):
        expected.append((offset, line if len(line) <= limit else None))
        offset += len(line) + 1
    if not data.split(b"\n")[-1]:
        expected.pop()
    assert list(lines(pieces, limit)) == expected


def test_reading_goes_on_after_a_line_beyond_the_limit(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"text": "a" * 5000}) + "\n" + json.dumps({"text": "b"}) + "\n")
    found = read("jsonl", path, file=SourceFile(str(path), "x", max_doc_bytes=1000))
    assert found.texts == ["b"]
    assert found.bad == [Bad("larger than max_doc_bytes (1,000 bytes)", "line 1 (byte 0)")]


def test_web_rows_keep_url_and_time(shared):
    counts = {
        "c4-18f-gsa-gov": 548,
        "c4-18f-gsa-gov-recrawl": 612,
        "c4-digital-gov-crossposts": 77,
        "c4-state_union": 65,
    }
    for name, count in counts.items():
        found = read("jsonl", shared / f"c4/{name}.jsonl.zst", columns={"url": "string", "timestamp": "string"})
        assert len(found.documents) == count
        assert all(document["url"] and document["timestamp"] for document in found.documents)
