"""64-bit hashes of bytes inside kernels: fast, well mixed, the same on every machine; not for adversaries.

The construction is that of wyhash (Wang Yi): 16 bytes a step are folded by one 64x64 -> 128-bit multiplication.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from corpuskit.kernels.intrinsics import fold_multiply, load64

K1 = np.uint64(0x9E3779B97F4A7C15)
K2 = np.uint64(0xE7037ED1A0B428DB)
K3 = np.uint64(0x8EBC6AF09C88C6E3)

SECOND_LANE = 0x589965CC75374CC3
"""Added to the seed for the second half of a 128-bit hash."""


@njit(nogil=True, cache=True, inline="always")
def _last(data: Any, start: Any, size: Any) -> Any:
    """The last 16 of `size` bytes as two uint64: they overlap below 16 bytes, and below 8 the second is 0."""
    if size < 8:
        return load64(data, start) & ((np.uint64(1) << np.uint64(8 * size)) - np.uint64(1)), np.uint64(0)
    return load64(data, start if size <= 16 else start + size - 16), load64(data, start + size - 8)


@njit(nogil=True, cache=True, inline="always")
def hash_piece(data: Any, start: Any, size: Any) -> Any:
    """uint64 hash of `data[start : start + size]` (uint8; over-reads up to 8 bytes): of a word or a shingle.

    Up to 16 bytes cost one multiplication.
    """
    state = np.uint64(size) * K3 + K2
    at = start
    while start + size - at > 16:
        state = fold_multiply(load64(data, at) ^ K1, load64(data, at + 8) ^ state)
        at += 16
    a, b = _last(data, start, size)
    return fold_multiply(a ^ K1, b ^ state)


@njit(nogil=True, cache=True, inline="always")
def hash_shingle(data: Any, start: Any, size: Any) -> Any:
    """`hash_piece`, of at least 8 bytes, without a branch up to 32 bytes: sizes around 16 could not be foreseen."""
    state = np.uint64(size) * K3 + K2
    end = start + size
    at = start
    while end - at > 32:
        state = fold_multiply(load64(data, at) ^ K1, load64(data, at + 8) ^ state)
        at += 16
    long = ~np.uint64(0) if end - at > 16 else np.uint64(0)
    state ^= (state ^ fold_multiply(load64(data, at) ^ K1, load64(data, at + 8) ^ state)) & long
    return fold_multiply(load64(data, max(start, end - 16)) ^ K1, load64(data, end - 8) ^ state)


@njit(nogil=True, cache=True, inline="always")
def hash_text(data: Any, start: Any, size: Any, first: Any, second: Any) -> Any:
    """`hash_bytes` under two seeds (uint64): one walk, in which the two multiplications overlap."""
    one = first ^ K2
    two = second ^ K2
    at = start
    while start + size - at > 16:
        a = load64(data, at) ^ K1
        b = load64(data, at + 8)
        one = fold_multiply(a, b ^ one)
        two = fold_multiply(a, b ^ two)
        at += 16
    a, b = _last(data, start, size)
    one = fold_multiply(a ^ K1, b ^ one)
    two = fold_multiply(a ^ K1, b ^ two)
    end = np.uint64(size) ^ K2
    return fold_multiply(one ^ K3, end), fold_multiply(two ^ K3, end)


@njit(nogil=True, cache=True, inline="always")
def hash_bytes(data: Any, start: Any, size: Any, seed: Any) -> Any:
    """uint64 hash of `data[start : start + size]` (uint8; over-reads up to 8 bytes) under a uint64 seed."""
    state = seed ^ K2
    at = start
    while start + size - at > 16:
        state = fold_multiply(load64(data, at) ^ K1, load64(data, at + 8) ^ state)
        at += 16
    a, b = _last(data, start, size)
    return fold_multiply(fold_multiply(a ^ K1, b ^ state) ^ K3, np.uint64(size) ^ K2)


@njit(nogil=True, cache=True, inline="always")
def mix(value: Any, salt: Any) -> Any:
    """uint64: a value and a salt, mixed."""
    return fold_multiply(fold_multiply(value ^ K1, salt ^ K2) ^ K3, K1)
