"""Signatures by fast similarity sketching (Dahlgaard, Knudsen, Thorup, FOCS 2017): k bins with a value each.

In round 0, 1, .. a hash of the round sends every shingle to one of k bins with a value, and a bin keeps the least
value of the first round in which anything came to it; it ends when no bin is empty. From round k on every shingle
goes to bin number (round - k), so that round 2k - 1 is the last. Two documents agree in a bin with probability J, their
Jaccard similarity, and vary no more around it than with k independent permutations (Broder 1997), which would hash
every shingle k times: here most documents are done after round 0, the shortest after about k ln k hashes in all.

The hash of round 0 is that of the shingle. Its lower half gives the bin, its upper half the value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from corpuskit.core.batch import utf8
from corpuskit.kernels.hashing import K1, hash_text, mix
from corpuskit.kernels.intrinsics import fold_multiply
from corpuskit.kernels.normalize import hash_seeds, scratch, steps
from corpuskit.kernels.shingle import Unit, each_shingle, prepare, shingle_hashes, word_room
from corpuskit.kernels.unicode import tables

BLOCK = 4096
"""Shingles taken at a time where they are collected for the rounds after the first."""

SEEN = 1024
"""Places of the table by which the repetitions of a block are dropped."""

EMPTY = ~np.uint64(0)
"""An empty bin. A filled one holds round * 2^32 + value, so that the least wins: the first round, its least value."""

LOWER = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


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


@njit(nogil=True, cache=True, inline="always")
def round_salt(number: Any) -> Any:
    """uint64 of a round: the output of splitmix64 (Steele et al. 2014) at this state."""
    value = np.uint64(number) + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(nogil=True, cache=True, inline="always")
def bin_of(value: Any, bins: Any) -> Any:
    """The bin of a hash: its lower half, scaled to 0 .. bins - 1 (Lemire 2019)."""
    return ((value & LOWER) * np.uint64(bins)) >> HALF


@njit(nogil=True, cache=True, inline="always")
def _place(value: Any, _number: Any, filled: Any) -> None:
    """Round 0 for one shingle hash; without a branch, which could not be foreseen."""
    at = bin_of(value, len(filled))
    filled[at] = min(filled[at], value >> HALF)


@njit(nogil=True, cache=True)
def _thin(values: Any, seen: Any) -> Any:
    """Move values to the front but for most repetitions; how many. `seen`: uint64[a power of two] of scratch."""
    seen[:] = 0
    seen[0] = 1  # no value is taken for one that was seen: 0 belongs to place 0, and 1 to place 1
    kept = 0
    for value in values:
        at = value & np.uint64(len(seen) - 1)
        values[kept] = value
        kept += seen[at] != value
        seen[at] = value
    return kept


@njit(nogil=True, cache=True)
def _insert(value: Any, table: Any) -> Any:
    """Whether the hash is new to an open-addressing set: uint64[a power of two], 0 where empty, never full."""
    last = np.uint64(len(table) - 1)
    at = value & last
    while table[at] != 0:
        if table[at] == value:
            return False
        at = (at + np.uint64(1)) & last
    table[at] = value
    return True


@njit(nogil=True, cache=True)
def _distinct(prepared: Any, text: Any, positions: Any, words: Any, by_word: Any, n: Any, block: Any, seen: Any) -> Any:
    """The shingle hashes of a document, each at least once: uint64[m]; of more than a block each exactly once.

    Called for documents that left a bin empty. Of n distinct shingles that happens with probability below
    k e^(-n / k): such a document is short, or repeats itself, and the set stays small however long it is.
    """
    size, chars, found, count = prepared
    if count <= len(block):
        shingle_hashes(text, size, chars, positions, words, found, by_word, n, 0, count, block)
        return block[: _thin(block[:count], seen)]
    values = np.empty(len(block), np.uint64)
    table = np.zeros(2 * len(block), np.uint64)
    distinct = 0
    for first in range(0, count, len(block)):
        last = min(count, first + len(block))
        shingle_hashes(text, size, chars, positions, words, found, by_word, n, first, last, block)
        for value in block[: _thin(block[: last - first], seen)]:
            if not _insert(value, table):
                continue
            if distinct == len(values):
                table = np.zeros(2 * len(table), np.uint64)
                values = np.append(values, values)
                for j in range(distinct):
                    _insert(values[j], table)
                _insert(value, table)
            values[distinct] = value
            distinct += 1
    return values[:distinct]


@njit(nogil=True, cache=True)
def _later_rounds(values: Any, filled: Any) -> None:
    """Rounds 1, 2, .. over the distinct hashes of a document, until no bin is empty."""
    bins = len(filled)
    empty = 0  # no bin before it is empty
    for number in range(1, 2 * bins):
        while empty < bins and filled[empty] != EMPTY:
            empty += 1
        if empty == bins:
            return
        salt = round_salt(number)
        begin = np.uint64(number) << HALF
        if number < bins:
            for value in values:
                mixed = fold_multiply(value ^ K1, salt)
                at = bin_of(mixed, bins)
                filled[at] = min(filled[at], begin | (mixed >> HALF))
        elif filled[number - bins] == EMPTY:
            for value in values:
                mixed = fold_multiply(value ^ K1, salt)
                filled[number - bins] = min(filled[number - bins], begin | (mixed >> HALF))


@njit(nogil=True, cache=True)
def _sketch(
    data: Any, offsets: Any, by_word: Any, n: Any, lower: Any, classes: Any, steps: Any, text: Any, positions: Any,
    words: Any, seeds: Any, block: Any, seen: Any, filled: Any, signature: Any, hashes: Any, shingles: Any,
) -> None:  # fmt: skip
    for i in range(len(shingles)):
        prepared = prepare(data, offsets[i], offsets[i + 1], by_word, n, lower, classes, steps, text, positions, words)
        size, chars, found, count = prepared
        shingles[i] = count
        filled[:] = EMPTY
        if count and len(filled):
            each_shingle(text, size, chars, positions, words, found, by_word, n, 0, count, _place, filled)
            if filled.max() == EMPTY:
                _later_rounds(_distinct(prepared, text, positions, words, by_word, n, block, seen), filled)
        for j in range(len(filled)):
            signature[i, j] = np.uint32(filled[j] & LOWER)
        sequence = np.uint64(0)
        if found >= n:
            for j in range(found):
                sequence = mix(words[j], sequence)
        hashes[i, 0], hashes[i, 1] = hash_text(text, 0, size, seeds[0] ^ sequence, seeds[1] ^ sequence)


def sketch(column: pa.Array, unit: Unit, n: int, permutations: int, seed: int = 0) -> Sketches:
    """Signature and 128-bit hash of each row of a string column; the seed sets the hashes of domains apart.

    Args:
        permutations: places of a signature, the k of the method.
    """
    data, offsets = utf8(column)
    rows = len(offsets) - 1
    longest = int(np.diff(offsets).max(initial=0))
    made = Sketches(np.empty((rows, permutations), np.uint32), np.empty((rows, 2), np.uint64), np.empty(rows, np.int64))
    room = (*tables(), steps(), *scratch(longest), word_room(unit, longest))
    block, seen, filled = (np.empty(size, np.uint64) for size in (BLOCK, SEEN, permutations))
    outputs = (made.signature, made.hash, made.shingles)
    _sketch(data, offsets, unit == "word", n, *room, hash_seeds(seed), block, seen, filled, *outputs)
    return made
