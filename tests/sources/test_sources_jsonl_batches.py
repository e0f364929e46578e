"""Read in batches, JSON Lines are what they are line by line: documents, `meta`, faults, order and ids."""

import dataclasses
import gzip
import itertools
import random

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.core.batch import Batch
from corpuskit.core.keys import block_hash
from corpuskit.core.work import Work
from corpuskit.documents import reading as documents
from corpuskit.documents.dropped import DroppedWriter
from corpuskit.documents.kinds import Call, Segment
from corpuskit.errors import InputError, UsageError
from corpuskit.sources import jsonl as reader
from corpuskit.sources.base import BatchedFile, SourceFile
from corpuskit.sources.lines import blocks, lines, until
from corpuskit.store.local import LocalStore

COLUMNS = {"n": "int64", "url": "string", "f": "float64", "o.b": "bool"}

LINES = [
    b'{"text": "abc \\n \\"q\\" \\u00e9 \\ud83d\\ude00 \xc3\xa9 \xf0\x9f\x98\x80 z", "url": "http://x", "n": 12}',
    b'{"text": "", "f": -1.5e-3, "l": [1, {"a": null, "b": [true, false]}, ""], "o": {"b": true}}',
    b'{"id":"0","text":"' + b"x" * 130 + b'"}',
    b'{"a":{"b":{"c":[[[[]]]]}},"text":"","a":1}',
    b'{"text":"\xe4\xb8\xad\xe6\x96\x87\xe0\xa4\xa0\xed\x9f\xbf", "i":-0, "j":0, "k":123456789012345678901}',
    b'  {"text" :\t"t" , "n" : "\x7f\\/" , "text2":"y"}  \r',
    b'{"meta":{"x":1},"text":"m","score":3,"ok":true,"t":"s","doc":1,"domain":"d"}',
]  # fmt: skip
PIECES = [
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\t", b"\r", b"0", b"-", b".", b"e", b"1", b"\\u",
    b"\\ud800", b"\\udc00", b"true", b"null", b'"text":', b'"text":"x",', b"\0", b"\x1f", b"\x7f", b"\x80", b"\xc3",
    b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"NaN", b"1e400", b"1E5", b"\xe2\x80\xa8", b'"a":1,', b"01",
    b"\x0b",
]  # fmt: skip


def mutated(rng, line):
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        at = rng.randrange(len(line) + 1)
        width = rng.choice((0, 0, 1, 1, 2, 8))
        added = rng.choice((b"", rng.choice(PIECES), rng.choice(PIECES), bytes([rng.randrange(256)])))
        line = line[:at] + added + line[at + width :]
    return line.replace(b"\n", b"")


def flat(records):
    """What a reader gave, one item a record, as the columns would hold it."""
    found = []
    try:
        for record in records:
            if isinstance(record, pa.RecordBatch):
                record.validate(full=True)
                found += [
                    {name: value for name, value in row.items() if value is not None} for row in record.to_pylist()
                ]
            elif isinstance(record, dict):
                meta = {"meta": orjson.dumps(record["meta"]).decode()} if "meta" in record else {}
                found.append(record | meta)
            else:
                found.append(record)
    except InputError as error:
        found.append(error.message)
    return found


def both(path, start=None, end=None, limit=64 << 20, **params):
    one, batched = (
        flat(reader.jsonl.function(kind(str(path), "x", start, end, limit), **params))
        for kind in (SourceFile, BatchedFile)
    )
    return one, batched


@pytest.fixture(params=[1, 100, 1 << 22])
def small_blocks(request, monkeypatch):
    """Blocks, calls of the kernel and slices of other sizes than in a run."""
    monkeypatch.setattr(reader, "BLOCK_BYTES", request.param)
    monkeypatch.setattr(reader, "BLOCK_LINES", 3 if request.param == 100 else 1 << 16)
    monkeypatch.setattr(reader, "MANY", 0 if request.param == 1 else 4)


def test_60_000_mutated_lines(tmp_path, monkeypatch):
    rng = random.Random(7)
    ordinary = batches = 0
    for part in range(20):
        monkeypatch.setattr(reader, "MANY", part % 4)
        path = tmp_path / "x.jsonl"
        path.write_bytes(b"\n".join(mutated(rng, rng.choice(LINES)) for _ in range(3000)))
        for columns in ({}, COLUMNS):
            one, batched = both(path, columns=columns)
            assert batched == one
            ordinary += sum(isinstance(record, dict) for record in one)
            records = reader.jsonl.function(BatchedFile(str(path), "x"), columns=columns)
            batches += sum(isinstance(record, pa.RecordBatch) for record in records)
    assert ordinary > 20_000
    assert batches > 1000


