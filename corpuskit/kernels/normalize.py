"""Normalization `slimpajama`: lower case, no ASCII punctuation, white space collapsed to one blank and stripped.

In Python: `" ".join(text.lower().translate(no_punctuation).split())`. ASCII goes 64 bytes a step; other text code
point by code point, with exactly Python's `str.lower` (U+0130, the final sigma) and `str.isspace`.
Source of the rule: SlimPajama's preprocessing (Soboleva et al. 2023).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from corpuskit.arrow import utf8
from corpuskit.kernels.hashing import SECOND_LANE, hash_bytes
from corpuskit.kernels.intrinsics import (
    count_ones,
    mask_high,
    mask_punctuation,
    mask_space,
    store_compressed,
    trailing_zeros,
)
from corpuskit.kernels.unicode import CASED, DOT_ABOVE, DOTTED_I, FINAL_SIGMA, IGNORABLE, SIGMA, SPACE, tables

ONE, ZERO = np.uint64(1), np.uint64(0)
ALL = ~np.uint64(0)


@njit(nogil=True, cache=True)
def is_ascii(data: Any, start: Any, end: Any) -> Any:
    """Whether `data[start:end]` is ASCII."""
    for at in range(start, end, 64):
        high = mask_high(data, at)
        if end - at < 64:
            high &= (ONE << np.uint64(end - at)) - ONE
        if high:
            return False
    return True


@njit(nogil=True, cache=True, inline="always")
def ascii_run(data: Any, at: Any, end: Any) -> Any:
    """How many of the next 64 bytes before `end` come before the first that is not ASCII."""
    high = mask_high(data, at)
    length = min(64, end - at)
    return min(length, trailing_zeros(high)) if high else length


@njit(nogil=True, cache=True, inline="always")
def low_bits(count: Any) -> Any:
    """uint64 with the lowest `count` bits set, 1 to 64."""
    return ALL >> np.uint64(64 - count)


@njit(nogil=True, cache=True, inline="always")
def normalize_block(data: Any, at: Any, length: Any, after_space: Any, out: Any, size: Any) -> Any:
    """Normalize up to 64 ASCII bytes to `out[size]`.

    `after_space` is 1 where the last byte before that is no punctuation was white space (or there is none), else 0.

    Returns:
        (bytes written, after_space for the next block).
    """
    valid = low_bits(length)
    space = mask_space(data, at) & valid
    punctuation = mask_punctuation(data, at) & valid
    # Punctuation that follows white space hands "after space" on: adding its first bit to a run clears the run.
    first = ((space << ONE) | after_space) & punctuation
    spaced = space | (punctuation & ~(punctuation + first))
    keep = valid & ~punctuation & ~(space & ((spaced << ONE) | after_space))
    store_compressed(data, at, out, size, keep)
    return count_ones(keep), (spaced >> np.uint64(length - 1)) & ONE


@njit(nogil=True, cache=True)
def normalize_ascii(data: Any, start: Any, end: Any, out: Any) -> Any:
    """Normalize ASCII `data[start:end]` into `out` (room for end - start + 64); the number of bytes."""
    size = 0
    after_space = ONE  # strips
    for at in range(start, end, 64):
        added, after_space = normalize_block(data, at, min(64, end - at), after_space, out, size)
        size += added
    if size > 0 and out[size - 1] == 32:
        size -= 1
    return size


@njit(nogil=True, cache=True, inline="always")
def decode(data: Any, at: Any) -> Any:
    """Code point at `data[at]` of valid UTF-8, and the index behind it; beyond Unicode becomes U+FFFD."""
    c = np.int64(data[at])
    if c < 0x80:
        return c, at + 1
    if c < 0xE0:
        return ((c & 31) << 6) | (np.int64(data[at + 1]) & 63), at + 2
    middle = ((np.int64(data[at + 1]) & 63) << 6) | (np.int64(data[at + 2]) & 63)
    if c < 0xF0:
        return ((c & 15) << 12) | middle, at + 3
    c = ((c & 7) << 18) | (middle << 6) | (np.int64(data[at + 3]) & 63)
    return (c if c < 0x110000 else 0xFFFD), at + 4


@njit(nogil=True, cache=True, inline="always")
def encode(c: Any, out: Any, at: Any) -> Any:
    """Write code point `c` as UTF-8 to `out[at]`; the index behind it."""
    if c < 0x80:
        out[at] = c
        return at + 1
    if c < 0x800:
        out[at] = 0xC0 | (c >> 6)
        out[at + 1] = 0x80 | (c & 63)
        return at + 2
    if c < 0x10000:
        out[at] = 0xE0 | (c >> 12)
        out[at + 1] = 0x80 | ((c >> 6) & 63)
        out[at + 2] = 0x80 | (c & 63)
        return at + 3
    out[at] = 0xF0 | (c >> 18)
    out[at + 1] = 0x80 | ((c >> 12) & 63)
    out[at + 2] = 0x80 | ((c >> 6) & 63)
    out[at + 3] = 0x80 | (c & 63)
    return at + 4


@njit(nogil=True, cache=True)
def is_final_sigma(data: Any, start: Any, end: Any, at: Any, classes: Any) -> Any:
    """Whether the capital sigma at `data[at]` lower-cases to the final form (Unicode 3.13, as CPython has it)."""
    found = False
    back = at
    while back > start:
        back -= 1
        while back > start and (data[back] & 0xC0) == 0x80:
            back -= 1
        c, _ = decode(data, back)
        if not classes[c] & IGNORABLE:
            found = (classes[c] & CASED) != 0
            break
    if not found:
        return False
    forward = at + 2
    while forward < end:
        c, forward = decode(data, forward)
        if not classes[c] & IGNORABLE:
            return (classes[c] & CASED) == 0
    return True


@njit(nogil=True, cache=True)
def normalize_unicode(data: Any, start: Any, end: Any, lower: Any, classes: Any, out: Any, positions: Any) -> Any:
    """Normalize UTF-8 `data[start:end]` into `out` (room for twice its bytes).

    Returns:
        (bytes, code points); `positions` (int32, room for the bytes + 1) gets the byte index of each code point and
        the end.
    """
    size = 0
    chars = 0
    after_space = ONE  # strips
    at = start
    while at < end:
        length = ascii_run(data, at, end)
        if length:
            added, after_space = normalize_block(data, at, length, after_space, out, size)
            for i in range(added):
                positions[chars + i] = size + i
            size += added
            chars += added
            at += length
            continue
        begin = at
        c, at = decode(data, at)
        if classes[c] & SPACE:
            if not after_space:
                positions[chars] = size
                chars += 1
                out[size] = 32
                size += 1
            after_space = ONE
            continue
        after_space = ZERO
        positions[chars] = size
        chars += 1
        if c == SIGMA and is_final_sigma(data, start, end, begin, classes):
            size = encode(FINAL_SIGMA, out, size)
        else:
            size = encode(np.int64(lower[c]), out, size)
            if c == DOTTED_I:
                positions[chars] = size
                chars += 1
                size = encode(DOT_ABOVE, out, size)
    if size > 0 and out[size - 1] == 32:
        size -= 1
        chars -= 1
    positions[chars] = size
    return size, chars


@njit(nogil=True, cache=True)
def normalize_document(data: Any, start: Any, end: Any, lower: Any, classes: Any, out: Any, positions: Any) -> Any:
    """Normalize any `data[start:end]`: (bytes, code points); `positions` is valid only where these differ."""
    if is_ascii(data, start, end):
        size = normalize_ascii(data, start, end, out)
        return size, size
    return normalize_unicode(data, start, end, lower, classes, out, positions)


@njit(nogil=True, cache=True)
def _count(data: Any, offsets: Any, lower: Any, classes: Any, out: Any, positions: Any, chars: Any) -> None:
    for i in range(len(chars)):
        _, chars[i] = normalize_document(data, offsets[i], offsets[i + 1], lower, classes, out, positions)


@njit(nogil=True, cache=True)
def _hash(data: Any, offsets: Any, lower: Any, classes: Any, out: Any, positions: Any, seeds: Any, hashes: Any) -> None:
    for i in range(len(hashes)):
        size, _ = normalize_document(data, offsets[i], offsets[i + 1], lower, classes, out, positions)
        hashes[i, 0] = hash_bytes(out, 0, size, seeds[0])
        hashes[i, 1] = hash_bytes(out, 0, size, seeds[1])


@njit(nogil=True, cache=True)
def _normalize(data: Any, offsets: Any, lower: Any, classes: Any, out: Any, positions: Any, ends: Any) -> None:
    size = 0
    for i in range(len(offsets) - 1):
        added, _ = normalize_document(data, offsets[i], offsets[i + 1], lower, classes, out[size:], positions)
        size += added
        ends[i + 1] = size


def scratch(longest: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """Buffers (out, positions) for documents of up to `longest` bytes."""
    return np.empty(2 * longest + 128, np.uint8), np.empty(longest + 2, np.int32)


def hash_seeds(seed: int) -> npt.NDArray[np.uint64]:
    """The seeds of the two lanes of a 128-bit hash."""
    return np.array([seed, (seed + SECOND_LANE) % 2**64], np.uint64)


def _longest(offsets: npt.NDArray[np.int64]) -> int:
    return int(np.diff(offsets).max(initial=0))


def clean_chars(column: pa.Array) -> npt.NDArray[np.int64]:
    """Code points of the slimpajama-normalized text of each row: int64[n]. SlimPajama keeps at least 200."""
    data, offsets = utf8(column)
    chars = np.zeros(len(offsets) - 1, np.int64)
    _count(data, offsets, *tables(), *scratch(_longest(offsets)), chars)
    return chars


def normalized_hash(column: pa.Array, seed: int = 0) -> npt.NDArray[np.uint64]:
    """128-bit hash of the slimpajama-normalized text of each row: uint64[n, 2]."""
    data, offsets = utf8(column)
    hashes = np.zeros((len(offsets) - 1, 2), np.uint64)
    _hash(data, offsets, *tables(), *scratch(_longest(offsets)), hash_seeds(seed), hashes)
    return hashes


def normalized(column: pa.Array) -> pa.Array:
    """The slimpajama-normalized text of each row, as a large_string array."""
    data, offsets = utf8(column)
    ends = np.zeros(len(offsets), np.int64)
    out, _ = scratch(int(offsets[-1]))
    _, positions = scratch(_longest(offsets))
    _normalize(data, offsets, *tables(), out, positions, ends)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(out[: int(ends[-1])].copy())]
    return pa.Array.from_buffers(pa.large_string(), len(ends) - 1, buffers)
