"""Places in UTF-8 text where personal data or a secret could begin, found in one pass; patterns then look there alone.

All of it is ASCII, so bytes are looked at and nothing is decoded. A place is given for what it could be, on evidence
that is cheap to gather; whether it is so is for `corpuskit.steps.pii` to say.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

EMAIL, IPV4, IPV6, PHONE, IBAN, CARD, KEY = range(7)

_KEY_STARTS = b"AaEegx-"
"""First bytes of what is looked for as a key: AKIA, AIza, aws_, eyJ, ghp_, xoxb-, -----BEGIN."""


def _classes() -> Any:
    """What a byte is, as bits: digit, ASCII letter or `_`, hexadecimal, of an email's local part, looked at."""
    made = np.zeros(256, np.uint8)
    made[list(b"0123456789")] |= 1
    made[list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")] |= 2
    made[list(b"0123456789ABCDEFabcdef")] |= 4
    made[list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._%+-'")] |= 8
    made[list(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ@+" + _KEY_STARTS)] |= 16
    return made


CLASSES = _classes()
DIGIT, LETTER, HEX, LOCAL, LOOKED_AT = (np.uint8(1 << bit) for bit in range(5))
WORD = DIGIT | LETTER


@njit(nogil=True, cache=True)
def _run(data: Any, at: Any, end: Any, classes: Any, kind: Any) -> Any:
    """How many bytes from `at` on, below `end`, are of a kind."""
    count = 0
    while at + count < end and classes[data[at + count]] & kind:
        count += 1
    return count


@njit(nogil=True, cache=True)
def _quad(data: Any, at: Any, end: Any, classes: Any) -> Any:
    """Whether four numbers of up to three digits follow, with dots between them."""
    for part in range(4):
        digits = _run(data, at, min(end, at + 4), classes, DIGIT)
        if digits == 0 or digits > 3:
            return False
        at += digits
        if part < 3:
            if at >= end or data[at] != ord("."):
                return False
            at += 1
    return True


@njit(nogil=True, cache=True)
def _key(data: Any, at: Any, end: Any) -> Any:
    """Whether the first bytes of a key follow."""
    if at + 8 > end:
        return False
    a, b, c, d = data[at], data[at + 1], data[at + 2], data[at + 3]
    if a == ord("-"):
        return b == a and c == a and d == a and data[at + 4] == a and data[at + 5] == ord("B")
    if a == ord("g"):
        return (b == ord("h") and d == ord("_")) or (b == ord("i") and c == ord("t") and data[at + 6] == ord("_"))
    if a == ord("x"):
        return b == ord("o") and c == ord("x") and data[at + 4] == ord("-")
    if a == ord("e"):
        return b == ord("y") and c == ord("J")
    if a == ord("a") or (a == ord("A") and b == ord("W")):
        return (b | 32) == ord("w") and (c | 32) == ord("s")
    return a == ord("A") and ((d == ord("A") and c == ord("I")) or (b == ord("I") and c == ord("z") and d == ord("a")))


@njit(nogil=True, cache=True)
def _digits(data: Any, at: Any, end: Any, classes: Any, wanted: Any) -> Any:
    """What could begin with the digit at `at`, or -1."""
    length = _run(data, at, min(end, at + 20), classes, DIGIT)
    behind = data[at + length] if at + length < end else np.uint8(0)
    if length <= 3 and behind == ord("."):
        return IPV4 if wanted[IPV4] and _quad(data, at, end, classes) else -1
    first = data[at]
    if wanted[IPV6] and (first == ord("2") or first == ord("3")):
        groups = _run(data, at, min(end, at + 5), classes, HEX)
        if groups == 4 and at + 5 < end and data[at + 4] == ord(":"):
            return IPV6
    grouped = length == 4 and (behind == ord(" ") or behind == ord("-"))
    if wanted[CARD] and first >= ord("2") and first <= ord("6") and (grouped or (13 <= length <= 19)):
        return CARD
    return -1


@njit(nogil=True, cache=True)
def _capital(data: Any, at: Any, end: Any, classes: Any) -> Any:
    """Whether two capitals and two digits follow, and more of an IBAN."""
    if at + 15 > end or not (ord("A") <= data[at + 1] <= ord("Z")):
        return False
    return classes[data[at + 2]] & DIGIT and classes[data[at + 3]] & DIGIT


@njit(nogil=True, cache=True)
def find_anchors(data: Any, offsets: Any, wanted: Any, classes: Any) -> Any:
    """Where personal data could begin.

    Args:
        data: bytes of all documents, uint8. offsets: their borders, int64[n + 1].
        wanted: kinds to look for, bool[7]. classes: `CLASSES`.

    Returns:
        (row, start, kind), int64[m] each, rising by row; within a row in no order.
    """
    found = np.empty((64, 3), np.int64)
    count = 0
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        for at in range(start, end):
            byte = data[at]
            if not classes[byte] & LOOKED_AT:
                continue
            before = data[at - 1] if at > start else np.uint8(32)
            kind, begin = -1, at
            if byte == ord("@"):
                if wanted[EMAIL]:
                    while begin > start and at - begin < 65 and classes[data[begin - 1]] & LOCAL:
                        begin -= 1
                    if 0 < at - begin < 65 and at + 1 < end and classes[data[at + 1]] & WORD:
                        kind = EMAIL
            elif classes[before] & WORD:
                continue
            elif classes[byte] & DIGIT:
                kind = _digits(data, at, end, classes, wanted)
            elif byte == ord("+"):
                if wanted[PHONE] and before != byte and at + 1 < end and ord("1") <= data[at + 1] <= ord("9"):
                    kind = PHONE
            elif wanted[KEY] and _key(data, at, end):
                kind = KEY
            elif wanted[IBAN] and byte <= ord("Z") and byte >= ord("A") and _capital(data, at, end, classes):
                kind = IBAN
            if kind < 0:
                continue
            if count == len(found):
                longer = np.empty((2 * count, 3), np.int64)
                longer[:count] = found
                found = longer
            found[count, 0], found[count, 1], found[count, 2] = row, begin, kind
            count += 1
    return found[:count]
