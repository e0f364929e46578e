"""Stage `verify`: distinct candidate pairs, ruled out by signatures or decided by the exact Jaccard similarity.

The sketch filter rules a pair out only if its signatures agree in so few places that a pair at the threshold would do
so with probability below 1e-6 (exact binomial). All others are compared by the sets of 64-bit hashes of their shingles,
unless `index/` knows their similarity from an earlier run.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from corpuskit.core.work import Part, Work
from corpuskit.dedup.bands import edge_matches, matches
from corpuskit.dedup.files import ArrayFile, borders
from corpuskit.dedup.giants import giant_jaccard
from corpuskit.dedup.index import I64, Index
from corpuskit.dedup.kinds import Compared
from corpuskit.dedup.known import Known, pair_key
from corpuskit.dedup.sort import U64, Sorter, lower, merge, pack, upper
from corpuskit.dedup.texts import Texts
from corpuskit.kernels.shingle import shingle_sets

F64 = npt.NDArray[np.float64]
Sets = tuple[npt.NDArray[np.uint64], I64]

SHINGLE_BYTES = 8
"""Bytes of a shingle's hash."""


def verify(work: Work[Compared]) -> None:
    """Decide the candidate pairs whose document of lower priority is in this unit's range of numbers.

    Parts: pair uint64, sorted, and jaccard float64: every pair that was compared exactly, whatever its similarity; with
    `verify: none` or `sketch`, every pair that was not ruled out, and the estimate of the signatures. known_*: see
    `corpuskit.dedup.known`.

    Facts: candidates = ruled_out + compared; similar, of the compared.
    """
    verifier = Verifier(work)
    index = verifier.index
    first = -(-work.unit * index.documents // work.units)
    end = -(-(work.unit + 1) * index.documents // work.units)

    def mine() -> Iterator[U64]:
        runs = [(ArrayFile.of(receipt.parts["pairs"]), None) for receipt in work.receipts("bands")]
        for pairs, _ in merge(runs, max(1024, work.memory // 64)):
            if work.units == 1:
                yield pairs
            else:
                numbers = index.numbers(upper(pairs))
                yield pairs[(numbers >= first) & (numbers < end)]

    paths = work.put("pair", ".npy"), work.put("jaccard", ".npy")
    with Known.Writer(work) as known:
        work.facts |= verifier.save(mine(), *paths, work.scratch / "verify", known)
    work.rows("pair", work.facts["compared"])
    work.rows("jaccard", work.facts["compared"])


class Verifier:
    """Compares pairs of documents, by signature and by text.

    Args:
        work: a unit that needs `docs:SOURCE` and `signatures:SOURCE` of all sources, and `rank`.
    """

    def __init__(self, work: Work[Compared]) -> None:
        self.index = Index(work)
        self.params = work.spec.params
        self.memory = work.memory
        self._known = Known(work)
        self._docs = {one.source: work.receipts(f"docs:{one.source}") for one in self.index.sources if one.root is None}
        self._finished = work.spec.finished

    def similar(self, jaccard: F64) -> npt.NDArray[np.bool_]:
        """Which compared pairs are edges."""
        if self.params.verify == "none":
            return np.ones(len(jaccard), np.bool_)
        return jaccard >= self.params.threshold

    def save(
        self, pairs: Iterator[U64], pair_path: Path, jaccard_path: Path, scratch: Path, known: Known.Writer
    ) -> dict[str, int]:
        """Decide sorted distinct pairs; write the compared ones, in the same order, and count.

        Args:
            pairs: in blocks. scratch: a folder to make.
            known: is told of every pair that was compared exactly.
        """
        facts = {"candidates": 0, "ruled_out": 0, "compared": 0, "similar": 0}
        decided = Sorter(scratch / "decided", self.memory // 16, np.float64)
        waiting = Sorter(scratch / "waiting", self.memory // 16, np.uint64)
        least, _ = edge_matches(self.params)

        def decide(some: U64, jaccard: F64) -> None:
            decided.add(some, jaccard)
            facts["similar"] += int(self.similar(jaccard).sum())

        for block in pairs:
            agree = self.agree(block)
            left = block[agree >= least]
            facts["candidates"] += len(block)
            facts["ruled_out"] += len(block) - len(left)
            facts["compared"] += len(left)
            if self.params.verify != "exact":
                decide(left, agree[agree >= least] / self.params.permutations)
                continue
            one, two = self.index.numbers(upper(left)), self.index.numbers(lower(left))
            key = pair_key(self.index.gather("hash", one), self.index.gather("hash", two))
            found, jaccard = self._known.look(key)
            decide(left[found], jaccard[found])
            known.add(key[found], jaccard[found])
            waiting.add(pack(two[~found], one[~found]), left[~found])
        for stored, ranked in _ranges(waiting, self.index, self.memory):
            jaccard = self.jaccard(stored)
            decide(ranked, jaccard)
            one, two = upper(stored), lower(stored)
            known.add(pair_key(self.index.gather("hash", one), self.index.gather("hash", two)), jaccard)
        decided.save(pair_path, jaccard_path)
        return facts

    def agree(self, pairs: U64) -> npt.NDArray[np.int16]:
        """In how many places the signatures of each pair agree."""
        result = np.empty(len(pairs), np.int16)
        step = max(64, self.memory // (32 * self.params.permutations))
        for at in range(0, len(pairs), step):
            block = pairs[at : at + step]
            documents, places = np.unique(np.concatenate([upper(block), lower(block)]), return_inverse=True)
            _agree(self.index.signatures(documents), places[: len(block)], places[len(block) :], result[at:])
        return result

    def jaccard(self, pairs: U64) -> F64:
        """Exact Jaccard similarity of pairs of document numbers, sorted: first those of few upper documents.

        In memory: the shingle sets of all documents in upper halves, and of a group of the others in lower halves; of a
        document whose own set takes more than that, a part at a time. No document is read twice, and where all fit no
        record batch either.
        """
        result = np.zeros(len(pairs), np.float64)
        one, two = upper(pairs), lower(pairs)
        held = np.unique(one)
        giant = self.memory // 6
        if len(held) == 1 and self._bytes_of(held)[0] > giant:
            return giant_jaccard(self, int(held[0]), two)
        others = np.setdiff1d(two, held)
        sizes = self._bytes_of(others)
        groups = _groups(sizes, max(1, self.memory // 12))
        if len(others) and not groups[-1] and sizes[0] <= giant:  # they are one group
            held, others, groups = np.union1d(held, others), others[:0], groups[:0]
        sets = self.sets(held)

        def compare(chosen: I64, numbers: I64, theirs: Sets) -> None:
            values = np.empty(len(chosen), np.float64)
            a, b = np.searchsorted(held, one[chosen]), np.searchsorted(numbers, two[chosen])
            _jaccard(*sets, *theirs, a, b, values)
            result[chosen] = values

        apart = np.isin(two, others)
        compare(np.flatnonzero(~apart), held, sets)
        left = np.flatnonzero(apart)
        left = left[np.argsort(two[left], kind="stable")]
        for first, last in itertools.pairwise(borders(groups)):
            some = others[first:last]
            begin, end = np.searchsorted(two[left], some[0]), np.searchsorted(two[left], some[-1], side="right")
            chosen = left[begin:end]
            if sizes[first] > giant:
                result[chosen] = giant_jaccard(self, int(some[0]), one[chosen])
            else:
                compare(chosen, some, self.sets(some))
        return result

    def _bytes_of(self, numbers: I64) -> I64:
        """Bytes of the shingle sets of documents, at most."""
        return self.index.gather("shingles", numbers).astype(np.int64) * SHINGLE_BYTES + 64

    def text(self, number: int) -> pa.Array:
        """The text of one document, string[1]."""
        ((unit, _, rows),) = self.index.by_unit(np.array([number]))
        starts = self.index.file(unit, "batch").read()
        place = int(np.searchsorted(starts, rows[0], side="right")) - 1
        (batch,) = Texts(self._texts(unit)).batches([place], ["text"])
        return batch.column(0).slice(int(rows[0] - starts[place]), 1)

    def _texts(self, unit: int) -> Part | Path:
        """What holds the texts of a unit."""
        source, number = self.index.place(unit)
        name = self.index.sources[source].source
        return self._docs[name][number].parts["docs"] if name in self._docs else Path(self._finished[name][number])

    def sets(self, numbers: I64) -> Sets:
        """Shingle sets of documents of rising numbers, read record batch by record batch."""
        most = int(self.index.gather("shingles", numbers).sum(dtype=np.int64))
        hashes, size = np.empty(most, np.uint64), 0  # filled as they come: joined later, they would be there twice
        sizes = [np.zeros(1, np.int64)]
        for found, offsets in self.each(numbers):
            hashes[size : size + len(found)] = found
            size += len(found)
            sizes.append(np.diff(offsets))
        return hashes[:size], np.cumsum(np.concatenate(sizes))

    def each(self, numbers: I64) -> Iterator[Sets]:
        """Shingle sets of documents of rising numbers, one record batch at a time."""
        for unit, _, rows in self.index.by_unit(numbers):
            starts = self.index.file(unit, "batch").read()
            batch_of = np.searchsorted(starts, rows, side="right") - 1
            wanted = np.unique(batch_of)
            for number, batch in zip(wanted, Texts(self._texts(unit)).batches(wanted.tolist(), ["text"]), strict=True):
                texts = batch.column(0)
                mine = rows[batch_of == number] - starts[number]
                if len(mine) < batch.num_rows:
                    texts = texts.take(pa.array(mine))
                yield shingle_sets(texts, self.params.unit, self.params.n)


def _ranges(waiting: Sorter, index: Index, memory: int) -> Iterator[tuple[U64, U64]]:
    """Sorted pairs of numbers (with ranks) in stretches whose upper documents' shingles take a sixth of the memory."""
    limit, most = max(1, memory // 6), max(1024, memory // 256)
    held: list[tuple[U64, U64]] = []
    size = count = 0
    last = -1
    for pairs, ranked in waiting.blocks():
        assert ranked is not None
        at = 0
        holders, starts = np.unique(upper(pairs), return_index=True)
        bytes_of = index.gather("shingles", holders).astype(np.int64) * SHINGLE_BYTES + 64
        for holder, start, more in zip(holders, starts, bytes_of, strict=True):
            new = 0 if holder == last else int(more)
            if (size + new > limit or count + start - at > most) and (count or start > at):
                held.append((pairs[at:start], ranked[at:start]))
                yield _join(held)
                held, size, count, at = [], 0, 0, int(start)
                new = int(more)
            size += new
            last = holder
        held.append((pairs[at:], ranked[at:]))
        count += len(pairs) - at
    if count:
        yield _join(held)


def _join(held: list[tuple[U64, U64]]) -> tuple[U64, U64]:
    return np.concatenate([pairs for pairs, _ in held]), np.concatenate([ranked for _, ranked in held])


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


@njit(nogil=True, cache=True)
def _agree(signatures, one, two, result):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    for i in range(len(one)):
        result[i] = matches(signatures[one[i]], signatures[two[i]])


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
