"""What a stage dropped: one row a document with its rule, reason and signals, and for a sample its text."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpuskit.core.batch import Batch, ParquetPart, PartReader, PartWriter
from corpuskit.core.work import Work
from corpuskit.documents.kinds import Reading

TEXT_LIMIT = 2000
"""Characters of a sampled text that are kept (with `keep_dropped` the whole text)."""


class DroppedWriter:
    """Collects dropped documents and writes them as one Parquet part at the end.

    The rows that one step dropped are spooled to a file of their own (they have the signals of that place), and the
    spools are joined in the order of the steps: so the part does not depend on how batches were cut.

    Args:
        work: the unit at work.
        every: one in this many documents, by hash of its id, keeps its text; 1 keeps all texts whole.
    """

    def __init__(self, work: Work[Reading], every: int) -> None:
        self.work = work
        self.every = every
        self._spools: dict[int, PartWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for spool in self._spools.values():
            spool.__exit__(kind, value, trace)
        if kind is not None or not self._spools:
            return
        places = sorted(self._spools)
        schema = pa.unify_schemas([self._spools[place].schema for place in places], promote_options="default")
        publish = f"dropped/domain={self.work.spec.domain}/{self.work.key}.parquet"
        with ParquetPart(self.work.put("dropped", ".parquet", publish=publish), schema) as part:
            for place in places:
                for batch in PartReader(self._path(place)):
                    part.write(_complete(batch, schema))
        self.work.rows("dropped", part.rows)

    def _path(self, place: int) -> Path:
        return self.work.scratch / f"spool-{place}.arrow"

    def write(
        self,
        place: int,
        batch: Batch,
        out: npt.NDArray[np.bool_],
        rules: npt.NDArray[Any],
        reasons: pa.Array | None = None,
    ) -> None:
        """Add the rows where `out` is true, and count them in the books.

        Args:
            place: of the step in the stage; all its batches have one schema.
            batch: n documents. out: bool[n]. rules: object[n] of categories of the books. reasons: string[n].
        """
        chosen = pa.array(out)
        gone = batch.filter(chosen)
        reason = pa.nulls(gone.num_rows, pa.string()) if reasons is None else reasons.cast(pa.string()).filter(chosen)
        columns = {
            "doc": gone.column("doc"),
            "rule": pa.array([rule.removeprefix("rule: ") for rule in rules[out]], pa.string()),
            "reason": reason,
            "text": self._texts(gone),
        }
        # the domain is the name of the folder
        columns |= {name: gone.column(name) for name in gone.schema.names if name not in (*columns, "domain")}
        self._spool(place, pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns)))
        for rule in sorted(set(rules[out])):
            self.work.count(self.work.spec.domain, rule, int((rules[out] == rule).sum()))

    def write_unread(self, docs: list[int], rules: list[str], reasons: list[str | None]) -> None:
        """Add raw records that never became documents."""
        if docs:
            arrays = [pa.array(docs, pa.uint64()), pa.array(rules), pa.array(reasons, pa.string())]
            self._spool(0, pa.RecordBatch.from_arrays(arrays, names=["doc", "rule", "reason"]))

    def _texts(self, gone: Batch) -> pa.Array:
        text = gone.column("text")
        if self.every == 1:
            return text
        docs = gone.column("doc").to_numpy()
        mixed = (docs * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
        sampled = (mixed % np.uint64(self.every)) == 0
        kept = [value[:TEXT_LIMIT] if keep else None for value, keep in zip(text.to_pylist(), sampled, strict=True)]
        return pa.array(kept, pa.string())

    def _spool(self, place: int, batch: Batch) -> None:
        if place not in self._spools:
            self._spools[place] = PartWriter(self._path(place), batch.schema)
        self._spools[place].write(batch)


def _complete(batch: Batch, schema: pa.Schema) -> Batch:
    """The batch with the columns of `schema`, nulls where it has none."""
    arrays = [
        batch.column(field.name).cast(field.type)
        if field.name in batch.schema.names
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
