"""A domain as one stream of tokens: its token parts end to end, with the borders and numbers of its documents.

Parts are read with `pread` straight into the rows of a shard; document borders are memory-mapped. Nothing here is held
in memory per document.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from corpuskit.errors import InputError
from corpuskit.shards.megatron import read_index
from corpuskit.shards.pack import Blocks
from corpuskit.shards.plan import Indices

_OPEN_FILES = 128


@dataclass(frozen=True)
class TokenPart:
    """One committed piece of tokens: `.bin`, its `.idx` and its `.docs.parquet`, with their totals."""

    bin: Path
    idx: Path
    docs: Path
    tokens: int
    documents: int


def write_documents(path: Path, parts: Sequence[TokenPart], dtype: str) -> None:
    """Write the document index of a domain: int64 starts[n + 1] in its stream, then uint64 document numbers[n].

    Raises:
        InputError: a part's index or document table does not agree with its receipt.
    """
    start = 0
    with path.open("wb") as stream:
        for part in parts:
            index = read_index(part.idx)
            ends = start + np.cumsum(index.lengths, dtype=np.int64)
            found = (index.dtype, len(index.lengths), int(ends[-1]) - start if len(ends) else 0)
            if found != (dtype, part.documents, part.tokens):
                msg = f"{part.idx}: holds {found}, its receipt says {(dtype, part.documents, part.tokens)}"
                raise InputError(msg)
            stream.write((ends - index.lengths).astype("<i8").data)
            start += part.tokens
        stream.write(np.array([start], "<i8").data)
        for part in parts:
            rows = 0
            for batch in pq.ParquetFile(part.docs).iter_batches(columns=["doc"]):
                stream.write(batch.column(0).to_numpy(zero_copy_only=False).astype("<u8").data)
                rows += batch.num_rows
            if rows != part.documents:
                msg = f"{part.docs}: {rows:,} rows for {part.documents:,} documents"
                raise InputError(msg)


class Domain:
    """A domain ready to be read block by block.

    Args:
        name: of the domain.
        parts: its token parts, in stream order.
        documents: the file of `write_documents`.
        blocks: how the stream is cut.
        dtype: of the tokens.
        removed: documents that were taken down: their tokens are end tokens, which no run covers.

    Raises:
        InputError: the parts are not those that the documents were indexed from.
    """

    def __init__(
        self,
        name: str,
        parts: Sequence[TokenPart],
        documents: Path,
        blocks: Blocks,
        dtype: str,
        removed: npt.NDArray[np.uint64],
    ) -> None:
        self.name = name
        self._removed = removed
        self.blocks = blocks
        self._paths = [part.bin for part in parts]
        self._edges = np.cumsum([0, *(part.tokens for part in parts)], dtype=np.int64)
        self._size = np.dtype(dtype).itemsize
        count = sum(part.documents for part in parts)
        self.starts, self.ids = map_documents(documents, count)
        if self.starts[-1] != self._edges[-1]:
            msg = f"the tokens of `{name}` are {self._edges[-1]:,}, but {documents} indexes {self.starts[-1]:,}"
            raise InputError(msg, f"remove {documents.parents[1]}, and run the recipe again")

    def fill(self, out: npt.NDArray[Any], rows: Indices, sequences: Indices, files: OpenFiles) -> dict[str, Indices]:
        """Copy `sequences` into the given rows of `out` (C-contiguous [n, width]), from column 0 on.

        Returns:
            The runs of tokens of one document: columns sequence (row of `out`), start, length, doc, doc_start.
        """
        row, start, length = self.blocks.ranges(sequences)
        column = np.cumsum(length) - length
        column -= column[np.searchsorted(row, row)]
        view = memoryview(out.data).cast("B")
        offset = (rows[row] * self.blocks.width + column) * self._size
        part = np.searchsorted(self._edges, start, side="right") - 1
        for to, begin, count, number in zip(
            offset.tolist(), start.tolist(), length.tolist(), part.tolist(), strict=True
        ):
            self._copy(view[to : to + count * self._size], begin, number, files)
        return self._runs(rows[row], column, start, length)

    def _copy(self, view: memoryview, begin: int, number: int, files: OpenFiles) -> None:
        """Read one stretch of the stream; it may cross parts."""
        while len(view):
            inside = (begin - int(self._edges[number])) * self._size
            here = min(len(view), (int(self._edges[number + 1]) - begin) * self._size)
            if os.preadv(files.descriptor(self._paths[number]), [view[:here]], inside) != here:
                msg = f"{self._paths[number]}: ends before byte {inside + here:,}: truncated or overwritten"
                raise InputError(msg)
            view, begin, number = view[here:], begin + here // self._size, number + 1

    def _runs(self, sequence: Indices, column: Indices, start: Indices, length: Indices) -> dict[str, Indices]:
        """Cut stretches of the stream at document borders."""
        first = np.searchsorted(self.starts, start, side="right") - 1
        last = np.searchsorted(self.starts, start + length - 1, side="right") - 1
        count = last - first + 1
        stretch = np.repeat(np.arange(len(start)), count)
        document = np.arange(len(stretch)) - np.repeat(np.cumsum(count) - count, count) + first[stretch]
        begin = np.maximum(start[stretch], self.starts[document])
        end = np.minimum(start[stretch] + length[stretch], self.starts[document + 1])
        runs = {
            "sequence": sequence[stretch],
            "start": column[stretch] + begin - start[stretch],
            "length": end - begin,
            "doc": self.ids[document],
            "doc_start": begin - self.starts[document],
        }
        if not len(self._removed):
            return runs
        kept = ~np.isin(runs["doc"], self._removed)
        return {name: values[kept] for name, values in runs.items()}


def map_documents(path: Path, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Map the file of `write_documents`: starts int64[count + 1] and document numbers uint64[count]."""
    starts = np.memmap(path, "<i8", "r", 0, (count + 1,))
    ids = np.memmap(path, "<u8", "r", 8 * (count + 1), (count,)) if count else np.zeros(0, np.uint64)
    return starts, ids


class OpenFiles:
    """At most 128 open token files, the least recently used closed first: a domain may have thousands of parts."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, int] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(self._open.values())
        self._open.clear()

    def descriptor(self, path: Path) -> int:
        """A file descriptor for reading; valid until the next call."""
        if path not in self._open:
            if len(self._open) >= _OPEN_FILES:
                self._close([self._open.popitem(last=False)[1]])
            self._open[path] = os.open(path, os.O_RDONLY)
        self._open.move_to_end(path)
        return self._open[path]

    @staticmethod
    def _close(descriptors: Iterable[int]) -> None:
        for descriptor in descriptors:
            os.close(descriptor)
