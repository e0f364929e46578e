r"""Shingles of documents as 64-bit hashes.

Unit `char`: every run of n code points of the slimpajama-normalized text. Unit `word`: every run of n words, a word
being a `\w+` run of the lower-cased text as Python's `re` finds it. A document of fewer than n units has one shingle,
its whole normalized text; one whose normalized text is empty has none.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from corpuskit.arrow import utf8
from corpuskit.kernels.hashing import K1, K2, hash_bytes
from corpuskit.kernels.intrinsics import fold_multiply, mask_word, store_lower, trailing_zeros
from corpuskit.kernels.normalize import (
    ascii_run,
    decode,
    encode,
    is_final_sigma,
    low_bits,
    normalize_document,
    scratch,
)
from corpuskit.kernels.unicode import DOT_ABOVE, DOTTED_I, FINAL_SIGMA, SIGMA, WORD, tables

Unit = Literal["char", "word"]

ONE, ZERO = np.uint64(1), np.uint64(0)
BASE = np.uint64(0xD1342543DE82EF95)
"""Multiplier of the rolling polynomial over word hashes; 5 modulo 8, so that its powers differ early."""


@njit(nogil=True, cache=True)
def hash_words(data: Any, start: Any, end: Any, lower: Any, classes: Any, lowered: Any, words: Any) -> Any:
    r"""Hash every `\w+` run of UTF-8 `data[start:end]`, lower-cased as Python does, into `words`; how many.

    ASCII goes 64 bytes a step; `lowered` holds the unfinished word, and behind it the block at hand.
    """
    count = 0
    size = 0  # of the unfinished word
    at = start
    while at < end:
        length = ascii_run(data, at, end)
        if length:
            count, size = _words_of_block(data, at, length, lowered, size, words, count)
            at += length
            continue
        begin = at
        c, at = decode(data, at)
        final = c == SIGMA and is_final_sigma(data, start, end, begin, classes)
        low = FINAL_SIGMA if final else np.int64(lower[c])
        if classes[low] & WORD:
            size = encode(low, lowered, size)
            if c != DOTTED_I:
                continue
            if classes[DOT_ABOVE] & WORD:
                size = encode(DOT_ABOVE, lowered, size)
                continue
        if size:
            words[count] = hash_bytes(lowered, 0, size, ZERO)
            count += 1
            size = 0
    if size:
        words[count] = hash_bytes(lowered, 0, size, ZERO)
        count += 1
    return count


@njit(nogil=True, cache=True)
def _words_of_block(data: Any, at: Any, length: Any, lowered: Any, size: Any, words: Any, count: Any) -> Any:
    """Go on with up to 64 ASCII bytes and an unfinished word of `size` bytes: the new (count, size)."""
    store_lower(data, at, lowered, size)
    word = mask_word(data, at) & low_bits(length)
    inside = size > 0
    begin = 0  # of the word at hand, in `lowered`
    borders = (word ^ ((word << ONE) | (ONE if inside else ZERO))) & low_bits(length)
    while borders:
        border = size + trailing_zeros(borders)
        borders &= borders - ONE
        if inside:
            words[count] = hash_bytes(lowered, begin, border - begin, ZERO)
            count += 1
        else:
            begin = border
        inside = not inside
    if not inside:
        return count, 0
    left = size + length - begin
    if begin:
        for i in range(left):
            lowered[i] = lowered[begin + i]
    return count, left


@njit(nogil=True, cache=True)
def prepare(
    data: Any,
    start: Any,
    end: Any,
    by_word: Any,
    n: Any,
    lower: Any,
    classes: Any,
    text: Any,
    positions: Any,
    words: Any,
) -> Any:
    """Normalize a document into `text` and hash its words into `words`.

    Returns:
        (bytes, code points, words (0 by char), shingles with repetitions).
    """
    found = 0
    if by_word:
        found = hash_words(data, start, end, lower, classes, text, words)
    size, chars = normalize_document(data, start, end, lower, classes, text, positions)
    if chars == 0:
        return 0, 0, 0, 0
    units = found if by_word else chars
    return size, chars, found, max(1, units - n + 1)


@njit(nogil=True, cache=True)
def _char_shingles(text: Any, size: Any, chars: Any, positions: Any, n: Any, first: Any, last: Any, out: Any) -> None:
    if size != chars:
        for i in range(first, last):
            out[i - first] = hash_bytes(text, np.int64(positions[i]), np.int64(positions[i + n] - positions[i]), ZERO)
    elif n == 13:
        for i in range(first, last):
            out[i - first] = hash_bytes(text, i, 13, ZERO)
    else:
        for i in range(first, last):
            out[i - first] = hash_bytes(text, i, n, ZERO)


@njit(nogil=True, cache=True)
def _word_shingles(words: Any, n: Any, first: Any, last: Any, out: Any) -> None:
    top = ONE
    rolling = ZERO
    for i in range(n - 1):
        top *= BASE
        rolling = rolling * BASE + words[first + i]
    salt = np.uint64(n) ^ K2
    for i in range(first, last):
        rolling = rolling * BASE + words[i + n - 1]
        out[i - first] = fold_multiply(rolling ^ K1, salt)
        rolling -= words[i] * top


@njit(nogil=True, cache=True)
def shingle_hashes(
    text: Any,
    size: Any,
    chars: Any,
    positions: Any,
    words: Any,
    found: Any,
    by_word: Any,
    n: Any,
    first: Any,
    last: Any,
    out: Any,
) -> None:
    """Hash shingles number `first` to `last` of a prepared document into `out` (uint64)."""
    if (found if by_word else chars) < n:
        out[0] = hash_bytes(text, 0, size, ZERO)
    elif by_word:
        _word_shingles(words, n, first, last, out)
    else:
        _char_shingles(text, size, chars, positions, n, first, last, out)


@njit(nogil=True, cache=True)
def _count_shingles(
    data: Any, offsets: Any, by_word: Any, n: Any, lower: Any, classes: Any, text: Any, positions: Any, words: Any,
    starts: Any,
) -> None:  # fmt: skip
    for i in range(len(offsets) - 1):
        prepared = prepare(data, offsets[i], offsets[i + 1], by_word, n, lower, classes, text, positions, words)
        starts[i + 1] = starts[i] + prepared[3]


@njit(nogil=True, cache=True)
def _write_shingles(
    data: Any, offsets: Any, by_word: Any, n: Any, lower: Any, classes: Any, text: Any, positions: Any, words: Any,
    starts: Any, out: Any,
) -> None:  # fmt: skip
    for i in range(len(offsets) - 1):
        size, chars, found, count = prepare(
            data, offsets[i], offsets[i + 1], by_word, n, lower, classes, text, positions, words
        )
        if count:
            target = out[starts[i] :]
            shingle_hashes(text, size, chars, positions, words, found, by_word, n, 0, count, target)


@njit(nogil=True, cache=True)
def _distinct(hashes: Any, starts: Any, offsets: Any) -> None:
    """Move the distinct values of every sorted row to the front; `offsets` gets the new borders."""
    size = 0
    for i in range(len(starts) - 1):
        begin = size
        for j in range(starts[i], starts[i + 1]):
            if size == begin or hashes[j] != hashes[size - 1]:
                hashes[size] = hashes[j]
                size += 1
        offsets[i + 1] = size


def word_room(unit: Unit, longest: int) -> npt.NDArray[np.uint64]:
    """Buffer for the word hashes of documents of up to `longest` bytes."""
    return np.empty((longest + 1) // 2 + 1 if unit == "word" else 1, np.uint64)


def shingle_sets(column: pa.Array, unit: Unit, n: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """The shingle set of each row: (hashes uint64, sorted and distinct within a row; offsets int64[n + 1]).

    Needs about 8 bytes a shingle, repetitions included, and six times the longest document.
    """
    data, offsets = utf8(column)
    longest = int(np.diff(offsets).max(initial=0))
    room = (*tables(), *scratch(longest), word_room(unit, longest))
    starts = np.zeros(len(offsets), np.int64)
    _count_shingles(data, offsets, unit == "word", n, *room, starts)
    hashes = np.empty(int(starts[-1]), np.uint64)
    _write_shingles(data, offsets, unit == "word", n, *room, starts, hashes)
    for i in range(len(starts) - 1):
        hashes[starts[i] : starts[i + 1]].sort()
    ends = np.zeros(len(offsets), np.int64)
    _distinct(hashes, starts, ends)
    return hashes[: int(ends[-1])], ends
