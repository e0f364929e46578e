"""The signatures of all sources as one table: a document's rank -> anything that later stages need of it.

Documents are *numbered* in the order of sources, units and rows, which is where they are stored, and *ranked* by
priority (stage `rank`). Both are locators inside one run of dedup, never written to published files.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numba import njit

from corpuskit.core.work import Work
from corpuskit.dedup.files import ArrayFile
from corpuskit.dedup.kinds import Compared
from corpuskit.dedup.signatures import LEADING_BITS
from corpuskit.errors import CorpuskitError
from corpuskit.kernels.radix import radix_sort_with

I64 = npt.NDArray[np.int64]

OPEN_FILES = 256
"""Files held open at a time."""

ENTRY_BYTES = 48
"""Working memory for one entry of a partition."""


CACHED = 1 << 18
"""Entries of a partition that are worked on at a time, where keys allow."""


class Signed:
    """All units of `signatures`, and the numbers of their documents.

    Args:
        work: a unit whose spec has `sources` and which needs `signatures:SOURCE` of each; and `buckets:SOURCE`, if it
            looks at those.

    Attributes:
        sources: in the order of the spec.
        documents, units: how many there are.
        starts: int64[units + 1]: number of the first document of each unit, and the end.
        unit_source: int64[units]: index of each unit's source.

    Raises:
        CorpuskitError: more than 2^32 - 1 documents.
    """

    def __init__(self, work: Work[Compared]) -> None:
        self.sources = work.spec.sources
        self._signed = [work.receipts(f"signatures:{one.source}") for one in self.sources]
        banded = (f"buckets:{one.source}" for one in self.sources)
        self._banded = [work.receipts(label) for label in banded if label in work.needs]
        counts = [len(receipts) for receipts in self._signed]
        self.units = sum(counts)
        self.unit_source: I64 = np.repeat(np.arange(len(counts)), counts)
        self._first: I64 = np.cumsum([0, *counts])  # unit of each source
        rows = [receipt.parts["doc"].rows for receipts in self._signed for receipt in receipts]
        self.starts: I64 = np.concatenate([[0], np.cumsum(rows, dtype=np.int64)]).astype(np.int64)
        self.documents = int(self.starts[-1])
        if self.documents >= 2**32:
            msg = f"minhash: {self.documents} documents are more than the 2^32 - 1 that this version can number"
            raise CorpuskitError(msg, "split the corpus into several recipes; `against` compares one with another")
        self._open: OrderedDict[tuple[int, str], ArrayFile] = OrderedDict()

    def place(self, unit: int) -> tuple[int, int]:
        """Index of a unit's source, and its number among the units of that."""
        source = int(self.unit_source[unit])
        return source, unit - int(self._first[source])

    def file(self, unit: int, name: str) -> ArrayFile:
        """The array `name` of a unit's signatures, or buckets (`band_*`)."""
        key = (unit, name)
        if key in self._open:
            self._open.move_to_end(key)
        else:
            source, number = self.place(unit)
            of = self._banded if name.startswith("band_") else self._signed
            self._open[key] = ArrayFile.of(of[source][number].parts[name])
            if len(self._open) > OPEN_FILES:
                self._open.popitem(last=False)
        return self._open[key]