@pytest.mark.usefixtures("small_blocks")
def test_real_and_hostile_files(shared):
    files = [*sorted((shared / "c4").glob("*.jsonl.zst")), *sorted((shared / "adversarial/generated").glob("*.jsonl*"))]
    assert len(files) > 20
    for path in files:
        if path.name.startswith("bomb") and reader.BLOCK_BYTES < 1 << 22:
            continue
        for columns in ({}, {"url": "string", "timestamp": "string"}):
            one, batched = both(path, columns=columns)
            assert batched == one, path.name


written = st.text(max_size=30).map(lambda text: orjson.dumps({"text": text}))
rows = st.lists(st.one_of(written, st.sampled_from([b"", b" ", b"no", LINES[0]])), max_size=12)


@pytest.mark.parametrize("kind", [gzip.compress, bytes])
@settings(max_examples=150)
@given(
    rows=rows,
    cuts=st.lists(st.integers(0, 900), max_size=4),
    limit=st.integers(5, 300),
    final=st.booleans(),
    data=st.data(),
)
def test_ranges_limits_and_damage(kind, rows, cuts, limit, final, data, tmp_path_factory):
    content = b"\n".join(rows) + b"\n" * final
    path = tmp_path_factory.getbasetemp() / "ranges.jsonl"
    if kind is bytes:
        path.write_bytes(content)
        borders = [None, *sorted({cut for cut in cuts if 0 < cut < len(content)}), None]
        for start, end in itertools.pairwise(borders):
            one, batched = both(path, start, end, limit)
            assert batched == one
    else:
        packed = kind(content, mtime=0)
        path.write_bytes(packed[: data.draw(st.integers(0, len(packed)))])
        one, batched = both(path, limit=limit)
        assert batched == one


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"])
def test_byte_order_marks(mark, tmp_path):
    path = tmp_path / "x.jsonl"
    for limit in (5, 1000):
        path.write_bytes(mark + b'{"text":"a"}\n' + mark + b'{"text":"b"}\n')
        one, batched = both(path, limit=limit)
        assert batched == one


