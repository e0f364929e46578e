"""Normalization `slimpajama`: lower case, no ASCII punctuation, white space collapsed to one blank and stripped.

In Python: `" ".join(text.lower().translate(no_punctuation).split())`. ASCII goes 64 bytes a step; other text code
point by code point, with exactly Python's `str.lower` (U+0130, the final sigma) and `str.isspace`.
Source of the rule: SlimPajama's preprocessing (Soboleva et al. 2023).
"""

from __future__ import annotations

import functools
import string
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from corpuskit.core.batch import utf8
from corpuskit.kernels.hashing import SECOND_LANE, hash_text
from corpuskit.kernels.intrinsics import (
    count_ones,
    load64,
    mask_high,
    mask_lead,
    mask_punctuation,
    mask_space,
    store32,
    store_compressed,
    trailing_zeros,
)
from corpuskit.kernels.unicode import CASED, DOT_ABOVE, DOTTED_I, FINAL_SIGMA, IGNORABLE, SIGMA, SPACE, WORD, tables

ONE, ZERO = np.uint64(1), np.uint64(0)
ALL = ~np.uint64(0)
BYTE = np.uint64(0xFF)

LONG_RUN = 16
"""ASCII bytes in a row that are worth the 64-byte path in any text."""

MIXED = 8
"""Of 64 bytes, how many are not ASCII where shorter runs of ASCII are not worth it either."""

STEP_SPACE, STEP_DROPPED, STEP_WORD, STEP_COPIED, STEP_UNLIKE, STEP_SPECIAL = (
    np.uint64(1 << bit) for bit in range(18, 24)
)
"""Bits of an entry of `steps()`."""


def _step(c: int, low: int, kind: int) -> int:
    """The step of one code point of one or two bytes, but for its special cases."""
    data = b" " if kind & SPACE else chr(low).encode()
    if c in (DOTTED_I, SIGMA) or len(data) > 2:
        return int(STEP_SPECIAL)
    step = int.from_bytes(data, "little") | len(data) << 16
    flags = ((STEP_SPACE, bool(kind & SPACE)), (STEP_DROPPED, chr(c) in string.punctuation))
    return step | sum(int(flag) for flag, holds in flags if holds)


@functools.cache
def steps() -> npt.NDArray[np.uint32]:
    r"""What becomes of a code point, by its first two bytes (the first times 256, plus the second): uint32[65536].

    Bits 0 to 15 are its lower case as UTF-8, first byte lowest, a blank for white space; 16 and 17 the bytes that come
    out; then the flags: white space; dropped as punctuation; belongs to a word (`\w`). The two bytes tell 64 code
    points of three bytes at once: they come out as they are (copied), and if only some belong to words they are
    unlike. Special ones are left to the rules of each code point: U+0130, U+03A3, those of four bytes, those whose
    lower case has another number of bytes, and 64 of which one has a lower case or is white space.
    """
    lower, classes = tables()
    made = np.full((256, 256), STEP_SPECIAL, np.uint32)
    for c in range(0x800):
        low = int(lower[c])
        step = _step(c, low, int(classes[c])) | (int(STEP_WORD) if classes[low] & WORD else 0)
        first, *rest = chr(c).encode()
        made[first, rest[0] if rest else slice(None)] = step
    for begin in range(0x800, 0x10000, 64):
        if 0xD800 <= begin < 0xE000:
            continue
        every = slice(begin, begin + 64)
        first, second, _ = chr(begin).encode()
        word = (classes[every] & WORD) != 0
        if (lower[every] == np.arange(begin, begin + 64)).all() and not (classes[every] & SPACE).any():
            made[first, second] = STEP_COPIED | np.uint64(3 << 16) | (STEP_WORD if word.all() else ZERO)
            made[first, second] |= STEP_UNLIKE if word.any() and not word.all() else ZERO
    return made.ravel()


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


@njit(nogil=True, cache=True, inline="always")
def step_of(raw: Any, steps: Any) -> Any:
    """The step (uint64) of the code point whose bytes begin the uint64 `raw`."""
    return np.uint64(steps[((raw & BYTE) << np.uint64(8)) | ((raw >> np.uint64(8)) & BYTE)])


@njit(nogil=True, cache=True, inline="always")
def code_of_three(raw: Any) -> Any:
    """The code point (uint64) whose three bytes begin the uint64 `raw`."""
    tail = ((raw >> np.uint64(2)) & np.uint64(0xFC0)) | ((raw >> np.uint64(16)) & np.uint64(63))
    return ((raw & np.uint64(15)) << np.uint64(12)) | tail


@njit(nogil=True, cache=True, inline="always")
def written(raw: Any, step: Any) -> Any:
    """The bytes of the lower case (uint64, with anything behind them) of a code point that is not special."""
    return raw if step & STEP_COPIED else step


@njit(nogil=True, cache=True, inline="always")
def written_bytes(step: Any) -> Any:
    """How many bytes of `written` count: uint64."""
    return (step >> np.uint64(16)) & np.uint64(3)


@njit(nogil=True, cache=True, inline="always")
def blocks(data: Any, at: Any, end: Any) -> Any:
    """How to go on at `data[at]`: (ASCII bytes to take at once, else 0; which of 64 bytes begin the code points)."""
    length = min(64, end - at)
    high = mask_high(data, at) & low_bits(length)
    if not high:
        return length, ZERO
    mixed = count_ones(high) >= MIXED
    run = trailing_zeros(high)
    if run >= LONG_RUN or (run and not mixed):
        return run, ZERO
    if not mixed:
        length = trailing_zeros(~high)
    return 0, mask_lead(data, at) & low_bits(length)


