"""Shingles of documents that are in an index: how many of one indexed document, at most; and which, and where."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from corpuskit.core.batch import utf8
from corpuskit.kernels.normalize import scratch, steps
from corpuskit.kernels.shingle import hash_words, shingle_hashes, word_room
from corpuskit.kernels.unicode import tables


@njit(nogil=True, cache=True)
def best_overlap(hashes: Any, offsets: Any, keys: Any, owners: Any, heads: Any, shift: Any, documents: Any) -> Any:
    """Largest number of shingles that each document shares with one indexed document.

    Args:
        hashes, offsets: distinct shingle hashes of n documents, uint64[offsets[n]], int64[n + 1].
        keys, owners: hashes of the index, sorted, uint64[m], and the indexed document of each, int32[m].
        heads: for each value of `key >> shift`, where its keys begin, int64[2 ** bits + 1].
        shift: 64 - bits, uint64.
        documents: number of indexed documents.

    Returns:
        int64[n].
    """
    rows = len(offsets) - 1
    best = np.zeros(rows, np.int64)
    shared = np.zeros(documents, np.int64)
    touched = np.empty(documents, np.int64)
    for row in range(rows):
        count = 0
        for i in range(offsets[row], offsets[row + 1]):
            key = hashes[i]
            bucket = np.int64(key >> shift)
            for at in range(heads[bucket], heads[bucket + 1]):
                if keys[at] > key:
                    break
                if keys[at] == key:
                    owner = owners[at]
                    if shared[owner] == 0:
                        touched[count] = owner
                        count += 1
                    shared[owner] += 1
        for k in range(count):
            best[row] = max(best[row], shared[touched[k]])
            shared[touched[k]] = 0
    return best


@njit(nogil=True, cache=True)
def _grams(
    data: Any, offsets: Any, n: Any, lower: Any, classes: Any, steps: Any, text: Any, positions: Any, words: Any,
    out: Any, ends: Any,
) -> None:  # fmt: skip
    size = 0
    for row in range(len(offsets) - 1):
        found = hash_words(data, offsets[row], offsets[row + 1], lower, classes, steps, text, words)
        count = max(0, found - n + 1)
        if count:
            shingle_hashes(text, 0, 0, positions, words, found, True, n, 0, count, out[size:])
        size += count
        ends[row + 1] = size


def word_grams(column: pa.Array, n: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """The hash of every run of n words of each row, in order: (uint64[total], offsets int64[rows + 1]).

    Words are those of `corpuskit.kernels.shingle`; a row of fewer has none.
    """
    data, offsets = utf8(column)
    out, ends = np.empty(int(offsets[-1]) // 2 + len(offsets), np.uint64), np.zeros(len(offsets), np.int64)
    room = _room(offsets)
    _grams(data, offsets, n, *room, out, ends)
    return out[: int(ends[-1])], ends


def _room(offsets: npt.NDArray[np.int64]) -> tuple[Any, Any, Any, Any, Any, Any]:
    longest = int(np.diff(offsets).max(initial=0))
    return *tables(), steps(), *scratch(longest), word_room("word", longest)


@njit(nogil=True, cache=True)
def _find(
    data: Any, offsets: Any, lengths: Any, lower: Any, classes: Any, steps: Any, text: Any, positions: Any, words: Any,
    hashes: Any, keys: Any, heads: Any, shift: Any,
) -> Any:  # fmt: skip
    found = np.empty((64, 2), np.int64)
    size = 0
    for row in range(len(offsets) - 1):
        have = hash_words(data, offsets[row], offsets[row + 1], lower, classes, steps, text, words)
        for n in lengths:
            count = have - n + 1
            if count <= 0:
                continue
            shingle_hashes(text, 0, 0, positions, words, have, True, n, 0, count, hashes)
            for i in range(count):
                key = hashes[i]
                bucket = np.int64(key >> shift)
                for at in range(heads[bucket], heads[bucket + 1]):
                    if keys[at] < key:
                        continue
                    if keys[at] == key:
                        if size == len(found):
                            longer = np.empty((2 * size, 2), np.int64)
                            longer[:size] = found
                            found = longer
                        found[size, 0], found[size, 1] = row, at
                        size += 1
                    break
    return found[:size]


def find_grams(
    column: pa.Array, lengths: npt.NDArray[np.int64], keys: Any, heads: Any, shift: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Which runs of words of each row are in an index.

    Args:
        column: n texts. lengths: of the runs in the index, in words.
        keys: hashes as of `word_grams`, sorted and distinct. heads, shift: as for `best_overlap`.

    Returns:
        (row, number of the key), int64[m, 2], sorted and distinct, and how often, int64[m].
    """
    data, offsets = utf8(column)
    room = _room(offsets)
    hashes = np.empty(len(room[-1]), np.uint64)
    found = _find(data, offsets, lengths, *room, hashes, keys, heads, np.uint64(shift))
    pairs, times = np.unique(found, axis=0, return_counts=True)
    return pairs, times
