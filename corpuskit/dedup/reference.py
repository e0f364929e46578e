"""Signatures as datasketch computes them, bit for bit, so that a comparison with it is an equality.

They are those of `datasketch.MinHash(num_perm=permutations, seed=1, scheme="legacy")` after `update` with every
shingle as bytes: by character the UTF-8 of n code points of the slimpajama-normalized text, by word n words of the
lower-cased text joined by a blank. With fewer than n units the one shingle is the whole normalized text.

The hash of a shingle is the first 32 bits of its SHA-1 (FIPS 180-4), little-endian; a permutation is
a * hash + b, which overflows 64 bits, modulo 2^61 - 1, of which the lowest 32 bits are kept. datasketch's own
`update_batch` gives the same seven times slower, and is what the tests compare with.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from corpuskit.core.batch import utf8
from corpuskit.kernels.normalize import normalized
from corpuskit.kernels.shingle import Unit

SEED = 1
"""datasketch's default."""

PRIME = (1 << 61) - 1

BLOCK = 4096
"""Shingles taken at a time, so that their hashes stay in the cache for all permutations."""

PIECE = 1 << 20
"""Characters in which `re` replaces at a time: it holds every word it has seen as an object of its own."""

NO_WORD = re.compile(r"\W+")

BLANK = np.uint8(32)
EMPTY = np.uint32(0xFFFFFFFF)


def signatures(column: pa.Array, unit: Unit, n: int, permutations: int) -> npt.NDArray[np.uint32]:
    """The signature of each row of a string column, as datasketch computes it: uint32[rows, permutations].

    A row whose normalized text is empty has the signature of the empty set, all ones. Beside the signatures this needs
    copies of the texts, by word as Python strings, and four bytes for each byte of the longest.

    Args:
        column: the texts; null is empty.
        unit, n: what a shingle is made of, and how many of them, at least 1.
        permutations: numbers in a signature.
    """
    texts, single = _prepared(column, unit, n)
    data, offsets = utf8(texts)
    starts = np.empty(int(np.diff(offsets).max(initial=0)) + 1, np.int32)
    signature = np.full((len(offsets) - 1, permutations), EMPTY, np.uint32)
    multiply, add = permutation_parameters(permutations)
    _sign(data, offsets, single, unit == "word", n, multiply, add, starts, signature)
    return signature