@njit(nogil=True, cache=True, inline="always")
def behind(data: Any, at: Any) -> Any:
    """Index behind the code point at `data[at]`."""
    c = data[at]
    return at + 1 + np.int64(c >= 0x80) + np.int64(c >= 0xE0) + np.int64(c >= 0xF0)


@njit(nogil=True, cache=True)
def normalize_unicode(
    data: Any, start: Any, end: Any, lower: Any, classes: Any, steps: Any, out: Any, positions: Any
) -> Any:
    """Normalize UTF-8 `data[start:end]` into `out` (room for twice its bytes + 64).

    Returns:
        (bytes, code points); `positions` (int32, room for the bytes + 2) gets the byte index of each code point and
        the end.
    """
    size = ZERO  # unsigned: an index that cannot be negative costs less
    chars = ZERO
    after_space = ONE  # strips
    at = start
    while at < end:
        length, leads = blocks(data, at, end)
        if length:
            added, after_space = normalize_block(data, at, length, after_space, out, np.int64(size))
            for i in range(np.uint64(added)):
                positions[chars + i] = size + i
            size += np.uint64(added)
            chars += np.uint64(added)
            at += length
            continue
        block = at
        while leads:
            at = block + trailing_zeros(leads)
            leads &= leads - ONE
            raw = load64(data, at)
            step = step_of(raw, steps)
            positions[chars] = size
            if step & STEP_SPECIAL:
                size, chars, after_space = _special(
                    data, start, end, at, lower, classes, out, positions, size, chars, after_space
                )
                continue
            store32(out, np.int64(size), written(raw, step))
            dropped = np.uint64((step & STEP_DROPPED) != 0)
            space = np.uint64((step & STEP_SPACE) != 0)
            keep = ONE & ~(dropped | (space & after_space))
            chars += keep
            size += written_bytes(step) & (ZERO - keep)
            after_space = space | (after_space & dropped)
        at = behind(data, at)
    if size > 0 and out[size - ONE] == 32:
        size -= ONE
        chars -= ONE
    positions[chars] = size
    return np.int64(size), np.int64(chars)


@njit(nogil=True, cache=True)
def _special(
    data: Any, start: Any, end: Any, at: Any, lower: Any, classes: Any, out: Any, positions: Any, size: Any,
    chars: Any, after_space: Any,
) -> Any:  # fmt: skip
    """Normalize the code point at `data[at]` by the rules: the new (size, chars, after_space)."""
    c, _ = decode(data, at)
    space = np.uint64((classes[c] & SPACE) != 0)
    if space & after_space:
        return size, chars, after_space
    low = np.int64(lower[c])
    if space:
        low = np.int64(32)
    elif c == SIGMA and is_final_sigma(data, start, end, at, classes):
        low = np.int64(FINAL_SIGMA)
    size = np.uint64(encode(low, out, np.int64(size)))
    if c == DOTTED_I:
        chars += ONE
        positions[chars] = size
        size = np.uint64(encode(DOT_ABOVE, out, np.int64(size)))
    return size, chars + ONE, space


@njit(nogil=True, cache=True)
def normalize_document(
    data: Any, start: Any, end: Any, lower: Any, classes: Any, steps: Any, out: Any, positions: Any
) -> Any:
    """Normalize any `data[start:end]`: (bytes, code points); `positions` is valid only where these differ."""
    if is_ascii(data, start, end):
        size = normalize_ascii(data, start, end, out)
        return size, size
    return normalize_unicode(data, start, end, lower, classes, steps, out, positions)


@njit(nogil=True, cache=True)
def _count(data: Any, offsets: Any, lower: Any, classes: Any, steps: Any, out: Any, positions: Any, chars: Any) -> None:
    for i in range(len(chars)):
        _, chars[i] = normalize_document(data, offsets[i], offsets[i + 1], lower, classes, steps, out, positions)


@njit(nogil=True, cache=True)
def _hash(
    data: Any, offsets: Any, lower: Any, classes: Any, steps: Any, out: Any, positions: Any, seeds: Any, hashes: Any
) -> None:
    for i in range(len(hashes)):
        size, _ = normalize_document(data, offsets[i], offsets[i + 1], lower, classes, steps, out, positions)
        hashes[i, 0], hashes[i, 1] = hash_text(out, 0, size, seeds[0], seeds[1])


@njit(nogil=True, cache=True)
def _normalize(
    data: Any, offsets: Any, lower: Any, classes: Any, steps: Any, out: Any, positions: Any, ends: Any
) -> None:
    size = 0
    for i in range(len(offsets) - 1):
        added, _ = normalize_document(data, offsets[i], offsets[i + 1], lower, classes, steps, out[size:], positions)
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
    _count(data, offsets, *tables(), steps(), *scratch(_longest(offsets)), chars)
    return chars


def normalized_hash(column: pa.Array, seed: int = 0) -> npt.NDArray[np.uint64]:
    """128-bit hash of the slimpajama-normalized text of each row: uint64[n, 2]."""
    data, offsets = utf8(column)
    hashes = np.zeros((len(offsets) - 1, 2), np.uint64)
    _hash(data, offsets, *tables(), steps(), *scratch(_longest(offsets)), hash_seeds(seed), hashes)
    return hashes


def normalized(column: pa.Array) -> pa.Array:
    """The slimpajama-normalized text of each row, as a large_string array."""
    data, offsets = utf8(column)
    ends = np.zeros(len(offsets), np.int64)
    out, _ = scratch(int(offsets[-1]))
    _, positions = scratch(_longest(offsets))
    _normalize(data, offsets, *tables(), steps(), out, positions, ends)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(out[: int(ends[-1])].copy())]
    return pa.Array.from_buffers(pa.large_string(), len(ends) - 1, buffers)
