r"""Words and pairs of words of documents, hashed into buckets: what DSIR counts, and the sum of a value over them.

In Python the words are `re.findall(r"\w+|[^\w\s]+", text.lower())`: runs of letters, digits and `_`, and runs of what
is neither of these nor white space. Lower case is that of `str.lower` for all of Unicode, U+0130 and the final sigma
included; nothing else is normalized.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from corpuskit.core.batch import utf8
from corpuskit.kernels.hashing import K1, K2, hash_piece
from corpuskit.kernels.intrinsics import (
    fold_multiply,
    load64,
    mask_space,
    mask_word,
    store32,
    store_lower,
    trailing_zeros,
)
from corpuskit.kernels.normalize import (
    STEP_SPACE,
    STEP_SPECIAL,
    STEP_UNLIKE,
    STEP_WORD,
    behind,
    blocks,
    decode,
    encode,
    is_final_sigma,
    low_bits,
    scratch,
    step_of,
    steps,
    written,
    written_bytes,
)
from corpuskit.kernels.shingle import BASE
from corpuskit.kernels.unicode import DOT_ABOVE, DOTTED_I, FINAL_SIGMA, SIGMA, SPACE, WORD, tables

BUCKETS = 10_000
"""As in the reference implementation of DSIR, where the hash is another one."""

ROOM = 4096
"""Words that are hashed before their buckets are used: a giant document needs no more room for them."""

BLOCK_WORDS = 65
"""Words that one block of 64 bytes can end, at most (and the last one of the document)."""

ONE, ZERO, BUCKET_COUNT = np.uint64(1), np.uint64(0), np.uint64(BUCKETS)
NONE, OTHER = 0, 16
"""Kinds of an unfinished word beside `WORD`: there is none; neither letters nor white space."""


@njit(nogil=True, cache=True)
def hash_words(
    data: Any, start: Any, at: Any, end: Any, lower: Any, classes: Any, steps: Any, lowered: Any, size: Any, kind: Any,
    words: Any, count: Any,
) -> Any:  # fmt: skip
    """Hash words of the document `data[start:end]` from `at` on into `words[count:]`, until it ends or they are full.

    Args:
        lowered: holds the unfinished word, of `size` bytes and of that `kind`, and behind it the block at hand.

    Returns:
        (at, size, kind, count) to go on with.
    """
    while at < end and count + BLOCK_WORDS <= len(words):
        length, leads = blocks(data, at, end)
        if length:
            size, kind, count = _block(data, at, length, lowered, size, kind, words, count)
            at += length
            continue
        block = at
        while leads:
            at = block + trailing_zeros(leads)
            leads &= leads - ONE
            raw = load64(data, at)
            step = step_of(raw, steps)
            if step & (STEP_SPECIAL | STEP_UNLIKE):
                size, kind, count = _special(data, start, end, at, lower, classes, lowered, size, kind, words, count)
                continue
            now = WORD if step & STEP_WORD else NONE if step & STEP_SPACE else OTHER
            if now != kind:
                size, count = _end(lowered, size, words, count)
                kind = now
            if now != NONE:
                store32(lowered, size, written(raw, step))
                size += np.int64(written_bytes(step))
        at = behind(data, at)
    if at >= end:
        size, count = _end(lowered, size, words, count)
        kind = NONE
    return at, size, kind, count


@njit(nogil=True, cache=True, inline="always")
def _end(lowered: Any, size: Any, words: Any, count: Any) -> Any:
    """Hash the unfinished word, if there is one: (0 bytes left, the new count)."""
    if size:
        words[count] = hash_piece(lowered, 0, size)
        count += 1
    return 0, count


@njit(nogil=True, cache=True)
def _special(
    data: Any, start: Any, end: Any, at: Any, lower: Any, classes: Any, lowered: Any, size: Any, kind: Any, words: Any,
    count: Any,
) -> Any:  # fmt: skip
    """Go on with any code point: the new (size, kind, count)."""
    c, _ = decode(data, at)
    final = c == SIGMA and is_final_sigma(data, start, end, at, classes)
    low = FINAL_SIGMA if final else np.int64(lower[c])
    size, kind, count = _append(low, classes, lowered, size, kind, words, count)
    if c == DOTTED_I:
        size, kind, count = _append(DOT_ABOVE, classes, lowered, size, kind, words, count)
    return size, kind, count


@njit(nogil=True, cache=True)
def _append(c: Any, classes: Any, lowered: Any, size: Any, kind: Any, words: Any, count: Any) -> Any:
    now = WORD if classes[c] & WORD else NONE if classes[c] & SPACE else OTHER
    if now != kind:
        size, count = _end(lowered, size, words, count)
    if now != NONE:
        size = encode(c, lowered, size)
    return size, now, count


@njit(nogil=True, cache=True)
def _block(data: Any, at: Any, length: Any, lowered: Any, size: Any, kind: Any, words: Any, count: Any) -> Any:
    """Go on with up to 64 ASCII bytes: the new (size, kind, count)."""
    store_lower(data, at, lowered, size)
    word = mask_word(data, at)
    inside = ~mask_space(data, at)
    other = inside & ~word
    # where a run of letters, or one of neither letters nor white space, begins or ends
    borders = word ^ ((word << ONE) | np.uint64(kind == WORD))
    borders |= other ^ ((other << ONE) | np.uint64(kind == OTHER))
    borders &= low_bits(length)
    begin = 0  # of the word at hand, in `lowered`
    open_word = kind != NONE
    while borders:
        place = trailing_zeros(borders)
        borders &= borders - ONE
        border = size + place
        if open_word:
            words[count] = hash_piece(lowered, begin, border - begin)
            count += 1
        begin = border
        open_word = (inside >> np.uint64(place)) & ONE != ZERO
    if not open_word:
        return 0, NONE, count
    left = size + length - begin
    if begin:
        for i in range(left):
            lowered[i] = lowered[begin + i]
    return left, (WORD if (word >> np.uint64(length - 1)) & ONE else OTHER), count


@njit(nogil=True, cache=True, inline="always")
def bucket_of_word(word: Any) -> Any:
    """Bucket of a word by its hash."""
    return word % BUCKET_COUNT


@njit(nogil=True, cache=True, inline="always")
def bucket_of_pair(first: Any, second: Any) -> Any:
    """Bucket of two words that follow one another, by their hashes."""
    return fold_multiply((first * BASE + second) ^ K1, K2 ^ np.uint64(2)) % BUCKET_COUNT


@njit(nogil=True, cache=True)
def _count(
    data: Any, offsets: Any, lower: Any, classes: Any, steps: Any, lowered: Any, words: Any, counts: Any
) -> None:
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        at, size, kind, held = start, 0, NONE, 0  # `held`: 1 where words[0] is the last word of the round before
        while at < end:
            at, size, kind, found = hash_words(
                data, start, at, end, lower, classes, steps, lowered, size, kind, words, held
            )
            for i in range(held, found):
                counts[bucket_of_word(words[i])] += 1
            for i in range(1, found):
                counts[bucket_of_pair(words[i - 1], words[i])] += 1
            if found:
                words[0], held = words[found - 1], 1


@njit(nogil=True, cache=True)
def _sum(
    data: Any, offsets: Any, lower: Any, classes: Any, steps: Any, lowered: Any, words: Any, values: Any, sums: Any
) -> None:
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        at, size, kind, held = start, 0, NONE, 0
        total = 0.0
        while at < end:
            at, size, kind, found = hash_words(
                data, start, at, end, lower, classes, steps, lowered, size, kind, words, held
            )
            for i in range(held, found):
                total += values[bucket_of_word(words[i])]
            for i in range(1, found):
                total += values[bucket_of_pair(words[i - 1], words[i])]
            if found:
                words[0], held = words[found - 1], 1
        sums[row] = total if held else np.nan


Room: TypeAlias = tuple[
    npt.NDArray[np.int32], npt.NDArray[np.uint8], npt.NDArray[np.uint32], npt.NDArray[np.uint8], npt.NDArray[np.uint64]
]


def _room(offsets: npt.NDArray[np.int64]) -> Room:
    lowered, _ = scratch(int(np.diff(offsets).max(initial=0)))
    return *tables(), steps(), lowered, np.empty(ROOM, np.uint64)


def gram_counts(column: pa.Array) -> npt.NDArray[np.int64]:
    """How many words and pairs of neighbours all rows of a string column have in each bucket: int64[10000]."""
    data, offsets = utf8(column)
    counts = np.zeros(BUCKETS, np.int64)
    _count(data, offsets, *_room(offsets), counts)
    return counts


def gram_sums(column: pa.Array, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The sum of `values`, float64[10000], over the words and pairs of each row: float64[n], NaN without a word."""
    data, offsets = utf8(column)
    sums = np.empty(len(offsets) - 1, np.float64)
    _sum(data, offsets, *_room(offsets), values, sums)
    return sums
