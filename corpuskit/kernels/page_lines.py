"""Documents without the lines that C4's rules cut, and without citations; lines are counted by row and rule."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from corpuskit.core.batch import KERNEL_PADDING, utf8
from corpuskit.kernels.intrinsics import mask_anchor, trailing_zeros
from corpuskit.kernels.lines import find_feed
from corpuskit.kernels.normalize import low_bits
from corpuskit.kernels.pages import STEP, phrases, phrases_at
from corpuskit.kernels.unicode import tables
from corpuskit.kernels.words import count_chars, find_words, stripped

CUTS = ("long_word", "no_end_mark", "few_words", "javascript", "policy", "citations", "changed")
"""Counts that `cut_page_lines` gives: lines by the rule that cut them; citations in lines that stay; text changed."""

LONG_WORD, NO_END_MARK, FEW_WORDS, JAVASCRIPT, POLICY, CITATIONS, CHANGED = range(len(CUTS))
STAYS = -1

Counts: TypeAlias = dict[str, npt.NDArray[np.int64]]

LONGEST_WORD = 1000
"""Characters of a word that a line may have."""

FEED, OPEN, CLOSE, DOT, BRACE = 10, 91, 93, 46, 123
END_MARKS = np.frombuffer(b".?!\"'", np.uint8)
WORDS_IN_BRACKETS = (np.frombuffer(b"edit]", np.uint8), np.frombuffer(b"citation needed]", np.uint8))


@njit(nogil=True, cache=True, inline="always")
def _begins_with(data: Any, at: Any, end: Any, text: Any) -> Any:
    same = end - at >= len(text)
    for k in range(len(text)):
        same = same and data[at + k] == text[k]
    return same


@njit(nogil=True, cache=True)
def _citation(data: Any, at: Any, end: Any, words: Any) -> Any:
    """Where the citation ends that begins with the bracket at `at`, or `at` if it begins none."""
    after = at + 1
    while after < end and 48 <= data[after] <= 57:
        after += 1
    if after < end and data[after] == CLOSE:
        return after + 1
    for text in words:
        if _begins_with(data, at + 1, end, text):
            return at + 1 + len(text)
    return at


@njit(nogil=True, cache=True)
def _copy(data: Any, start: Any, end: Any, words: Any, out: Any, size: Any) -> Any:
    """Append a line without its citations to `out[size]`: (the new size, citations)."""
    citations = 0
    at = start
    while at < end:
        if data[at] == OPEN:
            after = _citation(data, at, end, words)
            if after > at:
                citations += 1
                at = after
                continue
        out[size] = data[at]
        size += 1
        at += 1
    return size, citations


@njit(nogil=True, cache=True)
def _has_end_mark(data: Any, start: Any, end: Any, marks: Any) -> Any:
    """Whether a line ends in one of the marks, and not in `...`."""
    if end == start:
        return False
    last = data[end - 1]
    if last == DOT and end - start >= 3 and data[end - 2] == DOT and data[end - 3] == DOT:
        return False
    found = False
    for mark in marks:
        found |= last == mark
    return found


@njit(nogil=True, cache=True)
def _phrases_in(data: Any, start: Any, end: Any, texts: Any, facts: Any, found: Any) -> None:
    """Count the phrases in `data[start:end]`, by group."""
    found[:] = 0
    for at in range(start, end, STEP):
        anchors = mask_anchor(data, at) & low_bits(min(STEP, end - at))
        while anchors:
            phrases_at(data, start, end, at + trailing_zeros(anchors), texts, facts, found)
            anchors &= anchors - np.uint64(1)


@njit(nogil=True, cache=True)
def _has_long_word(data: Any, bounds: Any, words: Any) -> Any:
    for word in range(words):
        begin, end = bounds[2 * word], bounds[2 * word + 1]
        if end - begin > LONGEST_WORD and count_chars(data, begin, end) > LONGEST_WORD:
            return True
    return False


@njit(nogil=True, cache=True)
def _has_brace(data: Any, start: Any, end: Any) -> Any:
    found = False
    for at in range(start, end):
        found |= data[at] == BRACE
    return found


@njit(nogil=True, cache=True)
def _cut(
    data: Any, offsets: Any, classes: Any, texts: Any, facts: Any, marks: Any, in_brackets: Any, by_mark: Any,
    min_words: Any, bounds: Any, out: Any, ends: Any, cuts: Any,
) -> None:  # fmt: skip
    found = np.zeros(3, np.int64)  # policy, javascript, lorem ipsum
    size = 0
    for row in range(len(offsets) - 1):
        begin, at, end = size, offsets[row], offsets[row + 1]
        while at < end:
            stop = find_feed(data, at, end)
            first, last = stripped(data, at, stop, classes)
            at = stop + 1
            if first == last:
                continue
            words, _, _ = find_words(data, first, last, bounds)
            line = size
            after, citations = _copy(data, first, last, in_brackets, out, line)
            rule = STAYS
            if last - first > LONGEST_WORD and _has_long_word(data, bounds, words):
                rule = LONG_WORD
            elif by_mark and not _has_end_mark(out, line, after, marks):
                rule = NO_END_MARK
            elif words < min_words:
                rule = FEW_WORDS
            else:
                _phrases_in(out, line, after, texts, facts, found)
                # as in the reference, a line that condemns its page is there to do so
                if found[1] and not found[2]:
                    rule = JAVASCRIPT
                elif found[0] and not found[2] and not _has_brace(out, line, after):
                    rule = POLICY
            if rule != STAYS:
                cuts[row, rule] += 1
                continue
            cuts[row, CITATIONS] += citations
            out[after] = FEED
            size = after + 1
        if size > begin:
            size -= 1
        ends[row + 1] = size
        cuts[row, CHANGED] = size - begin != end - offsets[row]


def cut_page_lines(column: pa.Array, *, by_mark: bool, min_words: int) -> tuple[pa.Array, Counts]:
    """The rows of a string column without the lines that C4's rules cut; those that stay are stripped.

    Args:
        column: n rows. by_mark: whether a line must end in one of `END_MARKS`. min_words: that it must have.

    Returns:
        The texts, null where they were; and the counts of `CUTS`, int64[n] each.
    """
    data, offsets = utf8(column)
    most = int(np.diff(offsets).max(initial=0))
    out = np.empty(int(offsets[-1]) + len(offsets) + KERNEL_PADDING, np.uint8)
    ends, cuts = np.zeros(len(offsets), np.int64), np.zeros((len(column), len(CUTS)), np.int64)
    _, classes = tables()
    _cut(
        data, offsets, classes, *phrases(), END_MARKS, WORDS_IN_BRACKETS, by_mark, min_words,
        np.empty(most + 4, np.int64), out, ends, cuts,
    )  # fmt: skip
    kind = np.int64 if pa.types.is_large_string(column.type) else np.int32
    buffers = [None, pa.py_buffer(ends.astype(kind)), pa.py_buffer(out[: int(ends[-1])])]
    texts = pa.Array.from_buffers(column.type, len(column), buffers)
    texts = pc.if_else(column.is_valid(), texts, pa.scalar(None, column.type)) if column.null_count else texts
    return texts, dict(zip(CUTS, cuts.T, strict=True))
