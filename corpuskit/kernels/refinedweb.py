"""Documents without the lines that RefinedWeb cuts, and how many of their words these lines hold."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from corpuskit.core.batch import KERNEL_PADDING, utf8
from corpuskit.kernels.lines import find_feed
from corpuskit.kernels.normalize import decode
from corpuskit.kernels.pages import CAPITAL, DIGIT, character_classes, last_char
from corpuskit.kernels.unicode import SPACE, WORD, tables
from corpuskit.kernels.words import find_words

CUTS = ("capitals", "digits", "counter", "one_word", "phrases", "changed")
"""Counts of `cut_lines`: lines by the rule that cut them, lines that lose a phrase, text changed."""

CAPITALS, DIGITS, COUNTER, ONE_WORD, PHRASE, CHANGED = range(len(CUTS))
STAYS = -1

Counts: TypeAlias = dict[str, npt.NDArray[np.int64]]

FEW_WORDS = 10
"""Words that a line with a phrase may have for the phrase to go."""

COUNTED: tuple[str, ...] = (
    "likes",
    "shares",
    "comments",
    "retweets",
    "reposts",
    "quotes",
    "bookmarks",
    "upvotes",
    "downvotes",
)
COUNTED += ("downloads", "views", "followers")
"""What counters count; RefinedWeb names `3 likes`, DCLM's code the others."""

IN_CART, READ_MORE, SIGN_IN = "items in cart", "read more...", "sign-in"
"""Phrases that go from short lines: anywhere; at the end; at the beginning."""

FEED = 10
_COUNTED, _IN_CART, _READ_MORE, _SIGN_IN = (
    tuple(np.frombuffer(word.encode(), np.uint8) for word in words)
    for words in (COUNTED, (IN_CART,), (READ_MORE,), (SIGN_IN,))
)


@njit(nogil=True, cache=True)
def _is_at(data: Any, at: Any, end: Any, text: Any) -> Any:
    """Whether ASCII `text` stands at `data[at]`, its letters in either case."""
    if end - at < len(text):
        return False
    same = True
    for k in range(len(text)):
        byte = data[at + k]
        if 65 <= byte <= 90:
            byte |= 32
        same = same and byte == text[k]
    return same


@njit(nogil=True, cache=True)
def _skip(data: Any, at: Any, end: Any, classes: Any, bit: Any, wanted: Any) -> Any:
    """Behind the code points from `at` on that have a class, or have it not."""
    while at < end:
        c, after = decode(data, at)
        if (classes[c] & bit != 0) != wanted:
            break
        at = after
    return at


@njit(nogil=True, cache=True)
def _is_counter(data: Any, at: Any, end: Any, classes: Any, counted: Any) -> Any:
    r"""Whether a line is `^\W*[0-9][0-9.,]*[kmb]?\s+(likes|...)\W*$`, letters in either case."""
    at = _skip(data, at, end, classes, WORD, False)
    if at == end or not 48 <= data[at] <= 57:
        return False
    while at < end and (48 <= data[at] <= 57 or data[at] == 44 or data[at] == 46):
        at += 1
    if at < end and (data[at] | 32 == 107 or data[at] | 32 == 109 or data[at] | 32 == 98):
        at += 1
    begin = _skip(data, at, end, classes, SPACE, True)
    if begin == at:
        return False
    for text in counted:
        if _is_at(data, begin, end, text):
            return _skip(data, begin + len(text), end, classes, WORD, False) == end
    return False


@njit(nogil=True, cache=True)
def _mostly(data: Any, at: Any, end: Any, kinds: Any, chars: Any) -> Any:
    """The rule on characters that cuts a line: more than half of them capitals, or all of them digits."""
    capitals = digits = 0
    while at < end:
        byte = data[at]
        if byte < 0x80:
            at += 1
            capitals += 65 <= byte <= 90
            digits += 48 <= byte <= 57
        else:
            c, at = decode(data, at)
            capitals += (kinds[c] & CAPITAL) != 0
            digits += (kinds[c] & DIGIT) != 0
    if 2 * capitals > chars:
        return CAPITALS
    return DIGITS if digits == chars else STAYS


@njit(nogil=True, cache=True)
def _before_space(data: Any, start: Any, at: Any, classes: Any) -> Any:
    """Where the white space character begins that ends at `at`, or `at` if there is none."""
    if at > start:
        c, before = last_char(data, at)
        if classes[c] & SPACE:
            return before
    return at


