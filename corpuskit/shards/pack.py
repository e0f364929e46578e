"""Cuts a domain's token stream into blocks of seq_len + 1 tokens, once for all epochs; no token is lost or read twice.

A phase of shorter sequences reads a block as slices, each of which begins with the last token of the one before, so
that every target of the block is predicted exactly once. A slice behind the end of a block that is not full is a
sequence of padding: it counts as a sequence, and predicts nothing.

`concat`: block b is the b-th stretch of the stream; needs no index. `best_fit`: whole documents are laid into blocks by
best-fit decreasing; only a document longer than a block is split. The end of the last block of `concat`, and of each
block of `best_fit` that is not full, is padding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from corpuskit.shards.plan import Indices, Permutation

PIECE = np.dtype([("start", "<i8"), ("length", "<i4")])
"""A piece of a block: where in the domain's stream it starts, and its tokens. 12 bytes; a block adds 8."""

GROUP = 1 << 20
"""Documents packed together: bounds memory (about 40 bytes a document), and costs next to nothing in padding."""

_CHUNK = 1 << 20

RATIO = 4
"""Fewer than one in so many blocks are read one by one; for more it is faster to look through all."""


@dataclass(frozen=True)
class Blocks:
    """The blocks of one domain, each `length` tokens or fewer, and the sequences that they are read as.

    Attributes:
        tokens: of the domain's stream.
        length: the plan's largest seq_len + 1.
        first: for best_fit, number of the first piece of each block, int64[blocks + 1]; None for concat.
        pieces: for best_fit, the pieces (`PIECE`) in block order.
        slices: sequences that a block is cut into; a divisor of `length` - 1.
    """

    tokens: int
    length: int
    first: npt.NDArray[np.int64] | None = None
    pieces: npt.NDArray[Any] | None = None
    slices: int = 1

    def __len__(self) -> int:
        return len(self.first) - 1 if self.first is not None else -(-self.tokens // self.length)

    @property
    def targets(self) -> int:
        """Tokens that one epoch predicts: all but the first of each block."""
        return self.tokens - len(self)

    @property
    def width(self) -> int:
        """Tokens of a sequence: a slice, and the token before it."""
        return (self.length - 1) // self.slices + 1

    def ranges(self, sequences: Indices) -> tuple[Indices, Indices, Indices]:
        """(row, start, length), int64 each: the stretches of the stream that make up each sequence, in order.

        Args:
            sequences: numbers int64[n]; slice k of block b has the number b * slices + k.
        """
        if self.slices == 1:
            return self._whole(sequences)
        block, part = np.divmod(sequences, self.slices)
        row, start, length = self._whole(block)
        low = (part * (self.width - 1))[row]
        column = np.cumsum(length) - length
        column -= column[np.searchsorted(row, row)]
        before = np.maximum(low - column, 0)
        inside = np.minimum(low + self.width - column, length) - before
        some = inside > 0
        return row[some], (start + before)[some], inside[some]

    def _whole(self, blocks: Indices) -> tuple[Indices, Indices, Indices]:
        """`ranges` of whole blocks."""
        if self.first is None or self.pieces is None:
            start = blocks * self.length
            return np.arange(len(blocks)), start, np.minimum(self.length, self.tokens - start)
        begin, count = self.first[blocks], self.first[blocks + 1] - self.first[blocks]
        row = np.repeat(np.arange(len(blocks)), count)
        place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        chosen = self.pieces[begin[row] + place]
        return row, chosen["start"], chosen["length"].astype(np.int64)

    def predicted(self, order: Permutation, taken: int) -> int:
        """Tokens that the first `taken` blocks of an epoch in this order predict."""
        if self.first is not None and taken < len(self) // RATIO:
            places = (np.arange(low, min(low + _CHUNK, taken)) for low in range(0, taken, _CHUNK))
            return sum(int(self._whole(order.forward(some))[2].sum()) for some in places) - taken
        missing = 0
        for blocks, padding in self._padded():
            missing += int(padding[order.inverse(blocks) < taken].sum())
        return taken * (self.length - 1) - missing

    def _padded(self) -> Iterator[tuple[Indices, Indices]]:
        """Blocks that are not full, with their padding, in bounded chunks; for concat only the last can be one."""
        chunk = 1 if self.first is None else _CHUNK
        begin = max(0, len(self) - 1) if self.first is None else 0
        for low in range(begin, len(self), chunk):
            blocks = np.arange(low, min(low + chunk, len(self)))
            row, _, length = self._whole(blocks)
            padding = self.length - np.bincount(row, length, len(blocks)).astype(np.int64)
            yield blocks[padding > 0], padding[padding > 0]


def write_best_fit(starts: npt.NDArray[np.int64], length: int, blocks_path: Path, pieces_path: Path) -> None:
    """Pack the documents that begin at `starts` (int64[n + 1], the last is the end); write the two arrays of `Blocks`.

    Best-fit decreasing (Ding et al. 2024, Fewer Truncations Improve Language Modeling), on groups of 2^20 documents.
    """
    done = 0
    with blocks_path.open("wb") as blocks, pieces_path.open("wb") as pieces:
        blocks.write(np.zeros(1, "<i8").data)
        for low in range(0, len(starts) - 1, GROUP):
            borders = np.asarray(starts[low : low + GROUP + 1])
            first, packed = best_fit(borders, length)
            blocks.write((first[1:] + done).astype("<i8").data)
            pieces.write(packed.data)
            done += len(packed)


def best_fit(starts: npt.NDArray[np.int64], length: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Pack one group of documents: (first piece of each block int64[blocks + 1], pieces in block order)."""
    sizes = np.diff(starts)
    whole, rest = np.divmod(sizes, length)
    row = np.repeat(np.arange(len(sizes)), whole)
    number = np.arange(len(row)) - np.repeat(np.cumsum(whole) - whole, whole)
    tail = np.flatnonzero(rest)
    decreasing = np.argsort(-rest[tail], kind="stable")
    bins = np.empty(len(tail), np.int64)
    bins[decreasing] = _best_fit(rest[tail][decreasing], length)
    pieces = np.empty(len(row) + len(tail), PIECE)
    pieces["start"] = np.concatenate([starts[row] + number * length, starts[tail] + whole[tail] * length])
    pieces["length"] = np.concatenate([np.full(len(row), length), rest[tail]])
    block = np.concatenate([np.arange(len(row)), len(row) + bins])
    first = np.concatenate([[0], np.cumsum(np.bincount(block))]) if len(block) else np.zeros(1, np.int64)
    return first.astype(np.int64), pieces[np.argsort(block, kind="stable")]


@numba.njit(cache=True, nogil=True)
def _best_fit(sizes: Any, capacity: int) -> Any:
    """Bin of each size (decreasing), int64[n]: the open bin with the least room that still holds it, else a new one.

    Bins of equal room are a stack (`top`, `below`); a binary tree over rooms says which stacks are not empty.
    """
    leaves = 1
    while leaves < capacity + 1:
        leaves *= 2
    some = np.zeros(2 * leaves, np.bool_)
    top = np.full(capacity + 1, -1, np.int64)
    below = np.empty(len(sizes), np.int64)
    bins = np.empty(len(sizes), np.int64)
    count = 0
    for k in range(len(sizes)):
        node = leaves + sizes[k]
        while node > 1 and not some[node]:  # climb to a subtree at the right that holds a bin
            while node > 1 and node % 2 == 1:
                node //= 2
            node = node + 1 if node > 1 else 1
            if node == 1:
                break
        if node == 1:
            chosen, room = count, capacity
            count += 1
        else:
            while node < leaves:
                node = 2 * node if some[2 * node] else 2 * node + 1
            room = node - leaves
            chosen = top[room]
            top[room] = below[chosen]
            if top[room] < 0:
                some[node] = False
                while node > 1:
                    node //= 2
                    some[node] = some[2 * node] or some[2 * node + 1]
        bins[k] = chosen
        room -= sizes[k]
        below[chosen] = top[room]
        top[room] = chosen
        node = leaves + room
        while node >= 1 and not some[node]:
            some[node] = True
            node //= 2
    return bins
