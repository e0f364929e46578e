r"""Counts behind the rules on source code: lines, letters and tokens, one pass over the UTF-8 buffer of a batch.

Lines are what a line feed ends, and a rest after the last one; characters code points; tokens what
`re.findall(r"\w+|[^\w\s]+", text)` gives.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from corpuskit.kernels.normalize import decode
from corpuskit.kernels.unicode import CODE_POINTS, SPACE, WORD, tables

COUNTS = ("chars", "line_feeds", "lines", "longest_line", "alphanumeric", "letters", "tokens")
"""Columns of the result of `count`."""

FEED = 10
LETTER, NUMBER_OR_LETTER = 4, 8
"""Bits of `character_classes` beside `SPACE` and `WORD`: `str.isalpha`, `str.isalnum`."""


@functools.cache
def character_classes() -> npt.NDArray[np.uint8]:
    r"""Class bits of every code point, uint8[0x110000], as the running Python has them."""
    _, classes = tables()
    found = (classes & (SPACE | WORD)).astype(np.uint8)
    for c in np.flatnonzero(found & WORD):  # `\w` is `str.isalnum` and the low line
        character = chr(c)
        found[c] |= LETTER * character.isalpha() | NUMBER_OR_LETTER * character.isalnum()
    assert len(found) == CODE_POINTS
    return found


@njit(nogil=True, cache=True)
def _count(data: Any, offsets: Any, classes: Any, out: Any) -> None:
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        chars = feeds = longest = alphanumeric = letters = tokens = length = 0
        before = SPACE
        while at < end:
            c = data[at]
            if c < 0x80:
                point, at = np.int64(c), at + 1
            else:
                point, at = decode(data, at)
            kind = classes[point]
            chars += 1
            length += 1
            if point == FEED:
                feeds += 1
                longest = max(longest, length - 1)
                length = 0
            alphanumeric += (kind & NUMBER_OR_LETTER) != 0
            letters += (kind & LETTER) != 0
            kind &= SPACE | WORD
            tokens += (kind != before) & (kind != SPACE)
            before = kind
        lines = feeds + (length > 0)
        longest = max(longest, length)
        counts = (chars, feeds, lines, longest, alphanumeric, letters, tokens)
        for k in range(len(counts)):
            out[row, k] = counts[k]


def count(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Count lines, letters and tokens of documents.

    Args:
        data: UTF-8 bytes, uint8[>= offsets[n] + 4].
        offsets: int64[n + 1].

    Returns:
        int64[n, 7], a column for each of `COUNTS`: characters; line feeds; lines; characters of the longest, without
        its line feed; letters and numbers; letters; tokens.
    """
    out = np.zeros((len(offsets) - 1, len(COUNTS)), np.int64)
    _count(data, offsets, character_classes(), out)
    return out
