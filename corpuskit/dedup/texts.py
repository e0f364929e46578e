"""The texts of one unit's documents, in the record batches in which they are stored.

A unit of this build stores them in an Arrow part; one of a finished corpus, as Parquet row groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from corpuskit.core.batch import Batch, PartReader
from corpuskit.core.spec import Spec
from corpuskit.core.work import Part, Work


class Texts:
    """Documents of one file.

    Args:
        source: an Arrow part, of which `batches` fetches no more than it reads; or a Parquet file.
    """

    def __init__(self, source: Part | Path) -> None:
        self._source = source
        self._parquet = pq.ParquetFile(source) if isinstance(source, Path) else None

    @classmethod
    def of(cls, work: Work[Spec]) -> Texts:
        """The documents that a unit of `signatures` is about."""
        return cls(Path(work.inputs[0]["path"]) if work.inputs else work.receipt("docs").parts["docs"])

    def read(self, columns: Sequence[str]) -> Iterator[Batch]:
        """All rows in order, these columns of them."""
        if self._parquet is None:
            yield from self._whole(columns)
        else:
            yield from self.each(columns)

    def each(self, columns: Sequence[str]) -> Iterator[Batch]:
        """All batches as they are stored, whose numbers `batches` takes."""
        if self._parquet is None:
            yield from self._whole(columns).each()
        else:
            for group in range(self._parquet.num_row_groups):
                yield self._group(group, columns)

    def batches(self, numbers: Sequence[int], columns: Sequence[str]) -> Iterator[Batch]:
        """The batches of these numbers."""
        reader = PartReader(self._part.open(), columns) if self._parquet is None else None
        for number in numbers:
            yield reader.batch(number) if reader is not None else self._group(number, columns)

    @property
    def _part(self) -> Part:
        assert isinstance(self._source, Part)
        return self._source

    def _whole(self, columns: Sequence[str]) -> PartReader:
        """Reads all of a part, which is checked as a whole: block by block it would be for each of several readings."""
        return PartReader(self._part.local(), columns)

    def _group(self, number: int, columns: Sequence[str]) -> Batch:
        assert self._parquet is not None
        table = self._parquet.read_row_group(number, list(columns), use_threads=False).select(list(columns))
        arrays = [
            pa.concat_arrays(column.chunks) if column.num_chunks != 1 else column.chunk(0) for column in table.columns
        ]
        return pa.RecordBatch.from_arrays(arrays, names=list(columns))
