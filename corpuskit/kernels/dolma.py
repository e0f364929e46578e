r"""Counts behind Dolma's form of Gopher's rules, and documents without the lines that end in no mark.

Words are what `str.split()` gives, lines what `text.split("\n")` gives, blank ones too, characters code points.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from corpuskit.core.batch import KERNEL_PADDING, utf8
from corpuskit.kernels.hashing import hash_piece
from corpuskit.kernels.heuristics import stop_bit, stop_table
from corpuskit.kernels.intrinsics import load64
from corpuskit.kernels.lines import find_feed
from corpuskit.kernels.unicode import tables
from corpuskit.kernels.words import LOW_BYTES, count_chars, find_words, place_of, stripped, table_bits

COUNTS = (
    "words",
    "word_chars",
    "median_word_length_twice",
    "symbol_words",
    "stop_words",
    "lines",
    "bullet_lines",
    "ellipsis_lines",
    "recurring_lines",
    "recurring_line_chars",
)
"""Columns of the result of `count`."""

LINES = COUNTS.index("lines")

STAR, DASH = 42, 45
HASHES, ELLIPSIS_LEADS = np.uint64(0x2323232323232323), np.uint64(0xE2E2E2E2E2E2E2E2)
LOW, HIGH = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
END_MARKS = np.frombuffer(b'.?!"', np.uint8)


@njit(nogil=True, cache=True, inline="always")
def _is_ellipsis(data: Any, at: Any) -> Any:
    """Whether U+2026 begins at `at`."""
    return data[at] == 0xE2 and data[at + 1] == 0x80 and data[at + 2] == 0xA6


@njit(nogil=True, cache=True, inline="always")
def _has_zero(word: Any) -> Any:
    """Whether one of the eight bytes is 0."""
    return (word - LOW) & ~word & HIGH != 0


@njit(nogil=True, cache=True)
def _has_symbol(data: Any, start: Any, end: Any) -> Any:
    """Whether `#` or U+2026 stands in a word; eight bytes a step."""
    for at in range(start, end, 8):
        word = load64(data, at)
        if end - at < 8:
            word &= (np.uint64(1) << np.uint64(8 * (end - at))) - np.uint64(1)
        if _has_zero(word ^ HASHES):
            return True
        if _has_zero(word ^ ELLIPSIS_LEADS):
            for first in range(at, min(at + 8, end)):
                if _is_ellipsis(data, first):
                    return True
    return False


@njit(nogil=True, cache=True)
def _median_twice(lengths: Any, longest: Any, words: Any) -> Any:
    """Twice the median of word lengths, given how many words have each: the sum of the two in the middle."""
    total = seen = 0
    low, high = (words - 1) // 2, words // 2  # of the lengths in order, from 0
    for length in range(longest + 1):
        after = seen + lengths[length]
        total += length * ((seen <= low < after) + (seen <= high < after))
        seen = after
    return total


@njit(nogil=True, cache=True)
def _count_words(data: Any, bounds: Any, words: Any, wide: Any, stop: Any, masks: Any, lengths: Any, row: Any) -> None:
    longest = chars = symbols = stops = 0
    for word in range(words):
        begin, end = bounds[2 * word], bounds[2 * word + 1]
        size = count_chars(data, begin, end) if wide else end - begin
        lengths[size] += 1
        longest = max(longest, size)
        chars += size
        symbols += _has_symbol(data, begin, end)
        stops += stop_bit(data, begin, end - begin, stop, masks) != 0
    row[0], row[1], row[2], row[3], row[4] = words, chars, _median_twice(lengths, longest, words), symbols, stops
    lengths[: longest + 1] = 0


@njit(nogil=True, cache=True)
def _count_lines(data: Any, start: Any, end: Any, feeds: Any, table: Any, keys: Any, times: Any, sizes: Any) -> Any:
    """(lines, those that begin with a bullet, that end in U+2026, that occur more than once, characters of these)."""
    bits = table_bits(feeds + 1)
    shift, mask = np.uint64(64 - bits), (1 << bits) - 1
    table[: 1 << bits] = 0
    known = bullets = ellipses = lines = chars = 0
    at = start
    while at <= end:
        stop = find_feed(data, at, end)
        if stop > at:
            bullets += data[at] == STAR or data[at] == DASH
            ellipses += stop - at >= 3 and _is_ellipsis(data, stop - 3)
        key = hash_piece(data, at, stop - at)
        number = place_of(key, key >> shift, mask, table, keys, known)
        if number == known:
            times[known], sizes[known] = 0, count_chars(data, at, stop) if stop > at else 0
            known += 1
        times[number] += 1
        at = stop + 1
    for number in range(known):
        if times[number] > 1:
            lines += times[number]
            chars += times[number] * sizes[number]
    return feeds + 1, bullets, ellipses, lines, chars


@njit(nogil=True, cache=True)
def _count(
    data: Any, offsets: Any, stop: Any, masks: Any, bounds: Any, lengths: Any, table: Any, keys: Any, times: Any,
    sizes: Any, out: Any,
) -> None:  # fmt: skip
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        words, chars, feeds = find_words(data, start, end, bounds)
        _count_words(data, bounds, words, chars != end - start, stop, masks, lengths, out[row])
        found = _count_lines(data, start, end, feeds, table, keys, times, sizes)
        for k in range(len(found)):
            out[row, LINES + k] = found[k]


def count(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Count what Dolma's tagger looks at beside n-grams.

    Args:
        data: UTF-8 bytes, uint8[>= offsets[n] + 64].
        offsets: int64[n + 1].

    Returns:
        int64[n, 10], a column for each of `COUNTS`: words; their characters; twice the median of these; words with `#`
        or U+2026 in them; words that are one of Gopher's eight; lines, that begin with `*` or `-`, that end in U+2026,
        that occur more than once, all of them, and the characters of these.
    """
    most = int(np.diff(offsets).max(initial=0))
    out = np.zeros((len(offsets) - 1, len(COUNTS)), np.int64)
    bounds, lengths = np.empty(most + 4, np.int64), np.zeros(most + 1, np.int32)
    table, keys = np.empty(1 << table_bits(most + 1), np.int32), np.empty(most + 1, np.uint64)
    times, sizes = np.empty(most + 1, np.int32), np.empty(most + 1, np.int32)
    _count(data, offsets, stop_table(), LOW_BYTES, bounds, lengths, table, keys, times, sizes, out)
    return out


