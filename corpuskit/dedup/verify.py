"""Stage `verify`: distinct candidate pairs, ruled out by signatures or decided by the exact Jaccard similarity.

The sketch filter rules a pair out only if its signatures agree in so few places that a pair at the threshold would do
so with probability below 1e-6 (exact binomial). All others are compared by the sets of 64-bit hashes of their shingles.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from corpuskit.arrow import PartReader
from corpuskit.dedup.bands import matches
from corpuskit.dedup.index import I64, Index
from corpuskit.dedup.params import Minhash
from corpuskit.dedup.sort import U64, ArrayWriter, Sorter, lower, open_array, pack, search, upper
from corpuskit.kernels.shingle import shingle_sets
from corpuskit.unit import Work

F64 = npt.NDArray[np.float64]
Sets = tuple[npt.NDArray[np.uint64], I64]

SHINGLE_BYTES = 8
"""Bytes of shingle hashes for a byte of text, at most."""


def verify(work: Work) -> None:
    """Decide the candidate pairs whose document of lower priority is in this unit's range of numbers.

    Parts: pair uint64, sorted, and jaccard float64: every pair that was compared exactly, whatever its similarity.
    Facts: candidates, ruled_out, compared, similar.
    """
    verifier = Verifier(work)
    documents = verifier.index.documents
    first = -(-work.unit * documents // work.units)
    end = -(-(work.unit + 1) * documents // work.units)
    sorter = Sorter(work.scratch / "sort", work.memory // 4)
    step = max(1024, work.memory // 64)
    for receipt in work.receipts("bands"):
        pairs = open_array(receipt.parts["pairs"].path)
        begin, stop = search(pairs, first << 32), search(pairs, end << 32)
        for at in range(begin, stop, step):
            sorter.add(np.asarray(pairs[at : min(stop, at + step)]))
    work.facts |= verifier.save(sorter.sorted(), work.put("pair", ".npy"), work.put("jaccard", ".npy"))
    work.put("pair", ".npy", rows=work.facts["compared"])
    work.put("jaccard", ".npy", rows=work.facts["compared"])


class Verifier:
    """Compares pairs of documents, by signature and by text.

    Texts are read in groups whose shingle sets take at most an eighth of the memory: two groups are held at a time. A
    single pair of documents is always held, however small the memory.

    Args:
        work: a unit that needs `docs:SOURCE` and `signatures:SOURCE` of all sources.
    """

    def __init__(self, work: Work) -> None:
        self.index = Index(work)
        self.params = Minhash.parse(work.spec["minhash"])
        self.memory = work.memory
        self._docs: list[Path] = []
        for source in self.index.sources:
            self._docs += [receipt.parts["docs"].path for receipt in work.receipts(f"docs:{source.source}")]

    def save(self, pairs: Iterator[U64], pair_path: Path, jaccard_path: Path) -> dict[str, int]:
        """Decide sorted distinct pairs; write the compared ones, in the same order, and count."""
        facts = {"candidates": 0, "ruled_out": 0, "compared": 0, "similar": 0}
        chunk = max(1024, self.memory // 512)
        with ArrayWriter(pair_path, np.uint64) as pair_out, ArrayWriter(jaccard_path, np.float64) as jaccard_out:

            def compare(chosen: U64) -> None:
                jaccard = self.jaccard(chosen)
                pair_out.write(chosen)
                jaccard_out.write(jaccard)
                facts["similar"] += int((jaccard >= self.params.threshold).sum())

            waiting, held = [np.zeros(0, np.uint64)], 0
            for block in pairs:
                left = block[self.possible(block)]
                facts["candidates"] += len(block)
                facts["ruled_out"] += len(block) - len(left)
                waiting.append(left)
                held += len(left)
                if held >= chunk:
                    compare(np.concatenate(waiting))
                    waiting, held = [np.zeros(0, np.uint64)], 0
            compare(np.concatenate(waiting))
            facts["compared"] = pair_out.rows
        return facts

    def possible(self, pairs: U64) -> npt.NDArray[np.bool_]:
        """Whether the signatures leave it possible that a pair is similar."""
        result = np.empty(len(pairs), np.bool_)
        step = max(64, self.memory // (64 * self.params.permutations))
        for at in range(0, len(pairs), step):
            block = pairs[at : at + step]
            documents, places = np.unique(np.concatenate([upper(block), lower(block)]), return_inverse=True)
            signatures = self.index.gather("signature", documents)
            _possible(signatures, places[: len(block)], places[len(block) :], self.params.least_matches, result[at:])
        return result

    def jaccard(self, pairs: U64) -> F64:
        """Exact Jaccard similarity of the shingle sets of each pair."""
        one, two = upper(pairs), lower(pairs)
        result = np.zeros(len(pairs), np.float64)
        if not len(pairs):
            return result
        documents = np.unique(np.concatenate([one, two]))
        sizes = self.index.gather("bytes", documents).astype(np.int64) * SHINGLE_BYTES + 64
        groups = _groups(sizes, max(1, self.memory // 8))
        a, b = np.searchsorted(documents, one), np.searchsorted(documents, two)
        key = pack(groups[a], groups[b])
        order = np.argsort(key, kind="stable")
        starts = np.searchsorted(groups, np.arange(groups[-1] + 1))
        load = _last_two(lambda group: self._sets(documents[groups == group]))
        borders = np.flatnonzero(np.diff(key[order], prepend=~key[order[0]], append=~key[order[-1]]))
        for first, last in itertools.pairwise(borders):
            chosen = order[first:last]
            left, right = int(groups[a[chosen[0]]]), int(groups[b[chosen[0]]])
            values = np.empty(len(chosen), np.float64)
            _jaccard(*load(left), *load(right), a[chosen] - starts[left], b[chosen] - starts[right], values)
            result[chosen] = values
        return result

    def _sets(self, documents: I64) -> Sets:
        """Shingle sets of documents of rising numbers, read record batch by record batch."""
        hashes, sizes = [], [np.zeros(1, np.int64)]
        for unit, _, rows in self.index.by_unit(documents):
            reader = PartReader(self._docs[unit], ["text"])
            starts = np.asarray(self.index.array(unit, "batch"))
            batches = np.searchsorted(starts, rows, side="right") - 1
            for number in np.unique(batches):
                wanted = rows[batches == number] - starts[number]
                texts = reader.batch(int(number)).column(0).take(pa.array(wanted))
                found, offsets = shingle_sets(texts, self.params.unit, self.params.n)
                hashes.append(found.copy())  # lets go of the room for repetitions
                sizes.append(np.diff(offsets))
        return np.concatenate(hashes), np.cumsum(np.concatenate(sizes))


def _groups(sizes: I64, limit: int) -> I64:
    """Number groups of consecutive documents that take at most `limit` bytes together (at least one document each)."""
    result = np.empty(len(sizes), np.int64)
    total = np.cumsum(sizes)
    start = group = 0
    while start < len(sizes):
        before = int(total[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(total, before + limit, side="right")))
        result[start:end] = group
        start, group = end, group + 1
    return result


def _last_two(make: Callable[[int], Sets]) -> Callable[[int], Sets]:
    """Remember the two values asked for last; forget before making another."""
    held: dict[int, Any] = {}

    def get(key: int) -> Sets:
        value: Sets | None = held.pop(key, None)
        if value is None:
            if len(held) == 2:
                held.pop(next(iter(held)))
            value = make(key)
        held[key] = value
        return value

    return get


@njit(nogil=True, cache=True)
def _possible(signatures, one, two, least, result):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    for i in range(len(one)):
        result[i] = matches(signatures[one[i]], signatures[two[i]]) >= least


@njit(nogil=True, cache=True)
def _jaccard(hashes, offsets, other_hashes, other_offsets, one, two, result):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    for k in range(len(one)):
        i, end = offsets[one[k]], offsets[one[k] + 1]
        j, other_end = other_offsets[two[k]], other_offsets[two[k] + 1]
        union = (end - i) + (other_end - j)
        common = 0
        while i < end and j < other_end:
            x, y = hashes[i], other_hashes[j]
            common += x == y
            i += x <= y
            j += y <= x
        result[k] = common / (union - common)
