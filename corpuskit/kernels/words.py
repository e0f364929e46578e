"""Words of documents, and numbers for what occurs again in one: what the kernels of heuristics share.

Words are what `str.split()` gives.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from corpuskit.kernels.hashing import K1, K2, K3
from corpuskit.kernels.intrinsics import (
    count_ones,
    fold_multiply,
    load64,
    mask_feed,
    mask_high,
    mask_lead,
    mask_space,
    mask_space_of_three,
    mask_space_of_two,
    trailing_zeros,
)
from corpuskit.kernels.normalize import decode, low_bits
from corpuskit.kernels.unicode import SPACE

ONE = np.uint64(1)

LOW_BYTES = np.array(
    [(1 << 8 * min(n, 8)) - 1 for n in range(17)] + [(1 << 8 * max(n - 8, 0)) - 1 for n in range(17)], np.uint64
)
"""What is left of the first eight bytes of a piece of n bytes, at n; of the next eight, at 17 + n (n from 0 to 16)."""

STEP = 62
"""Bytes that are looked at in a step: white space of three bytes that begins in them is seen whole."""


@njit(nogil=True, cache=True, inline="always")
def count_chars(data: Any, start: Any, end: Any) -> Any:
    """Code points of `data[start:end]`, which is not empty."""
    at = start
    chars = 0
    while end - at > 64:
        chars += count_ones(mask_lead(data, at))
        at += 64
    return chars + count_ones(mask_lead(data, at) & low_bits(end - at))


@njit(nogil=True, cache=True, inline="always")
def white_space(data: Any, at: Any, length: Any, carried: Any) -> Any:
    """(which bytes of a step are white space, which of the next are of what began in this one).

    Args:
        length: bytes of the step, `STEP` at most. carried: of the step before.
    """
    valid = low_bits(length)
    space = mask_space(data, at) | carried
    carried = np.uint64(0)
    if mask_high(data, at) & valid:
        three = mask_space_of_three(data, at) & valid
        first = three | (mask_space_of_two(data, at) & valid)
        space |= first | (first << ONE) | (three << np.uint64(2))
        carried = (first >> np.uint64(length - 1)) | ((three << ONE) >> np.uint64(length - 1))
    return space, carried


@njit(nogil=True, cache=True)
def find_words(data: Any, start: Any, end: Any, bounds: Any) -> Any:
    """Write where words of `data[start:end]` begin and end, in turn, to `bounds`: (words, characters, line feeds)."""
    found = chars = feeds = 0
    before = np.uint64(0)  # 1 where the byte before is in a word
    carried = np.uint64(0)  # bytes of this step in white space that began in the last
    for at in range(start, end, STEP):
        length = min(STEP, end - at)
        valid = low_bits(length)
        high = mask_high(data, at) & valid
        space, carried = white_space(data, at, length, carried)
        chars += count_ones(mask_lead(data, at) & valid) if high else length
        feeds += count_ones(mask_feed(data, at) & valid)
        inside = ~space & valid
        borders = (inside ^ ((inside << ONE) | before)) & valid
        before = (inside >> np.uint64(length - 1)) & ONE
        while borders:
            bounds[found] = at + trailing_zeros(borders)
            found += 1
            borders &= borders - ONE
    if found & 1:
        bounds[found] = end
        found += 1
    return found >> 1, chars, feeds


@njit(nogil=True, cache=True, inline="always")
def stripped(data: Any, start: Any, end: Any, classes: Any) -> Any:
    """(start, end) without white space at either end."""
    while start < end:
        word = ~mask_space(data, start)
        if not word:
            start += 64
            continue
        start += trailing_zeros(word)
        if start >= end or data[start] < 0x80:
            break
        c, after = decode(data, start)
        if not classes[c] & SPACE:
            break
        start = after
    start = min(start, end)
    while end > start:
        before = end - 1
        if 0x20 < data[before] < 0x80:
            break
        while data[before] & 0xC0 == 0x80:
            before -= 1
        c, _ = decode(data, before)
        if not classes[c] & SPACE:
            break
        end = before
    return start, end


@njit(nogil=True, cache=True, inline="always")
def table_bits(entries: Any) -> Any:
    """Bits of the size of a table with room for as many entries, at least a third of it free."""
    bits = 4
    while (1 << bits) < entries + (entries >> 1) + 2:
        bits += 1
    return max(bits, min(bits + 2, 14))


@njit(nogil=True, cache=True, inline="always")
def place_of(key: Any, at: Any, mask: Any, table: Any, keys: Any, known: Any) -> Any:
    """The number of a key among the `known` ones; a new one gets the number `known`, and is entered.

    Whether a key is new cannot be foreseen, so nothing branches on it: a key stands behind the known ones while it is
    looked for, and only a place that another key has is a branch.

    Args:
        at: where to look first in the table, a hash of the key. mask: the size of the table, less one.
    """
    at = np.int64(at)
    keys[known] = key
    entry = np.int64(table[at])
    number = entry - 1 if entry else known
    while keys[number] != key:
        at = (at + 1) & mask
        entry = np.int64(table[at])
        number = entry - 1 if entry else known
    table[at] = number + 1
    return number


@njit(nogil=True, cache=True, inline="always")
def hash_word(data: Any, start: Any, size: Any, masks: Any) -> Any:
    """uint64 hash of a word, `data[start : start + size]`: no branch up to 16 bytes, one multiplication.

    Args:
        masks: `LOW_BYTES`; an argument, because numba would not keep a global array in a register.
    """
    state = np.uint64(size) * K3 + K2
    at, left = start, size
    while left > 16:
        state = fold_multiply(load64(data, at) ^ K1, load64(data, at + 8) ^ state)
        at += 16
        left -= 16
    first, second = load64(data, at) & masks[left], load64(data, at + 8) & masks[left + 17]
    return fold_multiply(first ^ K1, second ^ state)
