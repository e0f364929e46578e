"""Tables of a kenlm binary (`probing`): words and n-grams of an ARPA file, entered where kenlm looks for them.

The layout is that of KenLM's `vocab.hh`, `search_hashed.hh` and `probing_hash_table.hh` (Heafield 2011, section 2.1):
linear probing from the key modulo the buckets, a key of 0 for what is free. All of it is seen as uint32: a key is two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from corpuskit.kernels.backoff import arpa_number, word_end
from corpuskit.kernels.intrinsics import load64

WORD, VALUE, MIDDLE, LONGEST = 3, 2, 4, 3
"""uint32 of an entry: a word's key and number; its log10 probability and backoff; key and both of an n-gram; key and
probability of the longest."""

UNKNOWN = b"<unk>"
"""The word of number 0, which is not in the table of words."""

_TAB = 9
_M, _R = np.uint64(0xC6A4A7935BD1E995), np.uint64(47)
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
_SIGN = np.uint32(0x80000000)


@njit(nogil=True, cache=True)
def murmur(data: Any, start: Any, size: Any) -> Any:
    """uint64: MurmurHash64A (Austin Appleby) of `data[start : start + size]` with seed 0; over-reads up to 8 bytes."""
    state = np.uint64(size) * _M
    at, left = start, size
    while left >= 8:
        part = load64(data, at) * _M
        part = (part ^ (part >> _R)) * _M
        state = (state ^ part) * _M
        at += 8
        left -= 8
    if left:
        state = (state ^ (load64(data, at) & ((np.uint64(1) << np.uint64(8 * left)) - np.uint64(1)))) * _M
    state = (state ^ (state >> _R)) * _M
    return state ^ (state >> _R)


@njit(nogil=True, cache=True, inline="always")
def _longer(key: Any, before: Any) -> Any:
    """The key of an n-gram, by that without its first word, and the number of this."""
    return (key * np.uint64(8978948897894561157)) ^ ((np.uint64(1) + before) * np.uint64(17894857484156487943))


@njit(nogil=True, cache=True)
def _place(file: Any, table: Any, key: Any) -> Any:
    """Where a key is, or the free place that it belongs to; table: (where it starts, buckets, uint32 of an entry)."""
    at: Any = np.int64(key % np.uint64(table[1]))
    while True:
        place = table[0] + table[2] * at
        found = np.uint64(file[place]) | (np.uint64(file[place + 1]) << _HALF)
        if found == key or not found:
            return place
        at += 1
        if at == table[1]:
            at = 0


@njit(nogil=True, cache=True, inline="always")
def _put(file: Any, place: Any, key: Any) -> None:
    file[place], file[place + 1] = np.uint32(key & _LOW), np.uint32(key >> _HALF)


@njit(nogil=True, cache=True)
def enter_binary(data: Any, end: Any, n: Any, count: Any, file: Any, tables: Any, unknown: Any, known: Any) -> Any:
    """Enter n-grams of an ARPA file of `corpuskit.lm`, orders from 1 on.

    Args:
        data: uint8, lines up to `end`, and 64 bytes more. n: words of an n-gram. count: lines at most.
        file: uint32, the binary, written.
        tables: int64[order + 1, 3], of words, then of each order: (where it starts, buckets, uint32 of an entry).
        unknown: hash of `<unk>`. known: int64[1], words so far with `<unk>`; written.

    Returns:
        (where it ends, lines), or (-1, lines) at a word that is no 1-gram.
    """
    floats, highest = file.view(np.float32), n == len(tables) - 1
    words = np.zeros(n, np.uint64)
    at = 0
    for done in range(count):
        if at == end:
            return at, done
        chance, at = arpa_number(data, at)
        for k in range(n):
            start = at + 1
            at = word_end(data, start)
            key = murmur(data, start, at - start)
            place = _place(file, tables[0], key)
            if n == 1 and key != unknown:
                _put(file, place, key)
                file[place + 2] = known[0]
                known[0] += 1
            elif key != unknown and file[place + 2] == 0:
                return -1, done
            words[k] = np.uint64(0 if key == unknown else file[place + 2])
        backoff = 0.0
        if data[at] == _TAB:
            backoff, at = arpa_number(data, at + 1)
        at += 1
        value = tables[1, 0] + 2 * np.int64(words[n - 1])  # of the last word
        if n > 1:
            key = words[n - 1]
            for k in range(n - 2, -1, -1):
                if k < n - 2:
                    value = _place(file, tables[n - 1], key) + 2
                key = _longer(key, words[k])
            file[value] &= ~_SIGN  # a longer n-gram ends in it
            value = _place(file, tables[n], key)
            _put(file, value, key)
            value += 2
        floats[value] = chance
        if n > 1:
            file[value] |= _SIGN
        if not highest:
            floats[value + 1] = backoff
            if backoff == 0:
                file[value + 1] = _SIGN  # no longer n-gram begins so, up to now
        if n > 1:
            context = tables[1, 0] + 2 * np.int64(words[n - 2])
            if n > 2:
                key = words[n - 2]
                for k in range(n - 3, -1, -1):
                    key = _longer(key, words[k])
                context = _place(file, tables[n - 1], key) + 2
            if file[context + 1] == _SIGN:
                file[context + 1] = 0
    return at, count
