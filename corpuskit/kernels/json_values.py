r"""JSON values read where they stand: strings, numbers, objects and lists in the strict grammar (RFC 8259).

What is beyond these kernels (a deep nesting, a number that may be beyond a double) they refuse, as what is no JSON.
The bytes behind the values end every loop: `\n` or zeros are in no token and no string.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from corpuskit.kernels.intrinsics import (
    BYTES,
    _any,
    _between,
    _equal,
    _instruction,
    _load,
    _mask_function,
    _pointer,
    trailing_zeros,
)
from corpuskit.kernels.normalize import encode

MOST_NESTED = 60
MOST_DIGITS = 18
"""Of an integer that fits 64 bits for sure."""
MOST_NUMBER_BYTES = 200
"""Of a number that is finite for sure, with an exponent of two digits at most."""
FAILED = -1

QUOTE, COMMA, MINUS, ZERO, NINE, COLON, BACKSLASH = (ord(char) for char in '",-09:\\')
OPEN_LIST, CLOSE_LIST, OPEN, CLOSE = (ord(char) for char in "[]{}")

ESCAPED = np.zeros(256, np.uint8)
r"""What stands for the byte behind a backslash; 0 for none, and for `u`."""
for _name, _meaning in zip('"\\/bfnrt', '"\\/\b\f\n\r\t', strict=True):
    ESCAPED[ord(_name)] = ord(_meaning)

HEX = np.full(256, -1, np.int64)
for _digit in "0123456789abcdefABCDEF":
    HEX[ord(_digit)] = int(_digit, 16)


def _is_string_end(builder: Any, v: Any) -> Any:
    return _any(builder, _equal(builder, v, QUOTE), _equal(builder, v, BACKSLASH), _between(builder, v, 0, 0x1F))


mask_string_end = _mask_function(_is_string_end)
"""uint64: which of 64 bytes are a quote, a backslash or a control character."""


@_instruction
def store_copy(_context: Any, source: Any, _index: Any, target: Any, _at: Any) -> Any:
    """Write 64 bytes from `source[index]` to `target[at]`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, index, target, at = arguments
        value = _load(builder, _pointer(context, builder, signature.args[0], source, index, BYTES))
        builder.store(value, _pointer(context, builder, signature.args[2], target, at, BYTES), 1)
        return context.get_dummy_value()

    return types.void(source, types.int64, target, types.int64), generate


@njit(nogil=True, cache=True, inline="always")
def behind_space(data: Any, at: Any) -> Any:
    """Index of the first byte from `data[at]` on that is not white space within a line."""
    while data[at] == 32 or data[at] == 9 or data[at] == 13:
        at += 1
    return at


@njit(nogil=True, cache=True, inline="always")
def _hex4(data: Any, at: Any) -> Any:
    """The number of four hexadecimal digits; negative if they are none."""
    a, b, c, d = HEX[data[at]], HEX[data[at + 1]], HEX[data[at + 2]], HEX[data[at + 3]]
    return FAILED if (a | b | c | d) < 0 else (a << 12) | (b << 8) | (c << 4) | d


@njit(nogil=True, cache=True)
def _code_point(data: Any, at: Any) -> Any:
    r"""(code point of the `\u` at `data[at]` or FAILED, index behind it); a surrogate needs its other half."""
    code = _hex4(data, at + 2)
    if code < 0xD800 or code > 0xDFFF:
        return code, at + 6
    if code > 0xDBFF or data[at + 6] != BACKSLASH or data[at + 7] != 117:
        return FAILED, at
    low = _hex4(data, at + 8)
    if low < 0xDC00 or low > 0xDFFF:
        return FAILED, at
    return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00), at + 12


@njit(nogil=True, cache=True)
def _string(data: Any, at: Any) -> Any:
    """(Index behind the string whose first byte behind the quote is `data[at]`, or FAILED; whether it has escapes)."""
    escaped = False
    while True:
        mask = mask_string_end(data, at)
        if mask == 0:
            at += 64
            continue
        at += trailing_zeros(mask)
        if data[at] == QUOTE:
            return at + 1, escaped
        if data[at] != BACKSLASH:
            return FAILED, escaped
        escaped = True
        if ESCAPED[data[at + 1]] != 0:
            at += 2
            continue
        if data[at + 1] != 117:
            return FAILED, escaped
        code, at = _code_point(data, at)
        if code < 0:
            return FAILED, escaped


