"""Which texts are in a Unicode normalization form already, by the quick check of UAX 15 (section 9)."""

from __future__ import annotations

import functools
import unicodedata
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from corpuskit.kernels.intrinsics import mask_high, mask_lead, trailing_zeros
from corpuskit.kernels.normalize import decode, low_bits

ONE, STEP = np.uint64(1), 64

KNOWN = 0x20000
"""Code points that are looked up: planes 0 and 1. A text with others is not known to be in a form."""


CHANGES = 255
"""In place of a combining class, which is never so large: a code point that may change by itself."""

SECOND, COMPOSED = 1 << 8, 1 << 9
"""Bits: the second half of a pair that composes; what such a pair becomes."""


@functools.cache
def tables(form: Literal["NFC", "NFKC"]) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int64]]:
    """What is known of code points, uint16[KNOWN], and the pairs that compose, int64[p], rising.

    A pair is `first << 21 | second`; none has a mark as its first. A code point that this Python does not know is taken
    for one that may change, as are the vowels and ends of Hangul syllables, which compose by rule.
    """
    signs = [chr(code) if not 0xD800 <= code < 0xE000 else "" for code in range(KNOWN)]
    found = np.array([unicodedata.combining(sign or " ") for sign in signs], np.uint16)
    alone, pairs = pa.array(signs), []
    stays = pc.equal(pc.utf8_normalize(alone, form=form), alone).to_pylist()
    for code, sign in enumerate(signs):
        if not sign or not stays[code] or unicodedata.category(sign) == "Cn":
            found[code] = CHANGES
        elif len(parts := unicodedata.decomposition(sign).split()) == 2 and parts[0][0] != "<":
            pairs.append(int(parts[0], 16) << 21 | int(parts[1], 16))
            found[code] |= COMPOSED
    pairs.sort()
    found[[pair & 0x1FFFFF for pair in pairs]] |= SECOND
    found[0x1161:0x1176] = found[0x11A8:0x11C3] = CHANGES
    return found, np.array(pairs, np.int64)


@njit(nogil=True, cache=True)
def _check(data: Any, offsets: Any, table: Any, pairs: Any, out: Any) -> None:
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        holds, composed, last, behind, starter = True, False, 0, start, np.int64(0)
        while start < end and holds:
            high = mask_high(data, start) & mask_lead(data, start) & low_bits(min(STEP, end - start))
            while high and holds:
                at = start + trailing_zeros(high)
                if at != behind:
                    last, starter, composed = 0, np.int64(data[at - 1]), False
                c, behind = decode(data, at)
                what = table[c] if c < len(table) else CHANGES
                order = what & 255
                holds = order != CHANGES and (order == 0 or order >= last)
                if holds and what & SECOND:
                    pair = starter << 21 | c
                    place = np.searchsorted(pairs, pair)
                    # behind what is composed a mark may come between its halves
                    holds = not composed and (place == len(pairs) or pairs[place] != pair)
                if order == 0:
                    starter, composed = c, what & COMPOSED != 0
                last = order
                high &= high - ONE
            start += STEP
        out[row] = holds


def in_form(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], form: Literal["NFC", "NFKC"]
) -> npt.NDArray[np.bool_]:
    """Which of n texts are in a form for certain, bool[n]; of the others most are, and some are not.

    Args:
        data: uint8[m], with `KERNEL_PADDING` bytes behind the texts. offsets: int64[n + 1].
        form: NFC or NFKC.
    """
    out = np.zeros(len(offsets) - 1, np.bool_)
    _check(data, offsets, *tables(form), out)
    return out