def permutation_parameters(count: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Multipliers (not 0) and summands of `count` permutations, below 2^61 - 1: two uint64[count].

    numpy keeps the stream of `RandomState` as it is for good, so that these numbers never change.
    """
    stream = np.random.RandomState(SEED)
    drawn = [[stream.randint(low, PRIME, dtype=np.uint64) for low in (1, 0)] for _ in range(count)]
    parameters = np.array(drawn, np.uint64).reshape(count, 2)
    return parameters[:, 0].copy(), parameters[:, 1].copy()


def _prepared(column: pa.Array, unit: Unit, n: int) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """What the shingles of each row are cut from, and whether it is itself the one shingle of the row.

    By word, a text is its words with a blank between them, so that n words joined by a blank are a slice of it.
    """
    clean = normalized(column)
    single = np.zeros(len(clean), np.bool_)
    if unit == "char":
        return clean, single
    texts = []
    for row, (text, whole) in enumerate(zip(column, clean, strict=True)):
        words = _words(text.as_py() or "")
        single[row] = not words or words.count(" ") + 1 < n
        texts.append(whole.as_py() if single[row] or not len(whole.as_buffer()) else words)
    return pa.array(texts, pa.large_string()), single


def _words(text: str) -> str:
    """The words of the lower-cased text with a blank between them."""
    low = text.lower()
    parts = [" "]
    for start in range(0, len(low), PIECE):
        part = NO_WORD.sub(" ", low[start : start + PIECE])
        part = part.removeprefix(" ") if parts[-1].endswith(" ") else part
        if part:
            parts.append(part)
    return "".join(parts).strip(" ")


@njit(nogil=True, cache=True)
def _sign(
    data: Any, offsets: Any, single: Any, by_word: Any, n: Any, multiply: Any, add: Any, starts: Any, signature: Any
) -> None:
    schedule = np.empty(80, np.uint32)
    block = np.empty(64, np.uint8)
    hashes = np.empty(BLOCK, np.uint64)
    gap = 1 if by_word else 0
    for row in range(len(single)):
        begin, end = offsets[row], offsets[row + 1]
        if begin == end:
            continue
        units = 0 if single[row] else _borders(data, begin, end, by_word, starts)
        if units < n:
            hashes[0] = _sha1(data, begin, end, block, schedule)
            _minima(hashes[:1], multiply, add, signature[row])
            continue
        for first in range(0, units - n + 1, BLOCK):
            count = min(BLOCK, units - n + 1 - first)
            for i in range(count):
                last = begin + starts[first + i + n] - gap if first + i + n < units else end
                hashes[i] = _sha1(data, begin + starts[first + i], last, block, schedule)
            _minima(hashes[:count], multiply, add, signature[row])


@njit(nogil=True, cache=True)
def _borders(data: Any, begin: Any, end: Any, by_word: Any, starts: Any) -> Any:
    """Where each code point, or word, of `data[begin:end]` starts, counted from `begin`; how many there are."""
    count = 0
    for at in range(begin, end):
        new = at == begin or data[at - 1] == BLANK if by_word else data[at] & np.uint8(0xC0) != np.uint8(0x80)
        if new:
            starts[count] = at - begin
            count += 1
    return count


@njit(nogil=True, cache=True)
def _minima(hashes: Any, multiply: Any, add: Any, signature: Any) -> None:
    prime = np.uint64(PRIME)
    for j in range(len(multiply)):
        a, b = multiply[j], add[j]
        least = signature[j]
        for i in range(len(hashes)):
            value = a * hashes[i] + b  # modulo 2^64, as numpy computes it
            value = (value & prime) + (value >> np.uint64(61))  # at most seven above the prime
            if value >= prime:
                value -= prime
            least = min(least, np.uint32(value))
        signature[j] = least


@njit(nogil=True, cache=True, inline="always")
def _rotated(word: Any, bits: Any) -> Any:
    return np.uint32((word << np.uint32(bits)) | (word >> np.uint32(32 - bits)))


@njit(nogil=True, cache=True, inline="always")
def _turn(a: Any, b: Any, c: Any, d: Any, e: Any, chosen: Any, constant: Any) -> Any:
    """One of the 80 turns of SHA-1; `constant` holds the turn's word of the schedule as well."""
    return np.uint32(_rotated(a, 5) + chosen + e + constant), a, _rotated(b, 30), c, d


@njit(nogil=True, cache=True)
def _sha1(data: Any, begin: Any, end: Any, block: Any, schedule: Any) -> Any:
    """The first four bytes of the SHA-1 of `data[begin:end]`, read little-endian: uint64 below 2^32."""
    size = end - begin
    h0, h1, h2 = np.uint32(0x67452301), np.uint32(0xEFCDAB89), np.uint32(0x98BADCFE)
    h3, h4 = np.uint32(0x10325476), np.uint32(0xC3D2E1F0)
    for start in range(0, size + 9, 64):
        _fill(data, begin, size, start, block)
        _schedule(block, schedule)
        a, b, c, d, e = h0, h1, h2, h3, h4
        for i in range(20):
            a, b, c, d, e = _turn(a, b, c, d, e, d ^ (b & (c ^ d)), np.uint32(0x5A827999) + schedule[i])
        for i in range(20, 40):
            a, b, c, d, e = _turn(a, b, c, d, e, b ^ c ^ d, np.uint32(0x6ED9EBA1) + schedule[i])
        for i in range(40, 60):
            a, b, c, d, e = _turn(a, b, c, d, e, (b & c) | (d & (b | c)), np.uint32(0x8F1BBCDC) + schedule[i])
        for i in range(60, 80):
            a, b, c, d, e = _turn(a, b, c, d, e, b ^ c ^ d, np.uint32(0xCA62C1D6) + schedule[i])
        h0, h1, h2 = np.uint32(h0 + a), np.uint32(h1 + b), np.uint32(h2 + c)
        h3, h4 = np.uint32(h3 + d), np.uint32(h4 + e)
    return np.uint64(
        (h0 >> np.uint32(24))
        | ((h0 >> np.uint32(8)) & np.uint32(0xFF00))
        | ((h0 & np.uint32(0xFF00)) << np.uint32(8))
        | ((h0 & np.uint32(0xFF)) << np.uint32(24))
    )


@njit(nogil=True, cache=True, inline="always")
def _fill(data: Any, begin: Any, size: Any, start: Any, block: Any) -> None:
    """The 64 bytes from `start` of the padded message: the data, a bit, zeros, and the length in bits at the end."""
    for i in range(64):
        at = start + i
        block[i] = data[begin + at] if at < size else 0x80 if at == size else 0
    if start + 64 >= size + 9:
        for i in range(8):
            block[63 - i] = (size * 8) >> (8 * i) & 0xFF


@njit(nogil=True, cache=True, inline="always")
def _schedule(block: Any, schedule: Any) -> None:
    for i in range(16):
        word = np.uint32(0)
        for j in range(4):
            word = np.uint32((word << np.uint32(8)) | np.uint32(block[4 * i + j]))
        schedule[i] = word
    for i in range(16, 80):
        schedule[i] = _rotated(schedule[i - 3] ^ schedule[i - 8] ^ schedule[i - 14] ^ schedule[i - 16], 1)
