r"""Counts behind the quality heuristics: one pass over the UTF-8 buffer of a batch, no Python per document.

Tokens are what `str.split()` gives (runs of characters that are not Unicode white space), words the tokens that hold a
letter or a number, lines what `\n` ends, characters Unicode code points. The text must be valid UTF-8, as in Arrow.
"""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpuskit.kernels.normalize import decode

COUNTS = (
    "tokens",
    "words",
    "word_chars",
    "chars",
    "lines",
    "hashes",
    "ellipses",
    "alpha_words",
    "bullet_lines",
    "ellipsis_lines",
    "stop_words",
)
"""Columns of the result of `count`."""

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Gopher's eight (Rae et al. 2021, https://arxiv.org/abs/2112.11446, appendix A1.1)."""

_SPACE = np.uint8(1)
_LETTER = np.uint8(2)
_LOOK = np.uint8(4)
_NUMBER_OR_LETTER = np.uint8(8)
_STOP = np.array([len(word) << 32 | int.from_bytes(word.encode(), "little") for word in STOP_WORDS], np.uint64)
_SPACES = [*range(0x09, 0x0E), *range(0x1C, 0x21), 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B)]
_SPACES += [0x2028, 0x2029, 0x202F, 0x205F, 0x3000]


@functools.cache
def character_classes() -> npt.NDArray[np.uint8]:
    """Class bits of every code point, uint8[0x110000]: white space, letter, number, worth a closer look.

    Letters are the Unicode categories L*, numbers N*, by the tables of pyarrow (so that its version fixes them).
    """
    classes = np.zeros(0x110000, np.uint8)
    for first, last in ((0, 0xD800), (0xE000, 0x110000)):
        characters = pa.array(np.arange(first, last, dtype="<u4").view("<U1"))
        letters = pc.utf8_is_alpha(characters).to_numpy(zero_copy_only=False)
        either = pc.utf8_is_alnum(characters).to_numpy(zero_copy_only=False)
        classes[first:last] = letters * _LETTER + either * _NUMBER_OR_LETTER
    classes[_SPACES] |= _SPACE
    classes[[ord("#"), ord(".")]] |= _LOOK
    return classes


@numba.njit(nogil=True, cache=True, inline="always")
def _ends_in_ellipsis(data: Any, start: Any, end: Any) -> Any:
    """Whether the text before `end` ends in `...` or in U+2026."""
    if end - start < 3:
        return False
    a, b, c = data[end - 3], data[end - 2], data[end - 1]
    return (a == 46 and b == 46 and c == 46) or (a == 0xE2 and b == 0x80 and c == 0xA6)


@numba.njit(nogil=True, cache=True, inline="always")
def _stop_word(data: Any, start: Any, size: Any, stop: Any) -> Any:
    """One bit for the stop word that this word is, or 0."""
    if size > 4 or size < 2:
        return 0
    packed = np.uint64(size) << np.uint64(32)
    for k in range(size):
        packed |= np.uint64(data[start + k]) << np.uint64(8 * k)
    for k in range(len(stop)):
        if stop[k] == packed:
            return 1 << k
    return 0


@numba.njit(nogil=True, cache=True, inline="always")
def _bits(value: Any) -> Any:
    ones = 0
    while value:
        value &= value - 1
        ones += 1
    return ones


@numba.njit(nogil=True, cache=True)
def _count(data: Any, offsets: Any, classes: Any, stop: Any, out: Any) -> None:
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        tokens = words = word_chars = hashes = ellipses = alpha_words = bullets = ellipsis_lines = lines = wide = (
            seen
        ) = 0
        i = line = start
        last = counted = start  # end of the last token; end of the last `...`
        fresh = True  # no token yet in this line
        while i < end:
            # White space: also where lines end.
            while i < end:
                c = data[i]
                if c < 0x80:
                    if not classes[c] & _SPACE:
                        break
                    if c == 10:
                        lines += 1
                        ellipsis_lines += _ends_in_ellipsis(data, line, last)
                        line = last = i + 1
                        fresh = True
                    i += 1
                else:
                    point, after = decode(data, i)
                    if not classes[point] & _SPACE:
                        break
                    wide += after - i - 1
                    i = after
            if i >= end:
                break
            # A token.
            first, extra, found = i, 0, np.uint8(0)
            if fresh:
                fresh = False
                bullets += data[i] == 45 or (data[i] == 0xE2 and data[i + 1] == 0x80 and data[i + 2] == 0xA2)
            while i < end:
                c = data[i]
                if c < 0x80:
                    kind = classes[c]
                    if kind & _SPACE:
                        break
                    found |= kind
                    if kind & _LOOK:
                        if c == 35:
                            hashes += 1
                        elif i >= counted and i + 2 < end and data[i + 1] == 46 and data[i + 2] == 46:
                            ellipses += 1
                            counted = i + 3
                    i += 1
                else:
                    point, after = decode(data, i)
                    kind = classes[point]
                    if kind & _SPACE:
                        break
                    found |= kind
                    ellipses += point == 0x2026
                    extra += after - i - 1
                    i = after
            last = i
            tokens += 1
            wide += extra
            if found & _NUMBER_OR_LETTER:
                words += 1
                word_chars += i - first - extra
            alpha_words += (found & _LETTER) != 0
            seen |= _stop_word(data, first, i - first, stop)
        if end > line:
            lines += 1
            ellipsis_lines += _ends_in_ellipsis(data, line, last)
        counts = (
            tokens,
            words,
            word_chars,
            end - start - wide,
            lines,
            hashes,
            ellipses,
            alpha_words,
            bullets,
            ellipsis_lines,
            _bits(seen),
        )
        for k in range(len(counts)):
            out[row, k] = counts[k]


def count(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Count tokens, words, lines and characters of documents.

    Args:
        data: UTF-8 bytes, uint8[>= offsets[n] + 4].
        offsets: int64[n + 1].

    Returns:
        int64[n, 11], a column for each of `COUNTS`: tokens; words; characters in words; characters; lines; `#`; `...`
        (without overlap) and U+2026 together; tokens with a letter; lines whose first character after white space is
        `-` or U+2022; lines that end, before white space, in `...` or U+2026; how many of Gopher's eight stop words
        occur as tokens, in lower case.
    """
    out = np.zeros((len(offsets) - 1, len(COUNTS)), np.int64)
    _count(data, offsets, character_classes(), _STOP, out)
    return out
