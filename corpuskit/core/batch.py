"""Batches of documents: schema, zero-copy UTF-8 views, deterministic part files.

Part files are Arrow IPC files (lz4). A writer cuts its record batches by the documents alone, never by how they
arrived, so that the same documents give the same bytes whatever the batch size of the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Batch: TypeAlias = pa.RecordBatch

KERNEL_PADDING = 64
"""Kernels may read this many bytes beyond the end of a text buffer."""

PART_TEXT_BYTES = 1 << 17
PART_ROWS = 1 << 14
"""A record batch of a part ends when it holds this much text, or this many rows: to look at one document is cheap."""

READ_BYTES = 1 << 20
"""Record batches are put together to this size when all are read."""


def utf8(column: pa.Array | pa.ChunkedArray) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """View a string column as (bytes uint8[total + 64], offsets int64[n + 1]); nulls are empty.

    Kernels over-read up to 64 bytes: where Arrow's buffer ends earlier than that, the bytes are copied.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if column.null_count:
        column = column.fill_null("")
    width = np.int64 if pa.types.is_large_string(column.type) else np.int32
    _, offset_buffer, data_buffer = column.buffers()
    if offset_buffer is None or len(column) == 0:
        return np.zeros(KERNEL_PADDING, np.uint8), np.zeros(len(column) + 1, np.int64)
    offsets = np.frombuffer(offset_buffer, width)[column.offset : column.offset + len(column) + 1].astype(np.int64)
    first, last = int(offsets[0]), int(offsets[-1])
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    if len(data) >= last + KERNEL_PADDING:
        return data[first:], offsets - first
    padded = np.empty(last - first + KERNEL_PADDING, np.uint8)
    padded[: last - first] = data[first:last]
    padded[last - first :] = 0
    return padded, offsets - first


def text_bytes(column: pa.Array) -> npt.NDArray[np.int64]:
    """UTF-8 bytes of each row of a string column, int64[n]; 0 for null."""
    sizes = pc.binary_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    return np.asarray(sizes, np.int64)


def set_column(batch: Batch, name: str, values: pa.Array) -> Batch:
    """Add or replace one column."""
    index = batch.schema.get_field_index(name)
    if index >= 0:
        return batch.set_column(index, name, values)
    return batch.append_column(name, values)


def split_batches(batch: Batch, limit: int) -> Iterator[Batch]:
    """Cut a batch into zero-copy slices of at most `limit` text bytes (at least one row each)."""
    sizes = np.cumsum(text_bytes(batch.column("text")))
    start = 0
    while start < batch.num_rows:
        before = int(sizes[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(sizes, before + limit, side="right")))
        yield batch.slice(start, end - start)
        start = end


class _Regroup:
    """Collects rows into groups whose borders depend on the documents only, and hands each group to `_emit`.

    Args:
        schema: of all batches that are written.
        group_bytes: a group ends when it holds this much text; group_rows: or this many rows.
    """

    def __init__(self, schema: pa.Schema, group_bytes: int, group_rows: int) -> None:
        self.schema = schema
        self.rows = 0
        self.bytes = 0
        self._limits = group_bytes, group_rows
        self._has_text = "text" in schema.names
        self._empty = [pa.array([], field.type) for field in schema]
        self._waiting: list[Batch] = []
        self._group_rows = 0
        self._group_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._close()

    def write(self, batch: Batch) -> None:
        """Append the rows of a batch."""
        if batch.num_rows == 0:
            return
        limit_bytes, limit_rows = self._limits
        sizes = text_bytes(batch.column("text")) if self._has_text else np.zeros(batch.num_rows, np.int64)
        total = np.cumsum(sizes)
        self.rows += batch.num_rows
        self.bytes += int(total[-1])
        start = 0
        while start < batch.num_rows:
            done = int(total[start - 1]) if start else 0
            end = int(np.searchsorted(total, done + limit_bytes - self._group_bytes, side="left")) + 1
            end = min(end, start + limit_rows - self._group_rows, batch.num_rows)
            self._waiting.append(batch.slice(start, end - start))
            self._group_rows += end - start
            self._group_bytes += int(total[end - 1]) - done
            if self._group_bytes >= limit_bytes or self._group_rows >= limit_rows:
                self._flush()
            start = end

    def _flush(self) -> None:
        waiting, self._waiting, self._group_rows, self._group_bytes = self._waiting, [], 0, 0
        if waiting:
            # always copied, one batch or many: a slice keeps its parent's padding, and bytes would tell how rows came
            columns = [
                pa.concat_arrays([*(batch.column(index) for batch in waiting), empty])
                for index, empty in enumerate(self._empty)
            ]
            waiting.clear()  # there is no need of both while they are written
            self._emit(pa.RecordBatch.from_arrays(columns, schema=self.schema))

    def _emit(self, batch: Batch) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError


class PartWriter(_Regroup):
    """Writes one part: an Arrow IPC file of record batches of about 128 KiB of text, any of which can be read alone."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        super().__init__(schema, PART_TEXT_BYTES, PART_ROWS)
        # lz4: parts are read several times over, and are gone when no recipe needs them
        options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._sink, schema, options=options)

    def _emit(self, batch: Batch) -> None:
        self._writer.write_batch(batch)

    def _close(self) -> None:
        self._writer.close()
        self._sink.close()


class ParquetPart(_Regroup):
    """Writes one published Parquet file, zstd; row groups of about 32 MiB of text."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        super().__init__(schema, 32 << 20, 1 << 17)
        # text neither repeats nor sorts: a dictionary or statistics of it only cost time
        small = [name for name in schema.names if name not in ("doc", "text", "meta")]
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=small or False,
            write_statistics=[name for name in schema.names if name not in ("text", "meta")],
        )

    def _emit(self, batch: Batch) -> None:
        self._writer.write_table(pa.Table.from_batches([batch]), row_group_size=max(1, batch.num_rows))

    def _close(self) -> None:
        self._writer.close()


class PartReader:
    """Reads a part file: sequentially, or one record batch at a time by number."""

    def __init__(self, source: Path | pa.NativeFile, columns: Sequence[str] | None = None) -> None:
        if isinstance(source, Path):
            # not mapped: what was read of a map stays resident
            source = pa.OSFile(str(source)) if source.stat().st_size else pa.py_buffer(b"")
        included = None
        if columns is not None:
            schema = pa.ipc.open_file(source).schema
            included = [schema.get_field_index(name) for name in columns]
        options = pa.ipc.IpcReadOptions(included_fields=included, use_threads=False)
        self._file = pa.ipc.open_file(source, options=options)
        self.schema: pa.Schema = self._file.schema
        self.batches: int = self._file.num_record_batches

    def batch(self, index: int) -> Batch:
        """Record batch number `index`."""
        return self._file.get_batch(index)

    def each(self) -> Iterator[Batch]:
        """All record batches as they are stored."""
        for index in range(self.batches):
            yield self._file.get_batch(index)

    def __iter__(self) -> Iterator[Batch]:
        """All rows in order, in batches of at least a megabyte."""
        waiting: list[Batch] = []
        size = 0
        for batch in self.each():
            waiting.append(batch)
            size += batch.nbytes
            if size >= READ_BYTES:
                yield _together(waiting)
                waiting, size = [], 0
        if waiting:
            yield _together(waiting)


def _together(batches: list[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
