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
from typing import Any

import numpy as np
import numpy.typing as npt

from corpuskit.train.order import Indices, Permutation

PIECE = np.dtype([("start", "<i8"), ("length", "<i4")])
"""A piece of a block: where in the domain's stream it starts, and its tokens. 12 bytes; a block adds 8."""

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

    def holding(self, begin: Indices, end: Indices) -> Indices:
        """Sorted numbers of the sequences that hold tokens of stretches [begin, end), which are in order and apart."""
        if self.first is None or self.pieces is None:
            pairs = zip((begin // self.length).tolist(), ((end - 1) // self.length).tolist(), strict=True)
            blocks = np.unique(np.concatenate([np.arange(low, high + 1) for low, high in pairs]))
        else:
            met = _meet(self.pieces["start"], self.pieces["length"], begin, end)
            blocks = np.unique(np.searchsorted(self.first, np.flatnonzero(met), side="right") - 1)
        sequences = (blocks[:, None] * self.slices + np.arange(self.slices)).reshape(-1)
        row, start, length = self.ranges(sequences)
        return sequences[np.unique(row[_meet(start, length, begin, end)])]

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


def _meet(start: Indices, length: Indices, begin: Indices, end: Indices) -> npt.NDArray[np.bool_]:
    """Which stretches of `length` tokens from `start` on meet one of [begin, end), which are in order and apart."""
    at = np.searchsorted(end, start, side="right")
    inside = at < len(end)
    return inside & (begin[np.minimum(at, len(end) - 1)] < start + length)
