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


MAYBE = 255
"""What stands for a code point that may change or compose with the one before; no combining class is so large."""


@functools.cache
def classes(form: Literal["NFC", "NFKC"]) -> npt.NDArray[np.uint8]:
    """The combining class of each of the first `KNOWN` code points, or `MAYBE`: uint8[KNOWN].

    Normalization leaves the others alone, and they are not the second half of a pair that composes. One that this
    Python does not know is taken for one that may change.
    """
    signs = [chr(code) if not 0xD800 <= code < 0xE000 else "" for code in range(KNOWN)]
    found = np.frombuffer(bytes(map(unicodedata.combining, (sign or " " for sign in signs))), np.uint8).copy()
    alone = pa.array(signs)
    stays = pc.equal(pc.utf8_normalize(alone, form=form), alone).to_pylist()
    for code, sign in enumerate(signs):
        if not sign or not stays[code] or unicodedata.category(sign) == "Cn":
            found[code] = MAYBE
        if stays[code] and len(parts := unicodedata.decomposition(sign or " ").split()) == 2 and parts[0][0] != "<":
            found[int(parts[1], 16)] = MAYBE
    found[0x1161:0x1176] = found[0x11A8:0x11C3] = MAYBE  # vowels and ends of Hangul syllables compose by rule
    return found


@njit(nogil=True, cache=True)
def _check(data: Any, offsets: Any, table: Any, out: Any) -> None:
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        holds, last, behind = True, np.uint8(0), start
        while start < end and holds:
            high = mask_high(data, start) & mask_lead(data, start) & low_bits(min(STEP, end - start))
            while high and holds:
                at = start + trailing_zeros(high)
                if at != behind:
                    last = np.uint8(0)
                c, behind = decode(data, at)
                mine = table[c] if c < len(table) else np.uint8(MAYBE)
                holds = bool(mine != MAYBE and (mine == 0 or mine >= last))
                last = mine
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
    _check(data, offsets, classes(form), out)
    return out
