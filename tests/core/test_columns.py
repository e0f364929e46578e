"""Stored signals: written as they are computed, in the order of documents, and found again."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from corpuskit.core.batch import PartReader
from corpuskit.core.work import Memo
from corpuskit.documents import columns
from corpuskit.documents.columns import ColumnStore
from corpuskit.errors import UsageError
from corpuskit.store.root import Root


def batch(docs: Sequence[int]) -> pa.RecordBatch:
    texts = [f"text {doc}" for doc in docs]
    return pa.RecordBatch.from_arrays([pa.array(docs, pa.uint64()), pa.array(texts)], names=["doc", "text"])


def test_values_are_stored_by_document_whatever_order_they_come_in(tmp_path: Path) -> None:
    root = Root(tmp_path / "root")
    work = SimpleNamespace(scratch=tmp_path, origin="raw", memo=lambda folder: Memo(root.store, folder))

    def given(some: Sequence[Sequence[int]], computed: list[int]) -> list[dict[str, list[int]]]:
        """The values of batches of documents."""

        def compute(part: pa.RecordBatch) -> dict[str, pa.Array]:
            found = part.column("doc").to_pylist()
            computed.extend(found)
            return {"double": pa.array([2 * doc for doc in found], pa.int64())}

        store = ColumnStore(work, "double", "k")  # type: ignore[arg-type]
        found = [store.columns(batch(docs), compute) for docs in some]
        assert store.save() == len(computed)
        return [{name: values.to_pylist() for name, values in one.items()} for one in found]

    first: list[int] = []
    assert given([[5, 7], [9]], first) == [{"double": [10, 14]}, {"double": [18]}]
    assert first == [5, 7, 9]
    then: list[int] = []  # not in order, and some are there
    assert given([[8, 5], [6], [2, 9]], then) == [{"double": [16, 10]}, {"double": [12]}, {"double": [4, 18]}]
    assert then == [8, 6, 2]
    last: list[int] = []
    given([[2, 5, 6, 7, 8, 9]], last)
    assert last == []
    files = list((tmp_path / "root").rglob("*.arrow"))
    stored = [[doc for part in PartReader(path) for doc in part.column("doc").to_pylist()] for path in files]
    assert sorted(stored) == [[2, 6, 8], [5, 7, 9]]


def test_columns_of_one_signal_have_one_type_in_all_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "PIECE", 1)
    root = Root(tmp_path / "root")
    work = SimpleNamespace(scratch=tmp_path, origin="raw", memo=lambda folder: Memo(root.store, folder))
    store = ColumnStore(work, "double", "k")  # type: ignore[arg-type]
    store.columns(batch([1]), lambda _: {"double": pa.array([1])})
    assert len(list((tmp_path / "root").rglob("*.arrow"))) == 1  # a piece is stored at once
    with pytest.raises(UsageError, match="the column `double` is double for these documents and int64 for others"):
        store.columns(batch([2]), lambda _: {"double": pa.array([1.5])})
