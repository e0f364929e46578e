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
from numba import njit

from corpuskit.kernels.intrinsics import _equal, _mask_function, mask_high, trailing_zeros
from corpuskit.kernels.json_values import (
    CLOSE,
    COLON,
    COMMA,
    FAILED,
    OPEN,
    OPEN_LIST,
    QUOTE,
    behind_nested,
    behind_simple,
    behind_space,
    key_at,
    store_copy,
    unescape,
)

ORDINARY, BLANK, UNUSUAL = 0, 1, 2
"""Kinds of a line."""

NOTHING, PLAIN, RAW = 0, 1, 2
"""What is known of the fields beside the text: there are none; their bytes are as `orjson.dumps` would write them;
they must be parsed."""

PADDING = 64
"""Zeros that must stand behind the lines."""

MOST_PLAIN_FIELDS = 16

mask_newline = _mask_function(lambda builder, v: _equal(builder, v, 0x0A))
r"""uint64: which of 64 bytes are `\n`."""


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
    at = behind_space(data, at)
    if data[at] != OPEN:
        return failed
    while True:
        name = behind_space(data, at + 1) + 1  # behind `{` or `,`
        at, length = key_at(data, name - 1)
        if at < 0 or length < 0:
            return failed
        if length == len(key) and _same_bytes(data, name, key, 0, length):
            if text_end >= 0 or data[at] != QUOTE:
                return failed
            at, text_end = unescape(data, at + 1, texts, text_size)
            if at < 0:
                return failed
        else:
            value = at
            if data[at] == OPEN or data[at] == OPEN_LIST:
                at = behind_nested(data, at)
                plain = False
            else:
                at, plain = behind_simple(data, at)
            if at < 0:
                return failed
            plain = _is_new(data, name, length, fields, count) and plain
            form = PLAIN if plain and form != RAW else RAW
            rests[rest_size] = OPEN if count == 0 else COMMA
            rest_size = _copy(data, name - 1, name + length + 1, rests, rest_size + 1)
            rests[rest_size] = COLON
            rest_size = _copy(data, value, at, rests, rest_size + 1)
            count += 1
        at = behind_space(data, at)
        if data[at] != COMMA:
            break
    if data[at] != CLOSE or text_end < 0:
        return failed
    if count:
        rests[rest_size] = CLOSE
        rest_size += 1
    return behind_space(data, at + 1), text_end, rest_size, form


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
            blank = behind_space(data, at) == stop and stop - at <= limit
            kinds[lines] = BLANK if blank else UNUSUAL
        lines += 1
        at = stop + 1
    starts[lines] = at
    return lines, rows, at


def name_bytes(name: str) -> npt.NDArray[np.uint8]:
    """A field's name as `scan` wants it."""
    return np.frombuffer(name.encode(), np.uint8)
