"""Views of text buffers, and part files whose bytes depend on the documents only."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuskit.core import batch as arrow

TEXTS = st.lists(st.none() | st.text(max_size=40), max_size=30)


@given(TEXTS, st.integers(0, 5), st.sampled_from([pa.string(), pa.large_string()]))
def test_utf8_views_the_bytes_of_every_row(texts: list[str | None], skipped: int, kind: pa.DataType) -> None:
    column = pa.array(texts, kind).slice(min(skipped, len(texts)))
    data, offsets = arrow.utf8(column)
    expected = [(text or "").encode() for text in texts[min(skipped, len(texts)) :]]
    assert [bytes(data[a:b]) for a, b in zip(offsets, offsets[1:], strict=False)] == expected
    assert len(data) >= offsets[-1] + arrow.KERNEL_PADDING


def batches_of(texts: list[str], cuts: list[int]) -> list[pa.RecordBatch]:
    table = pa.table({"doc": pa.array(range(len(texts)), pa.uint64()), "text": texts})
    borders = sorted({0, len(texts), *(cut % (len(texts) + 1) for cut in cuts)})
    return [
        batch
        for a, b in zip(borders, borders[1:], strict=False)
        for batch in table.slice(a, b - a).combine_chunks().to_batches()
    ]


@pytest.mark.parametrize("writer", [arrow.PartWriter, arrow.ParquetPart])
def test_part_files_are_blind_to_how_batches_arrive(writer: type, tmp_path: Path) -> None:
    texts = [f"{n} " * (n % 700) for n in range(3000)]
    schema = pa.schema([("doc", pa.uint64()), ("text", pa.string())])
    written = []
    for number, cuts in enumerate(([], [1, 5, 700, 2999], list(range(0, 3000, 7)))):
        path = tmp_path / str(number)
        with writer(path, schema) as part:
            for batch in batches_of(texts, cuts):
                part.write(batch)
        assert part.rows == 3000
        assert part.bytes == sum(map(len, texts))
        written.append(path.read_bytes())
    assert written[0] == written[1] == written[2]


def test_a_part_is_read_whole_or_batch_by_batch(tmp_path: Path) -> None:
    texts = ["long " * 1000 for _ in range(1000)]
    with arrow.PartWriter(tmp_path / "part", pa.schema([("doc", pa.uint64()), ("text", pa.string())])) as part:
        for batch in batches_of(texts, [10, 500]):
            part.write(batch)
    reader = arrow.PartReader(tmp_path / "part", ["doc"])
    assert reader.batches > 3
    assert np.concatenate([batch.column("doc").to_numpy() for batch in reader]).tolist() == list(range(1000))
    whole = arrow.PartReader(tmp_path / "part", ["text"])
    assert [text for batch in whole for text in batch.column("text").to_pylist()] == texts


@given(st.lists(st.text(max_size=50), min_size=1, max_size=30), st.integers(1, 100))
def test_slices_of_a_batch_hold_the_same_rows_within_the_limit(texts: list[str], limit: int) -> None:
    batch = pa.RecordBatch.from_pydict({"text": texts})
    parts = list(arrow.split_batches(batch, limit))
    assert [text for part in parts for text in part.column("text").to_pylist()] == texts
    assert all(part.num_rows == 1 or arrow.text_bytes(part.column("text")).sum() <= limit for part in parts)
