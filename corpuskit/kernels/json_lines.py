r"""Reads lines of JSON: the text of ordinary ones at the speed of a scan; what is unusual is left to a full parser.

A line is ordinary if it is valid UTF-8 and one object in the strict grammar (RFC 8259), whose text is a string that
stands there once. Whatever these kernels are not sure of (a key with an escape, a deep nesting, a number that may be
beyond a double) they leave to the parser, so that they may be strict but never lenient.

The bytes behind a line end every loop: `\n` or the zeros of the padding are in no token and no string.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
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
    mask_high,
    trailing_zeros,
)
from corpuskit.kernels.normalize import encode

ORDINARY, BLANK, UNUSUAL = 0, 1, 2
"""Kinds of a line."""

NOTHING, PLAIN, RAW = 0, 1, 2
"""What is known of the fields beside the text: there are none; their bytes are as `orjson.dumps` would write them;
they must be parsed."""

PADDING = 64
"""Zeros that must stand behind the lines."""

MOST_NESTED = 60
MOST_DIGITS = 18
"""Of an integer that fits 64 bits for sure."""
MOST_NUMBER_BYTES = 200
"""Of a number that is finite for sure, with an exponent of two digits at most."""
MOST_PLAIN_FIELDS = 16
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

mask_newline = _mask_function(lambda builder, v: _equal(builder, v, 0x0A))
r"""uint64: which of 64 bytes are `\n`."""


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
def _behind_space(data: Any, at: Any) -> Any:
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
def _unescape(data: Any, at: Any, out: Any, size: Any) -> Any:
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
def _simple(data: Any, at: Any) -> Any:
    """(Index behind a value that is no object and no list, or FAILED; whether `orjson.dumps` gives it back)."""
    c = data[at]
    if c == QUOTE:
        at, escaped = _string(data, at + 1)
        return at, not escaped
    if c == MINUS or ZERO <= c <= NINE:
        return _number(data, at)
    return _literal(data, at), True


@njit(nogil=True, cache=True)
def _key(data: Any, at: Any) -> Any:
    """(Index of the value that follows the key at `data[at]` or FAILED, length of the key or FAILED if escaped)."""
    if data[at] != QUOTE:
        return FAILED, FAILED
    name = at + 1
    at, escaped = _string(data, name)
    if at < 0:
        return FAILED, FAILED
    length = FAILED if escaped else at - 1 - name
    at = _behind_space(data, at)
    if data[at] != COLON:
        return FAILED, FAILED
    return _behind_space(data, at + 1), length


@njit(nogil=True, cache=True)
def _nested(data: Any, at: Any) -> Any:
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
            at = _behind_space(data, at + 1)
            opened = data[at] != (CLOSE if kinds & np.uint64(1) else CLOSE_LIST)
        else:
            at, _ = _simple(data, at)
            if at < 0:
                return FAILED
            at = _behind_space(data, at)
        while not opened and data[at] == (CLOSE if kinds & np.uint64(1) else CLOSE_LIST):
            depth -= 1
            kinds >>= np.uint64(1)
            if depth == 0:
                return at + 1
            at = _behind_space(data, at + 1)
        if not opened:
            if data[at] != COMMA:
                return FAILED
            at = _behind_space(data, at + 1)
        if kinds & np.uint64(1):
            at, _ = _key(data, at)
            if at < 0:
                return FAILED


@njit(nogil=True, cache=True)
def _same_bytes(data: Any, at: Any, other: Any, place: Any, length: Any) -> Any:
    index = 0
    while index < length and data[at + index] == other[place + index]:
        index += 1
    return index >= length


@njit(nogil=True, cache=True)
def _copy(data: Any, start: Any, end: Any, out: Any, size: Any) -> Any:
    """Copy `data[start:end]` to `out[size]`: the end in `out`."""
    for at in range(start, end, 64):
        store_copy(data, at, out, size + at - start)
    return size + end - start


@njit(nogil=True, cache=True)
def _is_new(data: Any, at: Any, length: Any, fields: Any, count: Any) -> Any:
    """Whether no field before has this key; remembers the key."""
    if count >= MOST_PLAIN_FIELDS:
        return False
    fields[count, 0], fields[count, 1] = at, length
    for index in range(count):
        if fields[index, 1] == length and _same_bytes(data, at, data, fields[index, 0], length):
            return False
    return True


@njit(nogil=True, cache=True)
def _line(data: Any, at: Any, key: Any, texts: Any, text_size: Any, rests: Any, rest_size: Any, fields: Any) -> Any:
    """(Index behind the object at `data[at]` and white space or FAILED, end in `texts`, end in `rests`, form)."""
    failed = (FAILED, text_size, rest_size, NOTHING)
    text_end = FAILED
    count = 0
    form = NOTHING
    at = _behind_space(data, at)
    if data[at] != OPEN:
        return failed
    while True:
        name = _behind_space(data, at + 1) + 1  # behind `{` or `,`
        at, length = _key(data, name - 1)
        if at < 0 or length < 0:
            return failed
        if length == len(key) and _same_bytes(data, name, key, 0, length):
            if text_end >= 0 or data[at] != QUOTE:
                return failed
            at, text_end = _unescape(data, at + 1, texts, text_size)
            if at < 0:
                return failed
        else:
            value = at
            if data[at] == OPEN or data[at] == OPEN_LIST:
                at = _nested(data, at)
                plain = False
            else:
                at, plain = _simple(data, at)
            if at < 0:
                return failed
            plain = _is_new(data, name, length, fields, count) and plain
            form = PLAIN if plain and form != RAW else RAW
            rests[rest_size] = OPEN if count == 0 else COMMA
            rest_size = _copy(data, name - 1, name + length + 1, rests, rest_size + 1)
            rests[rest_size] = COLON
            rest_size = _copy(data, value, at, rests, rest_size + 1)
            count += 1
        at = _behind_space(data, at)
        if data[at] != COMMA:
            break
    if data[at] != CLOSE or text_end < 0:
        return failed
    if count:
        rests[rest_size] = CLOSE
        rest_size += 1
    return _behind_space(data, at + 1), text_end, rest_size, form


@njit(nogil=True, cache=True)
def _is_utf8(data: Any, at: Any, end: Any) -> Any:
    """Whether `data[at:end]` is UTF-8 by table 3-7 of the Unicode standard."""
    while at < end:
        high = mask_high(data, at)
        if high == 0:
            at += 64
            continue
        at += trailing_zeros(high)
        while at < end and data[at] >= 0x80:
            first, second = data[at], data[at + 1]
            if second & 0xC0 != 0x80 or first < 0xC2 or first > 0xF4:
                return False
            at += 2
            if first < 0xE0:
                continue
            if (first == 0xE0 and second < 0xA0) or (first == 0xED and second > 0x9F) or data[at] & 0xC0 != 0x80:
                return False
            at += 1
            if first < 0xF0:
                continue
            if (first == 0xF0 and second < 0x90) or (first == 0xF4 and second > 0x8F) or data[at] & 0xC0 != 0x80:
                return False
            at += 1
    return True


@njit(nogil=True, cache=True)
def _line_end(data: Any, at: Any, end: Any) -> Any:
    while at < end:
        mask = mask_newline(data, at)
        if mask != 0:
            return min(end, at + trailing_zeros(mask))
        at += 64
    return end


@njit(nogil=True, cache=True)
def scan(
    data: Any, at: Any, end: Any, limit: Any, key: Any, texts: Any, text_ends: Any, rests: Any, rest_ends: Any,
    forms: Any, kinds: Any, starts: Any, fields: Any,
) -> Any:  # fmt: skip
    r"""Read the lines of `data[at:end]`, until `kinds` is full.

    Args:
        data: uint8, whole lines (the last may lack its `\n`), then 64 zeros.
        at, end: where the first line begins and the last ends.
        limit: a longer line is unusual.
        key: uint8, the name of the text.
        texts: uint8, room for the bytes of the lines + 64; gets the texts, one behind the other.
        text_ends: int32[n + 1], gets the end of each ordinary line's text behind a 0; n the most lines to read.
        rests: uint8, room as `texts`; gets the JSON object of each ordinary line without its text, if it has more.
        rest_ends: int32[n + 1], as `text_ends`.
        forms: uint8[n], gets NOTHING, PLAIN or RAW for each ordinary line.
        kinds: uint8[n], gets ORDINARY, BLANK or UNUSUAL for each line.
        starts: int64[n + 1], gets where each line begins, and where the next would.
        fields: int64[MOST_PLAIN_FIELDS, 2], scratch.

    Returns:
        (lines read, ordinary lines among them, index of the next line).
    """
    lines = 0
    rows = 0
    text_ends[0] = rest_ends[0] = 0
    while at < end and lines < len(kinds):
        starts[lines] = at
        stop, text_end, rest_end, form = _line(
            data, at, key, texts, np.int64(text_ends[rows]), rests, np.int64(rest_ends[rows]), fields
        )
        whole = stop >= 0 and (stop == end or data[stop] == 10) and stop - at <= limit
        if whole and _is_utf8(data, at, stop):
            kinds[lines] = ORDINARY
            forms[rows] = form
            rows += 1
            text_ends[rows], rest_ends[rows] = text_end, rest_end
        else:
            stop = _line_end(data, at, end)
            blank = _behind_space(data, at) == stop and stop - at <= limit
            kinds[lines] = BLANK if blank else UNUSUAL
        lines += 1
        at = stop + 1
    starts[lines] = at
    return lines, rows, at


def name_bytes(name: str) -> npt.NDArray[np.uint8]:
    """A field's name as `scan` wants it."""
    return np.frombuffer(name.encode(), np.uint8)
