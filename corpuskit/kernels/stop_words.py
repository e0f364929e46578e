"""How many words of a list occur in each document, every document having a list of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from corpuskit.core.batch import utf8
from corpuskit.kernels.hashing import hash_piece
from corpuskit.kernels.words import find_words


@njit(nogil=True, cache=True)
def _hash_rows(data: Any, offsets: Any, out: Any) -> None:
    for row in range(len(offsets) - 1):
        out[row] = hash_piece(data, offsets[row], offsets[row + 1] - offsets[row])


def word_keys(words: list[str]) -> npt.NDArray[np.uint64]:
    """The sorted hashes of different words, uint64[m]."""
    out = np.empty(len(words), np.uint64)
    _hash_rows(*utf8(pa.array(words, pa.string())), out)
    return np.unique(out)


@njit(nogil=True, cache=True)
def _count(data: Any, offsets: Any, keys: Any, first: Any, last: Any, bounds: Any, seen: Any, out: Any) -> None:
    for row in range(len(offsets) - 1):
        if first[row] == last[row]:
            continue
        listed = keys[first[row] : last[row]]
        seen[: len(listed)] = False
        words, _, _ = find_words(data, offsets[row], offsets[row + 1], bounds)
        for word in range(words):
            begin, end = bounds[2 * word], bounds[2 * word + 1]
            key = hash_piece(data, begin, end - begin)
            at = np.searchsorted(listed, key)
            if at < len(listed) and listed[at] == key and not seen[at]:
                seen[at] = True
                out[row] += 1


def count_listed(
    column: pa.Array,
    keys: npt.NDArray[np.uint64],
    first: npt.NDArray[np.int64],
    last: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """How many different words of its list each of n texts has, int64[n]; words are what `str.split()` gives.

    Args:
        column: n texts.
        keys: the lists, one behind the other, each as `word_keys` gives it.
        first, last: int64[n], where the list of a text begins and ends.
    """
    data, offsets = utf8(column)
    most = int(np.diff(offsets).max(initial=0))
    out = np.zeros(len(column), np.int64)
    _count(data, offsets, keys, first, last, np.empty(most + 4, np.int64), np.zeros(len(keys), np.bool_), out)
    return out