class Index(Signed):
    """All signatures of a run, by rank.

    Args:
        work: as for `Signed`; it needs `rank` as well.

    Attributes:
        finished: ranks below this are documents of a finished corpus, which are never removed.
    """

    def __init__(self, work: Work[Compared]) -> None:
        super().__init__(work)
        parts = work.receipts("rank")[0].parts
        self._doc = parts["doc"]
        self._rank, self._number = ArrayFile.of(parts["rank"]), ArrayFile.of(parts["number"])
        self._held: npt.NDArray[np.uint32] | None = None
        self._memory = work.memory
        counts = np.diff(self.starts)
        roots = np.array([source.root is not None for source in self.sources], np.bool_)
        self.finished = int(counts[roots[self.unit_source]].sum()) if self.units else 0

    def ranks(self, numbers: I64) -> I64:
        """The ranks of documents."""
        if self._held is None and self.documents * 4 <= self._memory // 8:
            self._held = self._rank.read()
        found = self._held[numbers] if self._held is not None else self._rank.gather(numbers)
        return found.astype(np.int64)

    def numbers(self, ranks: I64) -> I64:
        """The numbers of documents."""
        return self._number.gather(ranks).astype(np.int64)

    def docs(self, numbers: I64) -> npt.NDArray[np.uint64]:
        """The ids of documents."""
        return ArrayFile.of(self._doc).gather(numbers)

    def by_unit(self, numbers: I64) -> Iterator[tuple[int, I64, I64]]:
        """Group document numbers by unit: (unit, indices into `numbers`, rows within the unit)."""
        units = np.searchsorted(self.starts, numbers, side="right") - 1
        order = np.argsort(units, kind="stable")
        borders = np.flatnonzero(np.diff(units[order], prepend=-1, append=-1))
        for first, last in itertools.pairwise(borders):
            chosen = order[first:last]
            unit = int(units[chosen[0]])
            yield unit, chosen, numbers[chosen] - self.starts[unit]

    def gather(self, name: str, numbers: I64) -> npt.NDArray[Any]:
        """Rows of the array `name` of the documents of these numbers, in their order."""
        result: npt.NDArray[Any] | None = None
        for unit, places, rows in self.by_unit(numbers):
            values = self.file(unit, name).gather(rows)
            if result is None:
                result = np.empty((len(numbers), *values.shape[1:]), values.dtype)
            result[places] = values
        return np.zeros(0, np.uint64) if result is None else result

    def signatures(self, ranks: I64) -> npt.NDArray[np.uint32]:
        """uint32[n, permutations]: the signatures of documents."""
        return self.gather("signature", self.numbers(ranks))

    def source_of(self, numbers: I64) -> I64:
        """Index of the source of each document."""
        return self.unit_source[np.searchsorted(self.starts, numbers, side="right") - 1]

    def domain_of(self, numbers: I64) -> I64:
        """A number for the domain of each document."""
        domains = sorted({source.domain for source in self.sources})
        own = np.array([domains.index(source.domain) for source in self.sources], np.int64)
        return own[self.source_of(numbers)]

    def partition(
        self, name: Literal["exact", "band"], unit: int, units: int, memory: int
    ) -> Iterator[tuple[npt.NDArray[Any], I64]]:
        """The entries of a partition by leading bits of their key: (keys, document numbers), in ranges of keys.

        Entries of one key are in one range. Ranges are so many that each takes about `memory` bytes to work on.
        """
        leading = 1 << LEADING_BITS
        first, end = -(-unit * leading // units), -(-(unit + 1) * leading // units)
        total = np.zeros(leading + 1, np.int64)
        for i in range(self.units if first < end else 0):
            total += self.file(i, f"{name}_start").read()
        room = max(1 << 12, memory // ENTRY_BYTES)
        while first < end:
            stop = max(first + 1, min(end, int(np.searchsorted(total, total[first] + room, side="right")) - 1))
            parts = 1 << max(0, (int(total[stop] - total[first]) - 1) // room).bit_length()
            for part in range(parts):
                yield from self._stretch(name, first, stop, part, parts)
            first = stop

    def _stretch(
        self, name: str, first: int, end: int, part: int, parts: int
    ) -> Iterator[tuple[npt.NDArray[Any], I64]]:
        """Entries of leading bits first to end; of these, those of one of `parts` by the bits that follow."""
        keys, numbers = [], []
        starts = np.zeros((self.units, end - first + 1), np.int64)
        for i in range(self.units):
            start = self.file(i, f"{name}_start").read(first, end + 1)
            found = self.file(i, f"{name}_key").read(int(start[0]), int(start[-1]))
            number = self.file(i, f"{name}_row").read(int(start[0]), int(start[-1])) + self.starts[i]
            starts[i] = start - start[0]
            if parts > 1:  # a stretch of one value of the leading bits
                lead = found if found.ndim == 1 else found[:, 0]
                mine = (lead << np.uint64(LEADING_BITS)) >> np.uint64(64 - (parts - 1).bit_length()) == part
                found, number = found[mine], number[mine]
                starts[i, 1] = len(found)
            keys.append(found)
            numbers.append(number)
        total = starts.sum(axis=0)
        at = 0
        while at < end - first:
            # a few leading bits at a time: what follows runs in the cache
            stop = max(at + 1, int(np.searchsorted(total, total[at] + CACHED, side="right")) - 1)
            cut = [slice(start[at], start[stop]) for start in starts]
            if total[stop] > total[at]:
                yield (
                    np.concatenate([found[rows] for found, rows in zip(keys, cut, strict=True)]),
                    np.concatenate([number[rows] for number, rows in zip(numbers, cut, strict=True)]),
                )
            at = stop

    def buckets(self, keys: npt.NDArray[Any], numbers: I64, gone: npt.NDArray[np.uint8] | None) -> tuple[I64, I64]:
        """Groups of at least two documents of equal keys.

        Args:
            keys: uint64[m] or uint64[m, 2].
            numbers: int64[m], of documents.
            gone: one bit for each rank: leave these out.

        Returns:
            (members, offsets): group i is the ranks members[offsets[i] : offsets[i + 1]], rising; groups by key.
        """
        several = repeated(keys if keys.ndim == 1 else keys[:, 0])
        keys, ranks = keys[several], self.ranks(numbers[several])  # all others are alone, and most are
        if gone is not None:
            left = ~get_bits(gone, ranks)
            keys, ranks = keys[left], ranks[left]
        new = np.ones(len(ranks), np.bool_)
        if keys.ndim == 1:
            keys, ranks = radix_sort_with(keys, ranks)
            new[1:] = keys[1:] != keys[:-1]
        else:
            order = np.lexsort((keys[:, 1], keys[:, 0]))
            keys, ranks = keys[order], ranks[order]
            new[1:] = (keys[1:] != keys[:-1]).any(axis=1)
        result: tuple[I64, I64] = _groups(ranks, np.append(np.flatnonzero(new), len(ranks)))
        return result


@njit(nogil=True, cache=True)
def _groups(ranks, borders):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Sort each group; leave out groups of one."""
    size = 0
    offsets = np.zeros(len(borders), np.int64)
    groups = 0
    for i in range(len(borders) - 1):
        first, last = borders[i], borders[i + 1]
        if last - first < 2:
            continue
        group = ranks[first:last]
        if last - first > 32:
            group.sort()
        else:
            for j in range(1, len(group)):
                value = group[j]
                k = j
                while k > 0 and group[k - 1] > value:
                    group[k] = group[k - 1]
                    k -= 1
                group[k] = value
        ranks[size : size + len(group)] = group
        size += len(group)
        groups += 1
        offsets[groups] = size
    return ranks[:size], offsets[: groups + 1]


@njit(nogil=True, cache=True)
def repeated(keys):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """bool[m]: False for keys, uint64[m], that are certainly alone; True for all that occur twice, and for few others.

    A bit for each of about 16 slots a key says that a key was seen there, another that a second one was.
    """
    bits = 6
    while (1 << bits) < 16 * len(keys):
        bits += 1
    shift = np.uint64(64 - bits)
    once = np.zeros(1 << (bits - 6), np.uint64)
    twice = np.zeros(1 << (bits - 6), np.uint64)
    for i in range(len(keys)):
        slot = (keys[i] * np.uint64(0x9E3779B97F4A7C15)) >> shift  # leading bits of a partition are all alike
        word, bit = slot >> np.uint64(6), np.uint64(1) << (slot & np.uint64(63))
        twice[word] |= once[word] & bit
        once[word] |= bit
    result = np.empty(len(keys), np.bool_)
    for i in range(len(keys)):
        slot = (keys[i] * np.uint64(0x9E3779B97F4A7C15)) >> shift
        result[i] = (twice[slot >> np.uint64(6)] >> (slot & np.uint64(63))) & np.uint64(1) != 0
    return result


def set_bits(bits: npt.NDArray[np.uint8], numbers: I64) -> None:
    """Set the bits of these numbers."""
    _set_bits(bits, numbers)


@njit(nogil=True, cache=True)
def _set_bits(bits, numbers):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    for i in range(len(numbers)):
        bits[numbers[i] >> 3] |= np.uint8(1 << (numbers[i] & 7))


def get_bits(bits: npt.NDArray[np.uint8], numbers: I64) -> npt.NDArray[np.bool_]:
    """Whether the bits of these numbers are set."""
    result: npt.NDArray[np.bool_] = (bits[numbers >> 3] >> (numbers & 7).astype(np.uint8)) & np.uint8(1) == 1
    return result
