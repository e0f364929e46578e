"""Best-fit packing: lays the documents of a domain into blocks, see `corpuskit.train.blocks`, which reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from corpuskit.train.blocks import PIECE

GROUP = 1 << 20
"""Documents packed together: bounds memory (about 60 bytes a document), and costs next to nothing in padding."""


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
    pieces, block = _cut(starts, length)
    first = np.zeros(int(block.max(initial=-1)) + 2, np.int64)
    np.cumsum(np.bincount(block), out=first[1:])
    return first, pieces[np.argsort(block, kind="stable")]


def _cut(starts: npt.NDArray[np.int64], length: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The pieces of a group of documents, those that fill a block first, and the block of each, int64[pieces]."""
    whole, rest = np.divmod(np.diff(starts), length)
    row = np.repeat(np.arange(len(whole)), whole)
    number = np.arange(len(row)) - np.repeat(np.cumsum(whole) - whole, whole)
    tail = np.flatnonzero(rest)
    pieces = np.empty(len(row) + len(tail), PIECE)
    pieces["start"] = np.concatenate([starts[row] + number * length, starts[tail] + whole[tail] * length])
    rest = rest[tail]
    pieces["length"] = np.concatenate([np.full(len(row), length), rest])
    del whole, tail
    decreasing = np.argsort(-rest, kind="stable")
    block = np.arange(len(pieces))
    block[len(row) :][decreasing] = len(row) + _best_fit(rest[decreasing], length)
    return pieces, block


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
