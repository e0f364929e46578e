"""Rows that the steps of a unit give beside its documents, written as one Parquet part."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from corpuskit.core.batch import Batch, ParquetPart, PartReader, PartWriter
from corpuskit.core.work import Work
from corpuskit.documents.kinds import Reading


class Spools:
    """Collects rows and writes them as one Parquet part at the end.

    The rows of one step are spooled to a file of their own, and the spools are joined in the order of the steps: so the
    part does not depend on how batches were cut.

    Args:
        work: the unit at work. name: of the part, and of the folder that it is published in.
    """

    def __init__(self, work: Work[Reading], name: str) -> None:
        self.work = work
        self._name = name
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
        publish = f"{self._name}/domain={self.work.spec.domain}/{self.work.key}.parquet"
        with ParquetPart(self.work.put(self._name, ".parquet", publish=publish), schema) as part:
            for place in places:
                for batch in PartReader(self._path(place)):
                    part.write(_complete(batch, schema))
        self.work.rows(self._name, part.rows)

    def _path(self, place: int) -> Path:
        return self.work.scratch / f"{self._name}-{place}.arrow"

    def spool(self, place: int, batch: Batch) -> None:
        """Add rows of the step at a place; all of one step have one schema."""
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
