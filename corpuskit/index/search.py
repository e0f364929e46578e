"""Passages looked up in suffix arrays: where each stands, and the longest spans of a text that stand anywhere.

A lookup in one array is a binary search, each step of which reads one place of the array and one of the text. Both are
mapped: nothing is loaded, and what was read lately is in the system's memory.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpuskit.core.work import Receipt
from corpuskit.documents.lookup import mapped
from corpuskit.index.kinds import Spans

AROUND = 60
"""Bytes of a document that are shown on each side of a passage."""

CHUNK = 1 << 20
"""Occurrences that are looked at at a time."""

PROBE = 64
"""Characters of a text that are looked up at first: most of a text stands nowhere in a unit, and shows it in fewer."""

STEP = 16
"""Characters before the end of a span where it is asked first whether they stand."""


@dataclass(frozen=True, order=True)
class Place:
    """Where a passage stands: at this byte of the text of a document; and what stands on its two sides."""

    doc: int
    byte: int
    source: str
    domain: str
    before: str
    after: str


@dataclass
class Count:
    """Occurrences of a passage, and in how many documents they are."""

    occurrences: int = 0
    documents: int = 0

    def add(self, occurrences: int, documents: int) -> None:
        """Count more of both."""
        self.occurrences += occurrences
        self.documents += documents


@dataclass
class Found:
    """What is known of a passage: totals, counts by domain, and the first places by document and byte."""

    total: Count = field(default_factory=Count)
    domains: dict[str, Count] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)

    def add(self, domain: str, occurrences: int, documents: int, places: Iterable[Place], most: int) -> None:
        """Count what was found in one unit of a domain; keep the first `most` of its places and those known."""
        if occurrences:
            self.total.add(occurrences, documents)
            self.domains.setdefault(domain, Count()).add(occurrences, documents)
            self.places = sorted([*self.places, *places])[:most]


class Unit:
    """The suffix arrays of one unit of the corpus.

    Args:
        receipt: of the unit in a stage `spans`, which is told `spec`.
    """

    def __init__(self, receipt: Receipt, spec: Spans) -> None:
        parts = {name: part.local() for name, part in receipt.parts.items()}
        self.spec = spec
        self._starts, self._docs = mapped(parts["start"], "<i8"), mapped(parts["doc"], "<u8")
        self._text = _opened(parts["text"])
        places = memoryview(_opened(parts["suffixes"])).cast("i")
        borders = np.fromfile(parts["pieces"], "<i8").tolist()
        self._pieces = [(begin, places[begin:end]) for begin, end in pairwise(borders)]

    def spans(self, text: str, least: int) -> list[tuple[int, int]]:
        """The longest spans of a text, of at least `least` characters, that stand in the unit, see `longest_spans`."""
        return longest_spans(len(text), least, lambda first: first + self._longest(text, first))

    def _longest(self, text: str, first: int) -> int:
        """Characters of the longest beginning of `text[first:]` that stands in a document of the unit."""
        size = PROBE
        while True:
            passage = text[first : first + size].encode()
            longest = max((self._common(passage, *piece) for piece in self._pieces), default=0)
            if longest < len(passage) or first + size >= len(text):
                return len(passage[:longest].decode(errors="ignore"))
            size *= 8

    def _common(self, passage: bytes, base: int, places: memoryview[int]) -> int:
        """Bytes of the longest beginning of a passage in one piece: one of the two suffixes around its place has it."""
        key = self._prefix(base, len(passage))
        at = bisect_left(places, passage, key=key)
        return max((common(passage, key(place)) for place in places[max(0, at - 1) : at + 1]), default=0)

    def _prefix(self, base: int, size: int) -> Callable[[int], bytes]:
        """What gives the first bytes of a suffix of the piece that begins at `base`."""
        text: Any = self._text
        return lambda at: text[base + at : base + at + size]

    def add_to(self, found: Found, passage: bytes, most: int) -> None:
        """Count a passage, and keep the first `most` places."""
        seen, occurrences = np.zeros(len(self._docs), np.bool_), 0
        first: list[tuple[int, int, int]] = []
        for at in self._occurrences(passage):
            number = np.searchsorted(self._starts, at, side="right") - 1
            seen[number] = True
            occurrences += len(at)
            order = np.lexsort((at, self._docs[number]))[:most]
            mine = zip(self._docs[number[order]].tolist(), at[order].tolist(), number[order].tolist(), strict=True)
            first = sorted([*first, *mine])[:most]
        places = [self._place(doc, at, number, len(passage)) for doc, at, number in first]
        found.add(self.spec.domain, occurrences, int(seen.sum()), places, most)

    def _occurrences(self, passage: bytes) -> Iterator[npt.NDArray[np.int64]]:
        """Where a passage begins in the text of the unit, in chunks of no order."""
        for base, places in self._pieces:
            key = self._prefix(base, len(passage))
            first = bisect_left(places, passage, key=key)
            end = bisect_right(places, passage, lo=first, key=key)
            for low in range(first, end, CHUNK):
                yield np.array(places[low : min(end, low + CHUNK)], np.int64) + base

    def _place(self, doc: int, at: int, number: int, size: int) -> Place:
        start, end = int(self._starts[number]), int(self._starts[number + 1]) - 1
        return placed(self._text[start:end], at - start, size, doc, self.spec)


def placed(text: bytes, at: int, size: int, doc: int, spec: Spans) -> Place:
    """The place of a passage of `size` bytes in the text of a document."""
    before, after = text[max(0, at - AROUND) : at], text[at + size : at + size + AROUND]
    return Place(doc, at, spec.source, spec.domain, before.decode(errors="ignore"), after.decode(errors="ignore"))


def _opened(path: Path) -> Any:
    """A file mapped, of which slices are bytes (an empty file cannot be mapped)."""
    if not path.stat().st_size:
        return b""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def maximal(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans (first, end) that no other one holds, in order."""
    found: list[tuple[int, int]] = []
    for span in sorted(set(spans), key=lambda one: (one[0], -one[1])):
        if not found or span[1] > found[-1][1]:
            found.append(span)
    return found


