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
def hash_bytes(data: Any, start: Any, size: Any, seed: Any) -> Any:
    """uint64 hash of `data[start : start + size]` (uint8; over-reads up to 8 bytes) under a uint64 seed."""
    state = seed ^ K2
    at = start
    end = start + size
    while end - at > 16:
        state = fold_multiply(load64(data, at) ^ K1, load64(data, at + 8) ^ state)
        at += 16
    if size < 8:
        a = load64(data, start) & ((np.uint64(1) << np.uint64(8 * size)) - np.uint64(1))
        b = np.uint64(0)
    elif size <= 16:
        a = load64(data, start)
        b = load64(data, end - 8)
    else:
        a = load64(data, end - 16)
        b = load64(data, end - 8)
    return fold_multiply(fold_multiply(a ^ K1, b ^ state) ^ K3, np.uint64(size) ^ K2)


@njit(nogil=True, cache=True, inline="always")
def mix(value: Any, salt: Any) -> Any:
    """uint64: a value and a salt, mixed."""
    return fold_multiply(fold_multiply(value ^ K1, salt ^ K2) ^ K3, K1)