@pytest.mark.parametrize(
    "params", [{"text": "o.b"}, {"columns": {"meta": "string"}}, {"columns": {"doc": "int64"}}, {"text": "url"}]
)
def test_parameters_that_only_the_parser_knows(params, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\n".join(LINES))
    one, batched = both(path, **params)
    assert batched == one


@given(
    data=st.binary(max_size=200),
    cuts=st.lists(st.integers(0, 200), max_size=6),
    limit=st.integers(0, 50),
    size=st.integers(1, 90),
)
def test_blocks_hold_the_same_lines(data, cuts, limit, size):
    data = data.replace(b"\0", b"\n")
    borders = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    chunks = [data[a:b] for a, b in itertools.pairwise(borders)]
    found, after = [], 0
    for offset, pieces in blocks(chunks, limit, size):
        whole = b"".join(pieces)
        assert offset >= after
        after = offset + len(whole)
        if not pieces:
            found.append((offset, None))
            continue
        assert whole == data[offset:after]
        found += [(offset + at, line) for at, line in lines([whole], limit)]
    assert found == list(lines(chunks, limit))


@given(data=st.binary(max_size=60), cut=st.integers(0, 60), stop=st.integers(1, 60), offset=st.integers(0, 20))
def test_until_gives_every_line_that_begins_before_it(data, cut, stop, offset):
    data = data.replace(b"\0", b"\n").replace(b"\1", b"\n")
    found = b"".join(until([data[:cut], data[cut:]], offset + stop, offset))
    assert list(lines([found], 99)) == [(at, line) for at, line in lines([data], 99) if at < stop]


def work(folder, path, **params):
    source = reader.jsonl
    checked = source.validate(params)
    folder.mkdir(parents=True)
    return Work(
        store=LocalStore(folder), stage="s", unit=0, units=1, key="k", memory=1 << 30, batch_bytes=1000, scratch=folder,
        inputs=[{"path": str(path), "relative": "x", "start": None, "end": None, "block": 0}],
        spec=Segment(
            reader={**source.fingerprint(checked), "salt": "", "max_doc_bytes": 1 << 20}, read=Call("jsonl", params),
            source="s", domain="web", keep_dropped=False, on_error="drop", base="", apply=[], steps=[], calls=(),
        ),
        receipts_of=dict.fromkeys(()).__getitem__,
    )  # fmt: skip


def everything(folder, path, **params):
    """Documents, books, blocks and dropped rows of a file, as a unit reads them."""
    unit = work(folder, path, **params)
    with DroppedWriter(unit, 1) as dropped:
        found = [row for batch in documents.read_documents(unit, folder, dropped) for row in batch.to_pylist()]
    gone = pa.parquet.read_table(unit.pending["dropped"][0]).to_pylist() if "dropped" in unit.pending else []
    return found, unit.books, unit.read, unit.facts, gone


@pytest.mark.parametrize("columns", [{}, COLUMNS])
def test_documents_of_a_unit_are_the_same(columns, tmp_path, monkeypatch):
    rng = random.Random(3)
    blanks = [b'{"text":""}', b'{"text":" \\n\\u3000\\u0085\\u2028"}', b'{"text":"\\u3000a"}', b"", b"broken"]
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\n".join(mutated(rng, rng.choice(LINES)) if n % 9 else rng.choice(blanks) for n in range(4000)))
    monkeypatch.setattr(documents, "RECORD_BITS", 7)
    monkeypatch.setattr(reader, "MANY", 0)
    batched = everything(tmp_path / "batched", path, columns=columns)
    monkeypatch.setattr(documents, "WHOLE_BYTES", 1)
    whole = everything(tmp_path / "whole", path, columns=columns)
    monkeypatch.setattr(documents, "BatchedFile", SourceFile)
    one = everything(tmp_path / "one", path, columns=columns)
    assert batched == one
    assert whole == one
    assert {"read", "unreadable", "empty"} <= one[1]["web"].keys()
    assert len(one[2][0]["blocks"]) > 20


def test_blank_rows_are_those_of_python():
    spaces = [chr(code) for code in range(0x110000) if chr(code).isspace()]
    given = ["", "a", *spaces, "".join(spaces), *(space + "a" for space in spaces), "—a", "é"]
    for kind in (pa.string(), pa.large_string()):
        assert documents.blank_rows(pa.array(given, kind)).tolist() == [not text.strip() for text in given]
    assert documents.blank_rows(pa.array(given).slice(1, 3)).tolist() == [False, True, True]


def own_reader(folder, body):
    (folder / "own.py").write_text(
        "import pyarrow as pa\nfrom corpuskit import step\n\n"
        "@step.source(columns={'n': 'int64'})\n"
        f"def own(file):\n    {body}\n"
    )
    from corpuskit.core.registry import resolve

    found = resolve("./own.py:own", ("source",), folder)
    unit = work(folder / "unit", folder / "own.py")
    described = {**found.fingerprint({}), "salt": "", "max_doc_bytes": 1 << 20}
    unit.spec = dataclasses.replace(unit.spec, read=Call("./own.py:own", {}), reader=described)
    with DroppedWriter(unit, 1) as dropped:
        return [batch for batch in documents.read_documents(unit, folder, dropped) if batch.num_rows], unit.books


def test_a_readers_own_batches(tmp_path):
    batches, books = own_reader(
        tmp_path,
        "yield {'text': 'a', 'n': 1, 'x': 2}\n"
        "    texts, numbers = pa.array(['b', ' ', 'c'], pa.large_string()), pa.array([2, 3, 4], 'int32')\n"
        "    yield pa.record_batch({'text': texts, 'n': numbers})\n"
        "    yield step.Skip('s')\n"
        "    yield pa.record_batch({'meta': ['{}'], 'text': ['d']})",
    )
    (batch,) = batches
    assert isinstance(batch, Batch)
    assert batch.drop_columns(["doc", "domain"]).to_pylist() == [
        {"text": "a", "n": 1, "meta": '{"x":2}'},
        {"text": "b", "n": 2, "meta": None},
        {"text": "c", "n": 4, "meta": None},
        {"text": "d", "n": None, "meta": "{}"},
    ]
    ids = block_hash("", "s", "x", 0) | np.array([0, 1, 3, 5], np.uint64)
    assert batch.column("doc").to_pylist() == ids.tolist()
    assert dict(books["web"]) == {"read": 6, "empty": 1, "rule: read: s": 1}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("{'txt': ['a']}", "undeclared columns (txt)"),
        ("{'n': [1]}", "without `text`"),
        ("{'text': [1]}", "without `text`"),
        ("{'text': ['a', None]}", "without `text`"),
        ("{'text': ['a'], 'doc': [1]}", "undeclared columns (doc)"),
    ],
)
def test_batches_that_a_reader_may_not_give(columns, message, tmp_path):
    with pytest.raises(UsageError, match=message.replace("(", r"\(").replace(")", r"\)")):
        own_reader(tmp_path, f"yield pa.record_batch({columns})")
