"""The store of signal columns: values by document, filed under what computed them, never under what filters decide.

A file's name is the hash of the documents in it, its values are a pure function of the key of the folder: so a file is
right whoever wrote it and whenever. Values are loaded for the documents of one unit at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpuskit.core.batch import Batch, PartReader, PartWriter
from corpuskit.core.spec import Spec
from corpuskit.core.work import Work
from corpuskit.errors import UsageError

PIECE = 1 << 19
"""Documents whose values are held before they are stored, in a file of their own."""


class ColumnStore:
    """Stored values of one signal for the documents that descend from one unit of raw input.

    Args:
        work: the unit whose documents are scored.
        name, key: of the signal: its name, and the hash of all that its values depend on.
    """

    def __init__(self, work: Work[Spec], name: str, key: str) -> None:
        self._work = work
        self._memo = work.memo(f"stages/signal-{name.replace(':', '-')}-{key}/columns/{work.origin}")
        tables = [_read(path) for path in self._memo.files() if path.suffix == ".arrow"]
        self._stored = pa.concat_tables(tables).sort_by("doc").combine_chunks() if tables else None
        self._docs: npt.NDArray[np.uint64] = (
            self._stored.column("doc").to_numpy() if self._stored is not None else np.zeros(0, np.uint64)
        )
        self._new: list[pa.RecordBatch] = []
        self._schema: pa.Schema | None = None
        self._rows = self._stored_rows = 0

    def columns(self, batch: Batch, compute: Callable[[Batch], dict[str, pa.Array]]) -> dict[str, pa.Array]:
        """Columns for a batch: stored values, and `compute` called for exactly the documents that have none."""
        docs = batch.column("doc").to_numpy()
        place = np.searchsorted(self._docs, docs)
        place[place == len(self._docs)] = 0
        known = self._docs[place] == docs if len(self._docs) else np.zeros(len(docs), bool)
        if self._stored is None or not known.any():
            return self._remember(batch, compute(batch))
        loaded = self._stored.drop_columns("doc").take(pa.array(place[known]))
        if known.all():
            return {name: loaded.column(name).combine_chunks() for name in loaded.column_names}
        missing = batch.filter(pa.array(~known))
        computed = self._remember(missing, compute(missing))
        # stored rows first, computed rows behind them: `order` puts both back where they belong
        order = np.empty(len(docs), np.int64)
        order[known] = np.arange(known.sum())
        order[~known] = known.sum() + np.arange((~known).sum())
        for name, values in computed.items():
            _of_one_type(name, values.type, loaded.schema)
        return {
            name: pa.concat_arrays([loaded.column(name).combine_chunks(), values]).take(pa.array(order))
            for name, values in computed.items()
        }

    def _remember(self, batch: Batch, computed: dict[str, pa.Array]) -> dict[str, pa.Array]:
        arrays = [batch.column("doc"), *computed.values()]
        new = pa.RecordBatch.from_arrays(arrays, names=["doc", *computed])
        self._schema = self._schema or new.schema
        for field in new.schema:
            _of_one_type(field.name, field.type, self._schema)
        self._new.append(new)
        self._rows += new.num_rows
        if self._rows >= PIECE:
            self._store()
        return computed

    def _store(self) -> None:
        """Store what was computed since the last piece."""
        table = pa.Table.from_batches(self._new).sort_by("doc")
        docs = table.column("doc").combine_chunks().to_numpy()
        name = hashlib.sha256(docs.tobytes()).hexdigest()[:16]
        waiting = self._work.scratch / f"column-{name}.arrow"
        with PartWriter(waiting, table.schema) as writer:
            for batch in table.to_batches():
                writer.write(batch)
        self._memo.put(f"{name}.arrow", waiting)
        self._new, self._rows, self._stored_rows = [], 0, self._stored_rows + len(docs)

    def save(self) -> int:
        """Store what is left; returns the documents that values were computed of since the store was opened."""
        if self._rows:
            self._store()
        return self._stored_rows


def _of_one_type(name: str, kind: pa.DataType, others: pa.Schema) -> None:
    """Refuse a column that has another type for other documents."""
    other = others.field(name).type
    if kind != other:
        raise UsageError(
            f"the column `{name}` is {kind} for these documents and {other} for others",
            f'declare it: @step.signal(columns={{"{name}": "{kind}"}})',
        )


def _read(path: Path) -> pa.Table:
    reader = PartReader(path)
    return pa.Table.from_batches(list(reader), reader.schema)
