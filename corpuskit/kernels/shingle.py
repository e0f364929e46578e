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

from corpuskit.core.batch import utf8
from corpuskit.kernels.hashing import K1, K2, hash_piece, hash_shingle
from corpuskit.kernels.intrinsics import (
    fold_multiply,
    load64,
    mask_high,
    mask_punctuation,
    mask_space,
    mask_word,
    store32,
    store_lower,
    trailing_zeros,
)
from corpuskit.kernels.normalize import (
    STEP_SPECIAL,
    STEP_UNLIKE,
    STEP_WORD,
    behind,
    blocks,
    code_of_three,
    decode,
    encode,
    is_final_sigma,
    low_bits,
    normalize_document,
    scratch,
    step_of,
    steps,
    written,
    written_bytes,
)
from corpuskit.kernels.unicode import DOT_ABOVE, DOTTED_I, FINAL_SIGMA, SIGMA, WORD, tables

Unit = Literal["char", "word"]

ONE, ZERO = np.uint64(1), np.uint64(0)
BASE = np.uint64(0xD1342543DE82EF95)
"""Multiplier of the rolling polynomial over word hashes; 5 modulo 8, so that its powers differ early."""


MOST_BITS = 22
"""Leading bits by which hashes are sorted, at most: documents of more shingles take longer for each."""


@njit(nogil=True, cache=True)
def hash_words(data: Any, start: Any, end: Any, lower: Any, classes: Any, steps: Any, lowered: Any, words: Any) -> Any:
    r"""Hash every `\w+` run of UTF-8 `data[start:end]`, lower-cased as Python does, into `words`; how many.

    ASCII goes 64 bytes a step; `lowered` holds the unfinished word, and behind it the block at hand.
    """
    count = 0
    size: Any = 0  # of the unfinished word
    at = start
    while at < end:
        length, leads = blocks(data, at, end)
        if length:
            count, size = _words_of_block(data, at, length, lowered, size, words, count)
            at += length
            continue
        block = at
        while leads:
            at = block + trailing_zeros(leads)
            leads &= leads - ONE
            raw = load64(data, at)
            step = step_of(raw, steps)
            if step & STEP_UNLIKE and classes[code_of_three(raw)] & WORD:
                step |= STEP_WORD
            if step & STEP_SPECIAL:
                size, ended = _special(data, start, end, at, lower, classes, lowered, size)
            elif step & STEP_WORD:
                store32(lowered, size, written(raw, step))
                size += np.int64(written_bytes(step))
                continue
            else:
                size, ended = 0, size
            if ended:
                words[count] = hash_piece(lowered, 0, ended)
                count += 1
        at = behind(data, at)
    if size:
        words[count] = hash_piece(lowered, 0, size)
        count += 1
    return count


@njit(nogil=True, cache=True)
def _special(data: Any, start: Any, end: Any, at: Any, lower: Any, classes: Any, lowered: Any, size: Any) -> Any:
    """Go on with an unfinished word of `size` bytes and any code point: (its new bytes, those of a word that ended)."""
    c, _ = decode(data, at)
    final = c == SIGMA and is_final_sigma(data, start, end, at, classes)
    low = FINAL_SIGMA if final else np.int64(lower[c])
    if not classes[low] & WORD:
        return 0, size
    size = encode(low, lowered, size)
    if c != DOTTED_I:
        return size, 0
    if classes[DOT_ABOVE] & WORD:
        return encode(DOT_ABOVE, lowered, size), 0
    return 0, size


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
            words[count] = hash_piece(lowered, begin, border - begin)
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
    steps: Any,
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
        found = hash_words(data, start, end, lower, classes, steps, text, words)
    size, chars = normalize_document(data, start, end, lower, classes, steps, text, positions)
    if chars == 0:
        return 0, 0, 0, 0
    units = found if by_word else chars
    return size, chars, found, max(1, units - n + 1)


@njit(nogil=True, cache=True, inline="always")
def _each_of_chars(
    text: Any, size: Any, chars: Any, positions: Any, n: Any, first: Any, last: Any, use: Any, target: Any
) -> None:
    if size != chars:
        i = first
        while i < last:
            begin = np.int64(positions[i])
            run = min(64, last - i)
            if n == 13 and np.int64(positions[i + run + 12]) - begin == run + 12:  # ASCII alone
                for j in range(run):
                    use(hash_piece(text, begin + j, 13), i + j - first, target)
                i += run
                continue
            run = min(16, run)
            for j in range(i, i + run):
                begin = np.int64(positions[j])
                width = np.int64(positions[j + n]) - begin
                use(hash_shingle(text, begin, width) if n >= 8 else hash_piece(text, begin, width), j - first, target)
            i += run
    elif n == 13:  # a constant size, which most corpora have, is twice as fast
        for i in range(first, last):
            use(hash_piece(text, i, 13), i - first, target)
    else:
        for i in range(first, last):
            use(hash_piece(text, i, n), i - first, target)


