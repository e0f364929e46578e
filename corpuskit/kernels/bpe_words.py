r"""Counts the words of texts, cut as GPT-2 cuts them: what byte-pair merges are found in.

The pattern is `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`, on UTF-8 in place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]

OTHER, LETTER, NUMBER, SPACE = 0, 1, 2, 3
"""Classes of code points: `[^\\s\\p{L}\\p{N}]`, `\\p{L}`, `\\p{N}`, `\\s`."""

MULTIPLIER = 0x9E3779B97F4A7C15


@njit(cache=True, nogil=True)
def _decoded(data: Array, at: Any) -> tuple[Any, Any]:
    """The code point of valid UTF-8 at `at`, and where the next one begins."""
    lead = np.int64(data[at])
    if lead < 0x80:
        return lead, at + 1
    if lead < 0xE0:
        return (lead & 0x1F) << 6 | (data[at + 1] & 0x3F), at + 2
    if lead < 0xF0:
        return (lead & 0x0F) << 12 | np.int64(data[at + 1] & 0x3F) << 6 | (data[at + 2] & 0x3F), at + 3
    high = (lead & 0x07) << 18 | np.int64(data[at + 1] & 0x3F) << 12
    return high | np.int64(data[at + 2] & 0x3F) << 6 | (data[at + 3] & 0x3F), at + 4


@njit(cache=True, nogil=True)
def word_end(data: Array, at: Any, end: Any, kinds: Array) -> Any:
    """Where the word that begins at `at` ends, in a text that ends at `end`."""
    if data[at] == 39 and at + 1 < end:  # '
        one = data[at + 1]
        if one in (115, 116, 109, 100):  # s t m d
            return at + 2
        if at + 2 < end:
            two = data[at + 2]
            if (one == 114 and two == 101) or (one == 118 and two == 101) or (one == 108 and two == 108):  # re ve ll
                return at + 3
    code, after = _decoded(data, at)
    kind = kinds[code]
    if code == 32 and after < end:
        code, next_after = _decoded(data, after)
        if kinds[code] != SPACE:
            kind, after = kinds[code], next_after
    previous = at
    while after < end:
        code, next_after = _decoded(data, after)
        if kinds[code] != kind:
            # white space before a word leaves its last character to it, unless that is all there is
            return previous if kind == SPACE and previous > at else after
        previous, after = after, next_after
    return after


@njit(cache=True, nogil=True)
def count(
    data: Array,
    ends: Array,
    kinds: Array,
    at: int,
    text: int,
    slots: Array,
    hashes: Array,
    starts: Array,
    sizes: Array,
    counts: Array,
    words: int,
    arena: Array,
    used: int,
) -> tuple[int, int, int, int]:
    """Count words until the texts end or there is no more room.

    Args:
        data: uint8[], texts one after the other. ends: int64[n], where each ends.
        at, text: where to go on: the byte, and the number of its text.
        slots: int64[2^k], numbers of words by hash, -1 where none is; twice as many as there is room for words.
        hashes, starts, sizes, counts: of the `words` words that there are. arena: uint8[], their bytes, `used` of it.

    Returns:
        (at, text, words, used).
    """
    while text < len(ends):
        end = ends[text]
        while at < end:
            stop = word_end(data, at, end, kinds)
            found = np.uint64(stop - at)
            for i in range(at, stop):
                found = (found ^ np.uint64(data[i])) * np.uint64(MULTIPLIER)
                found ^= found >> np.uint64(29)
            place = np.int64(found & np.uint64(len(slots) - 1))
            while slots[place] != -1:
                word = slots[place]
                if hashes[word] == found and sizes[word] == stop - at:
                    same = True
                    for i in range(stop - at):
                        if arena[starts[word] + i] != data[at + i]:
                            same = False
                            break
                    if same:
                        break
                place = (place + 1) & (len(slots) - 1)
            if slots[place] == -1:
                if words == len(hashes) or used + stop - at > len(arena):
                    return at, text, words, used
                slots[place] = words
                hashes[words], starts[words], sizes[words], counts[words] = found, used, stop - at, 0
                for i in range(at, stop):
                    arena[used] = data[i]
                    used += 1
                words += 1
            counts[slots[place]] += 1
            at = stop
        text += 1
    return at, text, words, used


@njit(cache=True, nogil=True)
def entered(slots: Array, hashes: Array, words: int) -> None:
    """Enter words into an empty table."""
    for word in range(words):
        place = np.int64(hashes[word] & np.uint64(len(slots) - 1))
        while slots[place] != -1:
            place = (place + 1) & (len(slots) - 1)
        slots[place] = word


COLUMNS = {"hashes": np.uint64, "starts": np.int64, "sizes": np.int64, "counts": np.int64}


class Words:
    """Distinct words and how often each occurs; memory grows with them: about 60 bytes a word, and its own.

    Args:
        kinds: uint8[0x110000], the class of every code point.

    Attributes:
        arena: uint8[], their bytes, `used` of it, one after the other.
        starts, sizes, counts: int64[], of the `words` words that there are; hashes: uint64[].
    """

    hashes: npt.NDArray[np.uint64]
    starts: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]

    def __init__(self, kinds: npt.NDArray[np.uint8]) -> None:
        self._kinds = kinds
        self.words = self.used = 0
        self.arena = np.empty(1 << 20, np.uint8)
        for name, kind in COLUMNS.items():
            setattr(self, name, np.empty(1 << 16, kind))
        self._slots = np.full(1 << 17, -1, np.int64)

    def add(self, text: bytes) -> None:
        """Count the words of a text in valid UTF-8."""
        data, ends = np.frombuffer(text, np.uint8), np.array([len(text)], np.int64)
        at = done = 0
        while True:
            columns = [getattr(self, name) for name in COLUMNS]
            known = (self._slots, *columns, self.words, self.arena, self.used)
            at, done, self.words, self.used = count(data, ends, self._kinds, at, done, *known)
            if done == len(ends):
                return
            if self.words == len(self.hashes):
                for name, column in zip(COLUMNS, columns, strict=True):
                    setattr(self, name, np.concatenate([column, np.empty_like(column)]))
                self._slots = np.full(2 * len(self._slots), -1, np.int64)
                entered(self._slots, self.hashes, self.words)
            else:
                more = max(len(self.arena), len(text))
                self.arena = np.concatenate([self.arena, np.empty(more, np.uint8)])