@njit(nogil=True, cache=True)
def _copy(data: Any, start: Any, end: Any, classes: Any, cart: Any, more: Any, sign: Any, out: Any, size: Any) -> Any:
    """Append a line without its phrases, and a white space character beside each, to `out[size]`: the new size."""
    begin = size
    at = floor = start
    while at < end:
        if (data[at] | 32) == 105 and _is_at(data, at, end, cart):
            size -= at - _before_space(data, floor, at, classes)
            at += len(cart)
            floor = at
        else:
            out[size] = data[at]
            size += 1
            at += 1
    if size - begin >= len(more) and _is_at(out, size - len(more), size, more):
        size = _before_space(out, begin, size - len(more), classes)
    if _is_at(out, begin, size, sign):
        first = begin + len(sign)
        if first < size:
            c, after = decode(out, first)
            first = after if classes[c] & SPACE else first
        for k in range(size - first):
            out[begin + k] = out[first + k]
        size -= first - begin
    return size


@njit(nogil=True, cache=True)
def _without_feeds(out: Any, begin: Any, size: Any) -> Any:
    """Take line feeds away from both ends of `out[begin:size]`: the new size."""
    while size > begin and out[size - 1] == FEED:
        size -= 1
    first = begin
    while first < size and out[first] == FEED:
        first += 1
    for at in range(first, size):
        out[at - first + begin] = out[at]
    return size - (first - begin)


@njit(nogil=True, cache=True)
def _cut(
    data: Any, offsets: Any, classes: Any, kinds: Any, counted: Any, cart: Any, more: Any, sign: Any, bounds: Any,
    out: Any, ends: Any, cuts: Any, words: Any,
) -> None:  # fmt: skip
    size = 0
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        begin, at, kept, changed = size, start, 0, False
        while at <= end:
            stop = find_feed(data, at, end)
            here, chars, _ = find_words(data, at, stop, bounds)
            rule, after, left = STAYS, size, here
            if stop > at:
                rule = _mostly(data, at, stop, kinds, chars)
                if rule == STAYS and here <= FEW_WORDS and _is_counter(data, at, stop, classes, counted):
                    rule = COUNTER
                if rule == STAYS and here < 2:
                    rule = ONE_WORD
                if rule == STAYS and here <= FEW_WORDS:
                    after = _copy(data, at, stop, classes, cart, more, sign, out, size)
                    if after - size < stop - at:
                        cuts[row, PHRASE] += 1
                        changed = True
                        left, _, _ = find_words(out, size, after, bounds)
                elif rule == STAYS:
                    out[size : size + stop - at] = data[at:stop]
                    after = size + stop - at
            words[row, 0] += here
            if rule != STAYS:
                cuts[row, rule] += 1
                changed = True
            elif stop == at or left:
                kept += left
                out[after] = FEED
                size = after + 1
            at = stop + 1
        size -= size > begin
        if changed:
            size = _without_feeds(out, begin, size)
        words[row, 1] = kept
        ends[row + 1] = size
        cuts[row, CHANGED] = changed


def cut_lines(column: pa.Array) -> tuple[pa.Array, Counts, npt.NDArray[np.int64]]:
    """The rows of a string column without the lines and phrases that RefinedWeb cuts.

    Returns:
        The texts, null where they were; the counts of `CUTS`, int64[n] each; words before and after, int64[n, 2].
    """
    data, offsets = utf8(column)
    most = int(np.diff(offsets).max(initial=0))
    out = np.empty(int(offsets[-1]) + len(offsets) + KERNEL_PADDING, np.uint8)
    ends, cuts = np.zeros(len(offsets), np.int64), np.zeros((len(column), len(CUTS)), np.int64)
    words = np.zeros((len(offsets) - 1, 2), np.int64)
    _, classes = tables()
    _cut(
        data, offsets, classes, character_classes(), _COUNTED, _IN_CART[0], _READ_MORE[0], _SIGN_IN[0],
        np.empty(most + 4, np.int64), out, ends, cuts, words,
    )  # fmt: skip
    kind = np.int64 if pa.types.is_large_string(column.type) else np.int32
    buffers = [None, pa.py_buffer(ends.astype(kind)), pa.py_buffer(out[: int(ends[-1])])]
    texts = pa.Array.from_buffers(column.type, len(column), buffers)
    texts = pc.if_else(column.is_valid(), texts, pa.scalar(None, column.type)) if column.null_count else texts
    return texts, dict(zip(CUTS, cuts.T, strict=True)), words
