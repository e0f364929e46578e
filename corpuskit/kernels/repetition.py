r"""Counts behind the rules on repetition: lines, paragraphs and n-grams of words that a document has more than once.

Words are what `str.split()` gives, lines what stands between line feeds and is not blank, paragraphs the pieces of
`re.split("\n{2,}", text.strip())`. Everything is exact but for the 64-bit hashes that stand for words, lines and
paragraphs. Words become numbers in a table of the document; an n-gram is the number of the (n-1)-gram that it begins
with and its last word, and only a place whose (n-1)-gram occurs again can have an n-gram that does, so that each level
looks at fewer places than the one before.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from corpuskit.kernels.hashing import K1, hash_piece
from corpuskit.kernels.intrinsics import (
    count_ones,
    mask_feed,
    mask_high,
    mask_lead,
    mask_space,
    mask_space_of_three,
    mask_space_of_two,
    trailing_zeros,
)
from corpuskit.kernels.lines import find_feed, is_blank
from corpuskit.kernels.normalize import decode, low_bits
from corpuskit.kernels.unicode import SPACE, tables

TOP = (2, 3, 4)
"""Lengths of n-grams of which the most frequent one counts."""

DUPLICATE = (5, 6, 7, 8, 9, 10)
"""Lengths of n-grams of which every repetition counts."""

COUNTS = (
    "chars",
    "words",
    "unique_words",
    "lines",
    "duplicate_lines",
    "duplicate_line_chars",
    "paragraphs",
    "duplicate_paragraphs",
    "duplicate_paragraph_chars",
    *(f"top_{n}gram_chars" for n in TOP),
    *(f"duplicate_{n}gram_chars" for n in DUPLICATE),
)
"""Columns of the counts that `repetition` gives."""

CHARS, WORDS, UNIQUE, LINES, PARAGRAPHS, GRAMS = 0, 1, 2, 3, 6, 9
FIRST_TOP, LAST_TOP, LAST = TOP[0], TOP[-1], DUPLICATE[-1]
STEP = 62
"""Bytes that are looked at in a step: white space of three bytes that begins in them is seen whole."""

ONE = np.uint64(1)
FEED = 10


@njit(nogil=True, cache=True)
def count_chars(data: Any, start: Any, end: Any) -> Any:
    """Code points of `data[start:end]`."""
    chars = 0
    for at in range(start, end, 64):
        chars += count_ones(mask_lead(data, at) & low_bits(min(64, end - at)))
    return chars


@njit(nogil=True, cache=True)
def find_words(data: Any, start: Any, end: Any, bounds: Any) -> Any:
    """Write where words of `data[start:end]` begin and end, in turn, to `bounds`: (words, characters, line feeds)."""
    found = chars = feeds = 0
    before = np.uint64(0)  # 1 where the byte before is in a word
    carried = np.uint64(0)  # bytes of this step in white space that began in the last
    for at in range(start, end, STEP):
        length = min(STEP, end - at)
        valid = low_bits(length)
        space = mask_space(data, at) | carried
        carried = np.uint64(0)
        if mask_high(data, at) & valid:
            chars += count_ones(mask_lead(data, at) & valid)
            three = mask_space_of_three(data, at) & valid
            first = three | (mask_space_of_two(data, at) & valid)
            space |= first | (first << ONE) | (three << np.uint64(2))
            carried = (first >> np.uint64(STEP - 1)) | (three >> np.uint64(STEP - 2))
        else:
            chars += length
        feeds += count_ones(mask_feed(data, at) & valid)
        inside = ~space & valid
        borders = (inside ^ ((inside << ONE) | before)) & valid
        before = (inside >> np.uint64(length - 1)) & ONE
        while borders:
            bounds[found] = at + trailing_zeros(borders)
            found += 1
            borders &= borders - ONE
    if found & 1:
        bounds[found] = end
        found += 1
    return found >> 1, chars, feeds


@njit(nogil=True, cache=True, inline="always")
def table_bits(entries: Any) -> Any:
    """Bits of the size of a table with room for as many entries, at least a third of it free."""
    bits = 4
    while (1 << bits) < entries + (entries >> 1) + 2:
        bits += 1
    return bits


@njit(nogil=True, cache=True, inline="always")
def place_of(key: Any, shift: Any, table: Any, keys: Any, known: Any) -> Any:
    """The number of a key among the `known` ones; a new one gets the number `known`, and is entered."""
    mask = (np.int64(1) << (np.int64(64) - np.int64(shift))) - 1
    at = np.int64((key * K1) >> shift)
    while True:
        entry = np.int64(table[at]) - 1
        if entry < 0:
            table[at] = known + 1
            keys[known] = key
            return known
        if keys[entry] == key:
            return entry
        at = (at + 1) & mask


@njit(nogil=True, cache=True)
def count_lines(data: Any, start: Any, end: Any, feeds: Any, classes: Any, table: Any, keys: Any) -> Any:
    """(lines that are not blank, those that stand above already, characters of these)."""
    bits = table_bits(min(feeds, (end - start) >> 1) + 1)
    shift = np.uint64(64 - bits)
    table[: 1 << bits] = 0
    lines = known = chars = 0
    at = start
    while at < end:
        stop = find_feed(data, at, end)
        if not is_blank(data, at, stop, classes):
            lines += 1
            number = place_of(hash_piece(data, at, stop - at), shift, table, keys, known)
            if number == known:
                known += 1
            else:
                chars += count_chars(data, at, stop)
        at = stop + 1
    return lines, lines - known, chars


@njit(nogil=True, cache=True)
def _count_paragraphs(data: Any, start: Any, end: Any, feeds: Any, table: Any, keys: Any) -> Any:
    """(paragraphs, those that stand above already, characters of these) of a text without white space at its ends."""
    bits = table_bits(min(feeds, (end - start) >> 1) + 1)
    shift = np.uint64(64 - bits)
    table[: 1 << bits] = 0
    paragraphs = known = chars = 0
    at = begin = start
    while begin < end:
        at = find_feed(data, at, end)
        if at < end and data[at + 1] != FEED:
            at += 1
            continue
        paragraphs += 1
        number = place_of(hash_piece(data, begin, at - begin), shift, table, keys, known)
        if number == known:
            known += 1
        else:
            chars += count_chars(data, begin, at)
        while at < end and data[at] == FEED:
            at += 1
        begin = at
    return paragraphs, paragraphs - known, chars


@njit(nogil=True, cache=True)
def stripped(data: Any, start: Any, end: Any, classes: Any) -> Any:
    """(start, end) without white space at either end."""
    while start < end:
        c, after = decode(data, start)
        if not classes[c] & SPACE:
            break
        start = after
    while end > start:
        before = end - 1
        while data[before] & 0xC0 == 0x80:
            before -= 1
        c, _ = decode(data, before)
        if not classes[c] & SPACE:
            break
        end = before
    return start, end


@njit(nogil=True, cache=True)
def _number_words(
    data: Any, bounds: Any, words: Any, wide: Any, table: Any, keys: Any, times: Any, sizes: Any, ids: Any, upto: Any
) -> Any:
    """Number the words in the order in which they first occur: (how many differ, entropy of their frequencies in nats).

    Args:
        times, sizes: get how often each occurs, and its characters.
        ids: gets the number of each word of the text. upto: gets the characters of all words before each.
    """
    bits = table_bits(words)
    shift = np.uint64(64 - bits)
    table[: 1 << bits] = 0
    known = 0
    chars = 0
    for word in range(words):
        begin, end = bounds[2 * word], bounds[2 * word + 1]
        number = place_of(hash_piece(data, begin, end - begin), shift, table, keys, known)
        if number == known:
            times[known] = 0
            sizes[known] = count_chars(data, begin, end) if wide else end - begin
            known += 1
        times[number] += 1
        ids[word] = number
        upto[word] = chars
        chars += sizes[number]
    upto[words] = chars
    total = 0.0
    for number in range(known):
        if times[number] > 1:
            total += times[number] * math.log(times[number])
    return known, math.log(words) - total / words if words else 0.0


@njit(nogil=True, cache=True)
def _count_grams(
    words: Any, upto: Any, table: Any, keys: Any, times: Any, ids: Any, places: Any, firsts: Any, next_places: Any,
    row: Any,
) -> None:  # fmt: skip
    """Write the characters in frequent and in repeated n-grams to `row`.

    Args:
        ids, times: the number of each word, and how often each number occurs; overwritten.
        places, firsts, next_places: room for as many numbers as there are words.
    """
    count = 0
    for word in range(words):
        places[count] = word
        ids[count] = ids[word]
        count += times[ids[word]] > 1
    for n in range(FIRST_TOP, LAST + 1):
        bits = table_bits(count)
        shift = np.uint64(64 - bits)
        table[: 1 << bits] = 0
        known = longer = 0
        for at in range(count - 1):
            place, first = places[at], np.uint64(ids[at])
            if places[at + 1] != place + 1:
                continue
            number = place_of((first << np.uint64(32)) | np.uint64(ids[at + 1]), shift, table, keys, known)
            if number == known:
                times[known] = 0
                firsts[known] = place
                known += 1
            times[number] += 1
            next_places[longer] = place
            ids[longer] = number  # behind what is still to be read
            longer += 1
        if n <= LAST_TOP and words >= n:
            most, begin = 1, 0  # of several that are as frequent, the first
            for number in range(known):
                if times[number] > most:
                    most, begin = times[number], firsts[number]
            row[GRAMS + n - FIRST_TOP] = (upto[begin + n] - upto[begin] + n - 1) * most
        count = 0
        for at in range(longer):
            places[count] = next_places[at]
            ids[count] = ids[at]
            count += times[ids[at]] > 1
        if n > LAST_TOP:
            for number in range(known):
                times[number] = 0
            after = chars = 0
            for at in range(count):
                place = places[at]
                if place < after:
                    continue
                if times[ids[at]]:
                    after = place + n
                    chars += upto[after] - upto[place]
                else:
                    times[ids[at]] = 1
            row[GRAMS + n - FIRST_TOP] = chars


@njit(nogil=True, cache=True)
def _measure(
    data: Any, offsets: Any, classes: Any, bounds: Any, table: Any, keys: Any, times: Any, sizes: Any, ids: Any,
    upto: Any, places: Any, firsts: Any, next_places: Any, out: Any, entropy: Any,
) -> None:  # fmt: skip
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        words, chars, feeds = find_words(data, start, end, bounds)
        out[row, CHARS], out[row, WORDS] = chars, words
        out[row, LINES], out[row, LINES + 1], out[row, LINES + 2] = count_lines(
            data, start, end, feeds, classes, table, keys
        )
        first, last = stripped(data, start, end, classes)
        out[row, PARAGRAPHS], out[row, PARAGRAPHS + 1], out[row, PARAGRAPHS + 2] = _count_paragraphs(
            data, first, last, feeds, table, keys
        )
        wide = chars != end - start
        out[row, UNIQUE], entropy[row] = _number_words(data, bounds, words, wide, table, keys, times, sizes, ids, upto)
        _count_grams(words, upto, table, keys, times, ids, places, firsts, next_places, out[row])


def repetition(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Count what documents repeat.

    Args:
        data: UTF-8 bytes, uint8[>= offsets[n] + 64].
        offsets: int64[n + 1].

    Returns:
        int64[n, 18], a column for each of `COUNTS`; float64[n], the entropy of the words' frequencies in nats, 0
        without words. Characters of a top n-gram count the blanks in it, those of repeated ones do not.
    """
    most = int(np.diff(offsets).max(initial=0))
    room = most // 2 + 2  # words, lines or paragraphs
    out = np.zeros((len(offsets) - 1, len(COUNTS)), np.int64)
    entropy = np.zeros(len(offsets) - 1, np.float64)
    bounds, table, keys = np.empty(2 * room, np.int64), np.empty(4 * room + 64, np.int32), np.empty(room, np.uint64)
    times, sizes, ids, places, firsts, next_places = (np.empty(room, np.int32) for _ in range(6))
    upto = np.empty(room + 1, np.int64)
    _, classes = tables()
    _measure(
        data, offsets, classes, bounds, table, keys, times, sizes, ids, upto, places, firsts, next_places, out, entropy
    )
    return out, entropy