@njit(nogil=True, cache=True)
def unescape(data: Any, at: Any, out: Any, size: Any) -> Any:
    """As `_string`, writing what the string means to `out[size]`: (index behind it or FAILED, end in `out`)."""
    while True:
        mask = mask_string_end(data, at)
        store_copy(data, at, out, size)
        if mask == 0:
            at += 64
            size += 64
            continue
        length = trailing_zeros(mask)
        at += length
        size += length
        if data[at] == QUOTE:
            return at + 1, size
        if data[at] != BACKSLASH:
            return FAILED, size
        meaning = ESCAPED[data[at + 1]]
        if meaning != 0:
            out[size] = meaning
            size += 1
            at += 2
            continue
        if data[at + 1] != 117:
            return FAILED, size
        code, at = _code_point(data, at)
        if code < 0:
            return FAILED, size
        size = encode(code, out, size)


@njit(nogil=True, cache=True, inline="always")
def _behind_digits(data: Any, at: Any) -> Any:
    while ZERO <= data[at] <= NINE:
        at += 1
    return at


@njit(nogil=True, cache=True)
def _number(data: Any, at: Any) -> Any:
    """(Index behind a number that is a finite double for sure, or FAILED; whether `orjson.dumps` gives it back)."""
    start = at
    at += np.int64(data[at] == MINUS)
    first = at
    at = _behind_digits(data, at)
    digits = at - first
    if digits == 0 or (digits > 1 and data[first] == ZERO):
        return FAILED, False
    same = digits <= MOST_DIGITS and (data[first] != ZERO or first == start)
    if data[at] == 46:
        same = False
        fraction = at + 1
        at = _behind_digits(data, fraction)
        if at == fraction:
            return FAILED, False
    if data[at] | 32 == 101:
        same = False
        at += 1
        at += np.int64(data[at] == MINUS or data[at] == 43)
        exponent = at
        at = _behind_digits(data, exponent)
        if at == exponent or at - exponent > 2:
            return FAILED, False
    return (FAILED if at - start > MOST_NUMBER_BYTES else at), same


@njit(nogil=True, cache=True)
def _literal(data: Any, at: Any) -> Any:
    """Index behind `true`, `false` or `null`; else FAILED."""
    a, b, c, d = data[at], data[at + 1], data[at + 2], data[at + 3]
    if (a == 116 and b == 114 and c == 117 and d == 101) or (a == 110 and b == 117 and c == 108 and d == 108):
        return at + 4
    if a == 102 and b == 97 and c == 108 and d == 115 and data[at + 4] == 101:
        return at + 5
    return FAILED


@njit(nogil=True, cache=True)
def behind_simple(data: Any, at: Any) -> Any:
    """(Index behind a value that is no object and no list, or FAILED; whether `orjson.dumps` gives it back)."""
    c = data[at]
    if c == QUOTE:
        at, escaped = _string(data, at + 1)
        return at, not escaped
    if c == MINUS or ZERO <= c <= NINE:
        return _number(data, at)
    return _literal(data, at), True


@njit(nogil=True, cache=True)
def key_at(data: Any, at: Any) -> Any:
    """(Index of the value that follows the key at `data[at]` or FAILED, length of the key or FAILED if escaped)."""
    if data[at] != QUOTE:
        return FAILED, FAILED
    name = at + 1
    at, escaped = _string(data, name)
    if at < 0:
        return FAILED, FAILED
    length = FAILED if escaped else at - 1 - name
    at = behind_space(data, at)
    if data[at] != COLON:
        return FAILED, FAILED
    return behind_space(data, at + 1), length


@njit(nogil=True, cache=True)
def behind_nested(data: Any, at: Any) -> Any:
    """Index behind the object or list that begins at `data[at]`; FAILED if it is none, or nested too deeply."""
    kinds = np.uint64(0)  # of the open ones, the innermost in the lowest bit: 1 an object
    depth = 0
    while True:
        opened = data[at] == OPEN or data[at] == OPEN_LIST  # here a value is due
        if opened:
            if depth == MOST_NESTED:
                return FAILED
            depth += 1
            kinds = (kinds << np.uint64(1)) | np.uint64(data[at] == OPEN)
            at = behind_space(data, at + 1)
            opened = data[at] != (CLOSE if kinds & np.uint64(1) else CLOSE_LIST)
        else:
            at, _ = behind_simple(data, at)
            if at < 0:
                return FAILED
            at = behind_space(data, at)
        while not opened and data[at] == (CLOSE if kinds & np.uint64(1) else CLOSE_LIST):
            depth -= 1
            kinds >>= np.uint64(1)
            if depth == 0:
                return at + 1
            at = behind_space(data, at + 1)
        if not opened:
            if data[at] != COMMA:
                return FAILED
            at = behind_space(data, at + 1)
        if kinds & np.uint64(1):
            at, _ = key_at(data, at)
            if at < 0:
                return FAILED
