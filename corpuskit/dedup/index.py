"""The signatures of all sources as one table: document number -> anything that later stages need of it.

Documents are numbered in the order of sources, units and rows. The number is a locator inside one run of dedup, never
written to published files. Arrays stay on disk; only the units' first numbers are in memory.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from corpuskit.dedup.sort import U64, hash_range, open_array, search
from corpuskit.errors import CorpuskitError
from corpuskit.unit import Receipt, Work

I64 = npt.NDArray[np.int64]

OPEN_ARRAYS = 256
"""Memory maps held open at a time (each holds a file descriptor)."""

ENTRY_BYTES = 96
"""Working memory for one entry of a partition: the entry, its sort keys and their copies."""


@dataclass(frozen=True)
class Source:
    """A source as stages see it: its name, its domain, and the domain's place in the user's `keep` list."""

    source: str
    domain: str
    priority: int


class Index:
    """All signatures of a run.

    Args:
        work: a unit whose spec has `sources` and which needs `signatures:SOURCE` of each.

    Attributes:
        sources: in the order of the spec.
        documents: how many there are.
        starts: number of the first document of each unit, and the end.
        unit_source: index of each unit's source.

    Raises:
        CorpuskitError: more than 2^32 documents.
    """

    def __init__(self, work: Work) -> None:
        self.sources = [Source(**source) for source in work.spec["sources"]]
        self._receipts: list[Receipt] = []
        owners: list[int] = []
        for i, source in enumerate(self.sources):
            receipts = work.receipts(f"signatures:{source.source}")
            self._receipts += receipts
            owners += [i] * len(receipts)
        self.unit_source: I64 = np.array(owners, np.int64)
        rows = [receipt.parts["doc"].rows for receipt in self._receipts]
        self.starts: I64 = np.concatenate([[0], np.cumsum(rows, dtype=np.int64)]).astype(np.int64)
        self.documents = int(self.starts[-1])
        if self.documents > 2**32:
            msg = f"minhash: {self.documents} documents are more than the 2^32 that this version can number"
            raise CorpuskitError(msg, "split the corpus into several recipes")
        priorities = np.array([source.priority for source in self.sources], np.uint64)
        self._unit_priority = priorities[self.unit_source] if len(owners) else np.zeros(0, np.uint64)
        self._open: OrderedDict[tuple[int, str], npt.NDArray[Any]] = OrderedDict()

    def array(self, unit: int, name: str) -> npt.NDArray[Any]:
        """The array `name` of a unit's signatures, memory-mapped."""
        key = (unit, name)
        if key in self._open:
            self._open.move_to_end(key)
        else:
            self._open[key] = open_array(self._receipts[unit].parts[name].path)
            if len(self._open) > OPEN_ARRAYS:
                self._open.popitem(last=False)
        return self._open[key]

    def by_unit(self, documents: I64) -> Iterator[tuple[int, I64, I64]]:
        """Group document numbers by unit: (unit, indices into `documents`, rows within the unit)."""
        units = np.searchsorted(self.starts, documents, side="right") - 1
        order = np.argsort(units, kind="stable")
        borders = np.flatnonzero(np.diff(units[order], prepend=-1, append=-1))
        for first, last in itertools.pairwise(borders):
            chosen = order[first:last]
            unit = int(units[chosen[0]])
            yield unit, chosen, documents[chosen] - self.starts[unit]

    def gather(self, name: str, documents: I64) -> npt.NDArray[Any]:
        """Rows of the array `name` of the given documents, in their order."""
        result: npt.NDArray[Any] | None = None
        for unit, places, rows in self.by_unit(documents):
            values = self.array(unit, name)
            if result is None:
                result = np.empty((len(documents), *values.shape[1:]), values.dtype)
            result[places] = values[rows]
        return np.zeros(0, np.uint64) if result is None else result

    def source_of(self, documents: I64) -> I64:
        """Index of the source of each document."""
        return self.unit_source[np.searchsorted(self.starts, documents, side="right") - 1]

    def order_keys(self, documents: I64) -> tuple[U64, U64]:
        """Two keys that put documents in priority order: the `keep` list and then longer first; then document id."""
        if not len(documents):
            return np.zeros(0, np.uint64), np.zeros(0, np.uint64)
        units = np.searchsorted(self.starts, documents, side="right") - 1
        shorter = np.uint64(0xFFFFFFFF) - self.gather("bytes", documents).astype(np.uint64)
        return (self._unit_priority[units] << np.uint64(32)) | shorter, self.gather("doc", documents)

    def partition(
        self, name: Literal["exact", "band"], unit: int, units: int, memory: int
    ) -> Iterator[tuple[npt.NDArray[Any], I64]]:
        """The entries of a partition by leading bits of their key: (keys, document numbers), in ranges of rising keys.

        Entries of one key are in one range. Ranges are so many that each takes about `memory` bytes to work on.
        """
        first, end = hash_range(unit, units)
        total = 0
        for i in range(len(self._receipts)):
            keys = self.array(i, f"{name}_key")[0]
            total += search(keys, end) - search(keys, first)
        ranges = max(1, total * ENTRY_BYTES // memory)
        for j in range(ranges):
            low, high = first + (end - first) * j // ranges, first + (end - first) * (j + 1) // ranges
            found_keys, found = [], []
            for i in range(len(self._receipts)):
                keys = self.array(i, f"{name}_key")
                a, b = search(keys[0], low), search(keys[0], high)
                if b > a:
                    found_keys.append(np.asarray(keys[:, a:b]))
                    found.append(self.array(i, f"{name}_row")[a:b].astype(np.int64) + self.starts[i])
            if found:
                yield np.concatenate(found_keys, axis=1), np.concatenate(found)


def buckets(keys: npt.NDArray[Any], documents: I64, index: Index) -> tuple[I64, I64]:
    """Groups of at least two documents of equal keys.

    Args:
        keys: uint64[k, m]: m keys of k columns.
        documents: int64[m].
        index: to look up priorities.

    Returns:
        (members, offsets): group i is members[offsets[i] : offsets[i + 1]], in priority order; groups by rising keys.
    """
    order = np.argsort(keys[0], kind="stable")
    same = keys[0][order][1:] == keys[0][order][:-1]
    several = np.zeros(len(order), np.bool_)
    several[1:] |= same
    several[:-1] |= same
    order = order[several]  # all others are alone, and most are
    keys, documents = keys[:, order], documents[order]
    first, second = index.order_keys(documents)
    order = np.lexsort((second, first, *keys[::-1]))
    keys, documents = keys[:, order], documents[order]
    new = np.ones(len(documents), np.bool_)
    new[1:] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
    borders = np.append(np.flatnonzero(new), len(documents))
    sizes = np.diff(borders)
    documents = documents[np.repeat(sizes > 1, sizes)]
    return documents, np.concatenate([[0], np.cumsum(sizes[sizes > 1])]).astype(np.int64)