@njit(nogil=True, cache=True, inline="always")
def _each_of_words(words: Any, n: Any, first: Any, last: Any, use: Any, target: Any) -> None:
    top = ONE
    rolling = ZERO
    for i in range(n - 1):
        top *= BASE
        rolling = rolling * BASE + words[first + i]
    salt = np.uint64(n) ^ K2
    for i in range(first, last):
        rolling = rolling * BASE + words[i + n - 1]
        use(fold_multiply(rolling ^ K1, salt), i - first, target)
        rolling -= words[i] * top


@njit(nogil=True, cache=True, inline="always")
def each_shingle(
    text: Any, size: Any, chars: Any, positions: Any, words: Any, found: Any, by_word: Any, n: Any, first: Any,
    last: Any, use: Any, target: Any,
) -> None:  # fmt: skip
    """Call `use(hash, number, target)` (compiled) for shingles `first` to `last` of a prepared document.

    Their numbers begin at 0. `use` becomes a part of the loop: hashes go through no array unless it wants one.
    """
    if (found if by_word else chars) < n:
        use(hash_piece(text, 0, size), 0, target)
    elif by_word:
        _each_of_words(words, n, first, last, use, target)
    else:
        _each_of_chars(text, size, chars, positions, n, first, last, use, target)


@njit(nogil=True, cache=True, inline="always")
def _write(value: Any, number: Any, target: Any) -> None:
    target[number] = value


@njit(nogil=True, cache=True)
def shingle_hashes(
    text: Any, size: Any, chars: Any, positions: Any, words: Any, found: Any, by_word: Any, n: Any, first: Any,
    last: Any, out: Any,
) -> None:  # fmt: skip
    """Hash shingles number `first` to `last` of a prepared document into `out` (uint64)."""
    each_shingle(text, size, chars, positions, words, found, by_word, n, first, last, _write, out)


@njit(nogil=True, cache=True)
def _has_ascii_left(data: Any, start: Any, end: Any) -> Any:
    """Whether normalization leaves ASCII of `data[start:end]`, but for blanks."""
    for at in range(start, end, 64):
        gone = mask_high(data, at) | mask_space(data, at) | mask_punctuation(data, at)
        if ~gone & low_bits(min(64, end - at)):
            return True
    return False


@njit(nogil=True, cache=True)
def _sorted_sets(
    data: Any, offsets: Any, by_word: Any, n: Any, lower: Any, classes: Any, steps: Any, text: Any, positions: Any,
    words: Any, one: Any, spare: Any, counts: Any, out: Any, ends: Any,
) -> None:  # fmt: skip
    """Write the set of each document behind that of the one before; `one`, `spare` and `counts` are scratch."""
    size_out = 0
    for i in range(len(offsets) - 1):
        start, end = offsets[i], offsets[i + 1]
        size = chars = found = count = 0
        if by_word and _has_ascii_left(data, start, end):
            found = hash_words(data, start, end, lower, classes, steps, text, words)
            count = max(0, found - n + 1)
        if not count:  # the normalized text is the shingle, or must be looked at
            size, chars, found, count = prepare(
                data, start, end, by_word, n, lower, classes, steps, text, positions, words
            )
        if count:
            shingle_hashes(text, size, chars, positions, words, found, by_word, n, 0, count, one)
            _sort(one, count, spare, counts)
            begin = size_out
            for j in range(count):
                value = one[j]
                if size_out == begin or value != out[size_out - 1]:
                    out[size_out] = value
                    size_out += 1
        ends[i + 1] = size_out


