r"""Counts behind the rules on source code: its lines, what characters they are of, words that a header may have.

Lines stand between line feeds, but for an empty last one. A token is a run of letters, numbers and `_`, or of
other characters that are not white space (`\w+|[^\w\s]+`).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from corpuskit.kernels import unicode
from corpuskit.kernels.intrinsics import load64
from corpuskit.kernels.lines import find_feed
from corpuskit.kernels.normalize import decode

COUNTS = ("chars", "lines", "line_chars", "longest_line", "indentation", "spaces", "letters", "alphanumeric", "tokens")
"""Columns of the result of `code_counts`."""

OTHER, LOW_LINE, NUMBER, LETTER, SPACE = 0, 1, 2, 3, 4
r"""Kinds of characters: `\w` is what lies between the first and the last."""

HEAD_BYTES = 16_000
"""What `mentions` looks at: at least 4,000 characters, where a file says who wrote it, and on what terms."""

WORDS = (b"licen", b"spdx", b"generat", b"gnu biso", b"permissi", b"redistri", b"public d")
"""What a licence or a generated file is known by has one of these in it, in any case of letters; at most 8 bytes."""

_KEYS = np.array([int.from_bytes(word, "little") for word in WORDS], np.uint64)
_MASKS = np.array([(1 << 8 * len(word)) - 1 for word in WORDS], np.uint64)
_FIRST = np.isin(np.arange(256), [byte for word in WORDS for byte in (word[0], word[0] - 32)])
_CASE = np.uint64(0x2020202020202020)


@functools.cache
def character_kinds() -> npt.NDArray[np.uint8]:
    """The kind of every code point, uint8[0x110000], by the running Python's `isalpha`, `isalnum` and `isspace`."""
    _, classes = unicode.tables()
    kinds = np.zeros(unicode.CODE_POINTS, np.uint8)
    kinds[classes & unicode.SPACE != 0] = SPACE
    for c in np.flatnonzero(classes & unicode.WORD).tolist():
        kinds[c] = LOW_LINE if c == ord("_") else LETTER if chr(c).isalpha() else NUMBER
    return kinds


@njit(nogil=True, cache=True)
def _count(data: Any, offsets: Any, kinds: Any, out: Any) -> None:
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        lines = line_chars = longest = indentation = spaces = letters = alphanumeric = tokens = feeds = 0
        while at < end:
            stop = find_feed(data, at, end)
            size, last = 0, SPACE
            while at < stop:
                c, after = decode(data, at)
                if kinds[c] != SPACE:
                    break
                size, at = size + 1, after
            indentation += size
            while at < stop:
                c, at = decode(data, at)
                kind = kinds[c]
                size += 1
                spaces += kind == SPACE
                letters += kind == LETTER
                alphanumeric += (kind == LETTER) | (kind == NUMBER)
                if LOW_LINE < kind < SPACE:
                    kind = LOW_LINE
                tokens += (kind != last) & (kind != SPACE)
                last = kind
            lines += 1
            line_chars += size
            longest = max(longest, size)
            feeds += stop < end
            at = stop + 1
        counts = (
            line_chars + feeds, lines, line_chars, longest, indentation, spaces, letters, alphanumeric, tokens,
        )  # fmt: skip
        for k in range(len(counts)):
            out[row, k] = counts[k]


def code_counts(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Count lines and characters of source files.

    Args:
        data: UTF-8 bytes, uint8[>= offsets[n] + 4].
        offsets: int64[n + 1].

    Returns:
        int64[n, 9], a column for each of `COUNTS`: characters; lines; characters of lines, without line feeds; of the
        longest line; white space at the beginning of lines; other white space in lines; letters; letters and numbers;
        tokens.
    """
    out = np.zeros((len(offsets) - 1, len(COUNTS)), np.int64)
    _count(data, offsets, character_kinds(), out)
    return out


@njit(nogil=True, cache=True)
def _mentions(data: Any, offsets: Any, first: Any, keys: Any, masks: Any, case: Any, out: Any) -> None:
    for row in range(len(offsets) - 1):
        start = offsets[row]
        end = min(offsets[row + 1], start + HEAD_BYTES)
        for at in range(start, end):
            if first[data[at]]:
                here = load64(data, at) | case
                for k in range(len(keys)):
                    if (here ^ keys[k]) & masks[k] == 0:
                        out[row] = True
                if out[row]:
                    break


def mentions(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which texts have one of `WORDS` beginning in their first `HEAD_BYTES` bytes: bool[n].

    A word that the end of the text, or a character such as NUL for a blank, makes of something else may count as one.

    Args:
        data: UTF-8 bytes, uint8[>= offsets[n] + 8]. offsets: int64[n + 1].
    """
    out = np.zeros(len(offsets) - 1, np.bool_)
    _mentions(data, offsets, _FIRST, _KEYS, _MASKS, _CASE, out)
    return out
