"""Unicode tables for kernels, asked of the running Python itself, so that kernels agree with `str` and `re`.

They are passed to kernels as arguments (a global would be copied into the compiled code).
"""

from __future__ import annotations

import functools
import re

import numpy as np
import numpy.typing as npt

SPACE, WORD, CASED, IGNORABLE = 1, 2, 4, 8
r"""Bits of a code point's class: `str.isspace`; `\w`; cased; case-ignorable, as the rule of the final sigma has it."""

CODE_POINTS = 0x110000
SIGMA, FINAL_SIGMA, DOTTED_I, DOT_ABOVE = 0x3A3, 0x3C2, 0x130, 0x307


def _text(code_points: npt.NDArray[np.uint32]) -> str:
    return code_points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _may_have_case() -> npt.NDArray[np.uint32]:
    """Code points that can be cased or case-ignorable, and others: of planes 0, 1 and 14.

    All other planes hold ideographs, private characters or none: to ask for each of them takes most of the time.
    """
    return np.concatenate([np.arange(0x20000, dtype=np.uint32), np.arange(0xE0000, 0xF0000, dtype=np.uint32)])


def _becomes_final(before: str, plain: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """For each code point c: does a capital sigma after `before + c` become a final one? `1` ends every context."""
    width = len(before) + 3
    rows = np.empty((len(plain), width), np.uint32)
    rows[:] = _code_points(f"{before}cΣ1")
    rows[:, len(before)] = plain
    lowered = _code_points("1" + _text(rows.ravel()).lower())[1:]
    result: npt.NDArray[np.bool_] = lowered.reshape(len(plain), width)[:, -2] == FINAL_SIGMA
    return result


@functools.cache
def tables() -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Lower case (int32[0x110000]) and class (uint8[0x110000]) of every code point.

    `str.lower` maps one code point to one, but for U+0130 (to `i` and U+0307) and U+03A3 (which looks at its
    neighbours); kernels handle these two, and the table says `i` and U+03C3.
    """
    every = np.arange(CODE_POINTS, dtype=np.uint32)
    plain = every.copy()
    plain[[SIGMA, DOTTED_I]] = ord("S"), ord("I")
    lower = _code_points(_text(plain).lower()).astype(np.int32)
    assert len(lower) == CODE_POINTS, "str.lower turns a code point other than U+0130 into several"
    lower[SIGMA], lower[DOTTED_I] = 0x3C3, ord("i")
    classes = np.zeros(CODE_POINTS, np.uint8)
    text = _text(every)
    for pattern, bit in ((r"\s+", SPACE), (r"\w+", WORD)):
        for match in re.finditer(pattern, text):
            classes[match.start() : match.end()] |= bit
    few = _may_have_case()
    cased = _becomes_final("", plain[few])
    ignorable = _becomes_final("A", plain[few]) & ~cased
    classes[few[cased]] |= CASED
    classes[few[ignorable]] |= IGNORABLE
    return lower, classes
