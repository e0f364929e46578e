"""A domain as one stream of tokens: its token parts end to end, with the borders and numbers of its documents.

Parts are read with `pread` straight into the rows of a batch; document borders are memory-mapped. Nothing here is held
in memory per document. Shards are written by it, and a trainer that follows a plan reads by it: they see the same.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from corpuskit.errors import InputError
from corpuskit.train.blocks import Blocks
from corpuskit.train.order import Indices

Documents = tuple[npt.NDArray[np.int64], npt.NDArray[Any]]

GONE = (1 << 64) - 1
"""In place of the number of a document that was taken down: its tokens are end tokens, which no run covers."""

_OPEN_FILES = 128


class Domain:
    """A domain ready to be read sequence by sequence.

    Args:
        name: of the domain.
        parts: the `.bin` files of its stream, in order, each with its tokens.
        documents: (starts int64[n + 1] in the stream, numbers uint64[n]) of its documents; `GONE` for a number.
        blocks: how the stream is cut.
        dtype: of the tokens.

    Raises:
        InputError: the parts are not those that the documents were indexed from.
    """

    def __init__(
        self, name: str, parts: Sequence[tuple[Path, int]], documents: Documents, blocks: Blocks, dtype: str
    ) -> None:
        self.name = name
        self.blocks = blocks
        self._paths = [path for path, _ in parts]
        self._edges = np.cumsum([0, *(tokens for _, tokens in parts)], dtype=np.int64)
        self._size = np.dtype(dtype).itemsize
        self.starts, self.ids = documents
        if self.starts[-1] != self._edges[-1]:
            msg = f"the tokens of `{name}` are {self._edges[-1]:,}, but its documents have {self.starts[-1]:,}"
            raise InputError(msg, "corpuskit verify ROOT says which file is damaged")

    @property
    def tokens(self) -> int:
        """Tokens of its documents, but for those that were taken down."""
        gone = np.flatnonzero(self.ids == GONE)
        return self.blocks.tokens - int((self.starts[gone + 1] - self.starts[gone]).sum())

    def parts_of(self, sequences: Indices) -> Indices:
        """Numbers of the parts that sequences are read from, sorted."""
        _, start, length = self.blocks.ranges(sequences)
        first = np.searchsorted(self._edges, start, side="right") - 1
        last = np.searchsorted(self._edges, start + length - 1, side="right") - 1
        count = len(self._edges)
        inside = np.bincount(first, minlength=count) - np.bincount(last + 1, minlength=count)
        return np.flatnonzero(np.cumsum(inside))

    def stretches(self, sequences: Indices) -> Iterator[tuple[int, int, int]]:
        """Where sequences are read from: the number of a part, and bytes [start, end) of it; of each piece its own."""
        _, start, length = self.blocks.ranges(sequences)
        for begin, end in zip(start.tolist(), (start + length).tolist(), strict=True):
            low = begin
            while low < end:
                part = int(np.searchsorted(self._edges, low, side="right")) - 1
                edge, high = int(self._edges[part]), min(end, int(self._edges[part + 1]))
                yield part, (low - edge) * self._size, (high - edge) * self._size
                low = high

    def fill(self, out: npt.NDArray[Any], rows: Indices, sequences: Indices, files: OpenFiles) -> dict[str, Indices]:
        """Copy `sequences` into the given rows of `out` (C-contiguous [n, width]), from column 0 on.

        Returns:
            The runs of tokens of one document: columns sequence (row of `out`), start, length, document (its number
            in the domain), doc_start.
        """
        row, start, length = self.blocks.ranges(sequences)
        column = np.cumsum(length) - length
        column -= column[np.searchsorted(row, row)]
        view, offset = memoryview(out.data).cast("B"), (rows[row] * self.blocks.width + column) * self._size
        order = np.argsort(start)  # each file is read from its beginning to its end
        self._copy(view, offset[order], start[order], length[order] * self._size, files)
        return self._runs(rows[row], column, start, length)

    def runs(self, sequences: Indices) -> dict[str, Indices]:
        """The runs of `fill` of these sequences, by their place among these; no token is read."""
        row, start, length = self.blocks.ranges(sequences)
        column = np.cumsum(length) - length
        return self._runs(row, column - column[np.searchsorted(row, row)], start, length)

    def sequences_of(self, docs: npt.NDArray[np.uint64]) -> Indices:
        """The sequences that hold tokens of these documents, sorted."""
        found = np.flatnonzero(np.isin(self.ids, docs))
        return self.blocks.holding(self.starts[found], self.starts[found + 1]) if len(found) else found

    def _copy(self, view: memoryview, offset: Indices, start: Indices, size: Indices, files: OpenFiles) -> None:
        """Read `size` bytes of the stream from token `start` to byte `offset` of the view, for each."""
        part = np.searchsorted(self._edges, start, side="right") - 1
        inside = (start - self._edges[part]) * self._size
        here = np.minimum(size, (self._edges[part + 1] - start) * self._size)
        for to, begin, count, now, number in zip(
            offset.tolist(), inside.tolist(), size.tolist(), here.tolist(), part.tolist(), strict=True
        ):
            if files.read(self._paths[number], view[to : to + now], begin) != now:
                msg = f"{self._paths[number]}: ends before byte {begin + now:,}: truncated or overwritten"
                raise InputError(msg)
            if now < count:  # the stretch goes on in the next part
                after = np.array([to + now]), self._edges[number + 1 : number + 2], np.array([count - now])
                self._copy(view, *after, files)

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
            "document": document,
            "doc_start": begin - self.starts[document],
        }
        gone = self.ids[document] == GONE
        return {name: values[~gone] for name, values in runs.items()} if gone.any() else runs


def map_documents(path: Path, count: int) -> Documents:
    """Map the index of a domain's documents: starts int64[count + 1], then document numbers uint64[count]."""
    starts = np.memmap(path, "<i8", "r", 0, (count + 1,))
    ids = np.memmap(path, "<u8", "r", 8 * (count + 1), (count,)) if count else np.zeros(0, np.uint64)
    return np.asarray(starts), np.asarray(ids)  # what is taken of a memmap is slow to make


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

    def read(self, path: Path, view: memoryview, at: int) -> int:
        """Read bytes of a file from `at` on, as many as the view holds or the file has; returns how many."""
        return os.preadv(self._descriptor(path), [view], at)

    def _descriptor(self, path: Path) -> int:
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