@njit(nogil=True, cache=True)
def _sort(values: Any, count: Any, spare: Any, counts: Any) -> None:
    """Sort `values[:count]`; `spare` and `counts` are scratch.

    They are hashes, hence even: two passes, by halves of their leading bits, leave few out of place, which insertion
    puts right. There are sixteen times as many values of these bits as hashes, so that it can be foreseen.
    """
    digit = 1
    while 2 * digit < MOST_BITS and (1 << (2 * digit)) < 16 * count:
        digit += 1
    size = 1 << digit
    low, high, last = np.uint64(64 - 2 * digit), np.uint64(64 - digit), np.uint64(size - 1)
    of_low, of_high = counts[: size + 1], counts[size + 1 : 2 * size + 2]
    counts[: 2 * size + 2] = 0
    for j in range(count):
        of_low[((values[j] >> low) & last) + ONE] += 1
        of_high[(values[j] >> high) + ONE] += 1
    for j in range(size):
        of_low[j + 1] += of_low[j]
        of_high[j + 1] += of_high[j]
    for j in range(count):
        bucket = (values[j] >> low) & last
        spare[of_low[bucket]] = values[j]
        of_low[bucket] += 1
    for j in range(count):
        bucket = spare[j] >> high
        values[of_high[bucket]] = spare[j]
        of_high[bucket] += 1
    for j in range(1, count):
        value = values[j]
        k = j
        while k > 0 and values[k - 1] > value:
            values[k] = values[k - 1]
            k -= 1
        values[k] = value


def word_room(unit: Unit, longest: int) -> npt.NDArray[np.uint64]:
    """Buffer for the word hashes of documents of up to `longest` bytes."""
    return np.empty((longest + 1) // 2 + 1 if unit == "word" else 1, np.uint64)


def shingle_sets(column: pa.Array, unit: Unit, n: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """The shingle set of each row: (hashes uint64, sorted and distinct within a row; offsets int64[n + 1]).

    Needs about 8 bytes a shingle, repetitions included, and six times the longest document.
    """
    data, offsets = utf8(column)
    longest = int(np.diff(offsets).max(initial=0))
    room = (*tables(), steps(), *scratch(longest), word_room(unit, longest))
    each = 2 if unit == "word" else 1  # bytes of a unit, at least
    hashes, one = np.empty(int(offsets[-1]) // each + len(offsets), np.uint64), np.empty(longest // each + 1, np.uint64)
    counts = np.empty(2 * (1 << MOST_BITS // 2) + 2, np.int32)
    ends = np.zeros(len(offsets), np.int64)
    if len(offsets) == 2:
        hashes = one  # a single document, which may be a giant: its set takes the place of what it was made from
    _sorted_sets(data, offsets, unit == "word", n, *room, one, np.empty_like(one), counts, hashes, ends)
    return hashes[: int(ends[-1])], ends


CHUNK = 1 << 16
"""Shingles of a giant document that are hashed at a time."""


def shingle_part(column: pa.Array, unit: Unit, n: int, part: int, bits: int) -> npt.NDArray[np.uint64]:
    """Of the shingle set of one giant document, the hashes whose leading `bits` bits are `part`: sorted uint64[m].

    Needs 16 bytes for each of these, and six times the document.
    """
    data, offsets = utf8(column)
    longest = int(offsets[-1])
    room = (*tables(), steps(), *scratch(longest), word_room(unit, longest))
    each = 2 if unit == "word" else 1
    most = (longest // each + 1 >> bits) * 9 // 8 + 2 * CHUNK  # hashes are even
    out = np.empty(most, np.uint64)
    size = _part_of_set(data, longest, unit == "word", n, *room, np.uint64(part), bits, np.empty(CHUNK, np.uint64), out)
    return out[:size]


@njit(nogil=True, cache=True)
def _part_of_set(
    data: Any, end: Any, by_word: Any, n: Any, lower: Any, classes: Any, steps: Any, text: Any, positions: Any,
    words: Any, part: Any, bits: Any, chunk: Any, out: Any,
) -> Any:  # fmt: skip
    size, chars, found, count = prepare(data, 0, end, by_word, n, lower, classes, steps, text, positions, words)
    shift = np.uint64(64 - bits)
    kept = 0
    for first in range(0, count, len(chunk)):
        last = min(count, first + len(chunk))
        if kept + len(chunk) > len(out):  # a text that repeats itself
            kept = _distinct(out, kept)
        shingle_hashes(text, size, chars, positions, words, found, by_word, n, first, last, chunk)
        for j in range(last - first):
            if bits == 0 or chunk[j] >> shift == part:
                out[kept] = chunk[j]
                kept += 1
    return _distinct(out, kept)


@njit(nogil=True, cache=True)
def _distinct(values: Any, count: Any) -> Any:
    """Sort the first values, each once; how many are left."""
    values[:count].sort()
    size = min(1, count)
    for j in range(1, count):
        if values[j] != values[size - 1]:
            values[size] = values[j]
            size += 1
    return size