@njit(nogil=True, cache=True)
def _cut(data: Any, offsets: Any, classes: Any, marks: Any, out: Any, ends: Any, cuts: Any) -> None:
    size = 0
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        while at < end:
            stop = find_feed(data, at, end)
            after = min(end, stop + 1)
            first, last = stripped(data, at, stop, classes)
            marked = False
            for mark in marks:
                marked |= last > first and data[last - 1] == mark
            if marked:
                out[size : size + after - at] = data[at:after]
                size += after - at
            cuts[row] += not marked
            at = after
        ends[row + 1] = size


def cut_unmarked_lines(column: pa.Array) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """The rows of a string column without the lines that end, white space apart, in none of `END_MARKS`.

    Args:
        column: n rows.

    Returns:
        The texts, null where they were; a line takes its line feed along. And how many lines each lost,
        int64[n].
    """
    data, offsets = utf8(column)
    out = np.empty(int(offsets[-1]) + KERNEL_PADDING, np.uint8)
    ends, cuts = np.zeros(len(offsets), np.int64), np.zeros(len(column), np.int64)
    _, classes = tables()
    _cut(data, offsets, classes, END_MARKS, out, ends, cuts)
    kind = np.int64 if pa.types.is_large_string(column.type) else np.int32
    buffers = [None, pa.py_buffer(ends.astype(kind)), pa.py_buffer(out[: int(ends[-1])])]
    texts = pa.Array.from_buffers(column.type, len(column), buffers)
    texts = pc.if_else(column.is_valid(), texts, pa.scalar(None, column.type)) if column.null_count else texts
    return texts, cuts
