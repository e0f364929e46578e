"""MinHash signatures (Broder 1997): for each of k permutations, the minimum over a document's shingles.

A permutation is a * x + b modulo 2^32, a odd, of the upper half of the 64-bit shingle hash. One pass over the UTF-8
buffers normalizes, shingles, hashes and takes the minima.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from corpuskit.arrow import utf8
from corpuskit.kernels.hashing import hash_bytes, mix
from corpuskit.kernels.normalize import hash_seeds, scratch
from corpuskit.kernels.shingle import Unit, prepare, shingle_hashes, word_room
from corpuskit.kernels.unicode import tables

BLOCK = 4096
"""Shingles taken at a time, so that their hashes stay in the cache for all permutations."""


@dataclass(frozen=True)
class Sketches:
    """What dedup knows of each of n rows.

    Attributes:
        signature: uint32[n, permutations]; all ones for a row without shingles.
        hash: uint64[n, 2], equal where the normalized texts are equal and, where the shingles are made of words, the
            words too (`can't` and `cant` normalize alike but are other words): equal hashes mean equal shingle sets.
        shingles: int64[n], with repetitions; 0 where the normalized text is empty.
    """

    signature: npt.NDArray[np.uint32]
    hash: npt.NDArray[np.uint64]
    shingles: npt.NDArray[np.int64]


def splitmix(value: int) -> int:
    """The 64-bit output of splitmix64 (Steele et al. 2014) at state `value`."""
    value = (value + 0x9E3779B97F4A7C15) % 2**64
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % 2**64
    return value ^ (value >> 31)


def permutation_parameters(count: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Multipliers (odd) and summands of `count` permutations: two uint32[count]."""
    draws = [splitmix(i) for i in range(count)]
    multiply = np.array([(draw >> 32) | 1 for draw in draws], np.uint32)
    add = np.array([draw % 2**32 for draw in draws], np.uint32)
    return multiply, add


@njit(nogil=True, cache=True)
def _minima(hashes: Any, multiply: Any, add: Any, signature: Any) -> None:
    for j in range(len(multiply)):
        a = multiply[j]
        b = add[j]
        least = signature[j]
        for i in range(len(hashes)):
            least = min(least, np.uint32(a * hashes[i] + b))
        signature[j] = least


@njit(nogil=True, cache=True)
def _sketch(
    data: Any, offsets: Any, by_word: Any, n: Any, lower: Any, classes: Any, text: Any, positions: Any, words: Any,
    multiply: Any, add: Any, seeds: Any, block: Any, upper: Any, signature: Any, hashes: Any, shingles: Any,
) -> None:  # fmt: skip
    for i in range(len(shingles)):
        size, chars, found, count = prepare(
            data, offsets[i], offsets[i + 1], by_word, n, lower, classes, text, positions, words
        )
        shingles[i] = count
        signature[i, :] = np.uint32(0xFFFFFFFF)
        for first in range(0, count, len(block)):
            last = min(count, first + len(block))
            shingle_hashes(text, size, chars, positions, words, found, by_word, n, first, last, block)
            for j in range(last - first):
                upper[j] = np.uint32(block[j] >> np.uint64(32))
            _minima(upper[: last - first], multiply, add, signature[i])
        sequence = np.uint64(0)
        if found >= n:
            for j in range(found):
                sequence = mix(words[j], sequence)
        hashes[i, 0] = hash_bytes(text, 0, size, seeds[0] ^ sequence)
        hashes[i, 1] = hash_bytes(text, 0, size, seeds[1] ^ sequence)


def sketch(column: pa.Array, unit: Unit, n: int, permutations: int, seed: int = 0) -> Sketches:
    """Signature and 128-bit hash of each row of a string column; the seed sets the hashes of domains apart."""
    data, offsets = utf8(column)
    rows = len(offsets) - 1
    longest = int(np.diff(offsets).max(initial=0))
    made = Sketches(np.empty((rows, permutations), np.uint32), np.empty((rows, 2), np.uint64), np.empty(rows, np.int64))
    room = (*tables(), *scratch(longest), word_room(unit, longest))
    block, upper = np.empty(BLOCK, np.uint64), np.empty(BLOCK, np.uint32)
    outputs = (made.signature, made.hash, made.shingles)
    _sketch(
        data, offsets, unit == "word", n, *room, *permutation_parameters(permutations), hash_seeds(seed), block, upper,
        *outputs,
    )  # fmt: skip
    return made