def common(one: bytes, other: bytes) -> int:
    """Bytes that two have in common at their begins."""
    size = min(len(one), len(other))
    differs = int.from_bytes(one[:size]) ^ int.from_bytes(other[:size])
    return size - (differs.bit_length() + 7) // 8


def longest_spans(size: int, least: int, reach: Callable[[int], int]) -> list[tuple[int, int]]:
    """The spans of a text that stand somewhere and cannot be longer on either side: [(first, end)], in order.

    Whatever holds a span that stands nowhere stands nowhere itself. So where no span of `least` characters stands, one
    that is shorter and stands nowhere says how far to go on. A text costs far fewer lookups than it has characters.

    Args:
        size: characters of the text. least: characters of the shortest spans to find, 1 or more.
        reach: for a character, the end of the longest span that begins there and stands somewhere; then every part of
            it does.
    """
    found = []
    first, end = 0, least
    while end <= size:
        begin = _begin(first, end, least, reach)
        if begin + least > end:
            first, end = begin, begin + least
            continue
        last = reach(begin)
        found.append((begin, last))
        first, end = begin + 1, last + 1
    return found


def _begin(low: int, end: int, least: int, reach: Callable[[int], int]) -> int:
    """The least begin, from `low` on, of a span of `least` characters or more up to `end` that stands.

    If there is none, a begin before which none can be, whatever its end: less than `least` before `end`. Asked near
    `end` first: what stands nowhere mostly shows it in few characters.
    """
    high, step = end, STEP
    while high - step > low:
        if reach(high - step) < end:
            low = high - step + 1
            break
        high, step = high - step, 2 * step
    while low < high and low + least <= end:
        middle = (low + high) // 2
        if reach(middle) >= end:
            high = middle
        else:
            low = middle + 1
    return low
