"""The pairs of large buckets that a choice depends on and that were never compared."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from numba import njit

from corpuskit.core.work import Work
from corpuskit.dedup.bands import edge_matches, matches
from corpuskit.dedup.files import ArrayFile
from corpuskit.dedup.index import I64, set_bits
from corpuskit.dedup.kinds import Compared
from corpuskit.dedup.prefix import PrefixFilter
from corpuskit.dedup.sort import U64, Sorter, pack
from corpuskit.dedup.verify import Verifier

SCAN = 1024
"""The most kept members of a bucket with which its members are compared by signature; results do not depend on it."""

BLOCK = 1024
"""Members of a large bucket, and kept ones, whose signatures are compared at a time."""


class Examination:
    """Examines large buckets after a choice.

    A member depends on the kept members before it, and before its witness. It is compared with these by signature, in
    order, up to the fourth with which it seems similar; if these were not, up to the sixteenth in the next round, and
    so on. Where a bucket keeps more than `SCAN` members, the prefix filter finds all pairs.

    Args:
        verifier: of the unit `work`.
        witness: uint32 file: of each rank that of its witness, or its own where it is kept.
        known: files of the pairs compared before, each sorted.
    """

    def __init__(self, work: Work[Compared], verifier: Verifier, witness: ArrayFile, known: list[ArrayFile]) -> None:
        self._work, self._verifier, self._index = work, verifier, verifier.index
        self._least, self._sure = edge_matches(verifier.params)
        self._witness, self._known = witness, known
        self.wide = ""
        self.cut = False

    def run(self, number: int, seen: str) -> Iterator[U64]:
        """The pairs, sorted and distinct.

        Args:
            number: of the round, from 1.
            seen: `wide` after an earlier round: what the prefix filter depends on. If it is the same, its pairs are
                known.
        """
        fresh = Sorter(self._work.scratch / f"fresh-{number}", self._work.memory // 16)
        wide = np.zeros(self._index.documents // 8 + 1, np.uint8)
        state = hashlib.sha256()
        patience = 4**number
        for bucket, limits in self._buckets():
            kept = bucket[limits == bucket]
            if len(kept) > SCAN and self._verifier.params.verify == "exact":
                set_bits(wide, bucket)
                state.update(limits.tobytes())
                self.wide = state.hexdigest()
            else:
                self._bucket(bucket, limits, kept, patience, fresh)
        if self.wide and self.wide != seen:
            found = PrefixFilter(self._work, self._verifier, wide, self._witness, f"prefix-{number}", patience)
            for pairs in found.pairs():
                agree = self._verifier.agree(pairs)
                fresh.add(self._unknown(pairs[agree >= self._least]))
            self.cut = found.cut
            if self.cut:
                self.wide = ""  # there is more to find, even if the choice stays as it is
        return fresh.sorted()

    def _buckets(self) -> Iterator[tuple[I64, I64]]:
        """The members of each large bucket and their limits; many buckets are read at a time."""
        room = max(1 << 16, self._work.memory // 128)
        for receipt in self._work.receipts("bands"):
            offsets = ArrayFile.of(receipt.parts["large_offset"]).read()
            members = ArrayFile.of(receipt.parts["large_member"])
            first = 0
            while first < len(offsets) - 1:
                last = max(first + 1, int(np.searchsorted(offsets, offsets[first] + room, side="right")) - 1)
                found = members.read(int(offsets[first]), int(offsets[last])).astype(np.int64)
                ranks, places = np.unique(found, return_inverse=True)
                limits = self._witness.gather(ranks).astype(np.int64)[places]
                for start, end in itertools.pairwise(offsets[first : last + 1] - offsets[first]):
                    yield found[start:end], limits[start:end]
                first = last

    def _bucket(self, bucket: I64, limits: I64, kept: I64, patience: int, fresh: Sorter) -> None:
        """In memory: some tens of bytes a member of this one bucket, and two blocks of signatures."""
        if not len(kept) or not (limits > kept[0]).any():
            return  # none depends on another one that is kept
        seemed = np.zeros(len(bucket), np.int64)  # with how many kept members a member seemed similar
        seemed[bucket < self._index.finished] = patience
        for k in range(0, len(kept), BLOCK):
            theirs = kept[k : k + BLOCK]
            left = np.flatnonzero((seemed < patience) & (limits > theirs[0]))
            if not len(left):
                break
            their_signatures = self._index.signatures(theirs)
            for start in range(0, len(left), BLOCK):
                places = left[start : start + BLOCK]
                found = np.empty((len(places) * len(theirs), 3), np.int32)
                mine = self._index.signatures(bucket[places])
                count = _before_limit(mine, their_signatures, limits[places], theirs, self._least, found)
                rows = found[:count]
                pairs = pack(bucket[places[rows[:, 0]]], theirs[rows[:, 1]])
                new = self._new(pairs)
                rows, pairs = rows[new], pairs[new]
                sure = rows[:, 2] >= self._sure
                fresh.add(pairs[_seemed_before(rows[:, 0], sure, seemed[places]) < patience])
                seemed[places] += np.bincount(rows[sure, 0], minlength=len(places))

    def _new(self, pairs: U64) -> npt.NDArray[np.bool_]:
        """Which pairs (sorted) were not compared before."""
        new = np.ones(len(pairs), np.bool_)
        for known in self._known:
            new &= known.find(pairs) < 0
        return new

    def _unknown(self, pairs: U64) -> U64:
        return pairs[self._new(pairs)]


def _seemed_before(members: npt.NDArray[np.int32], sure: npt.NDArray[np.bool_], seemed: I64) -> I64:
    """For each pair, grouped by member: the sure pairs of its member before it."""
    total: I64 = np.cumsum(sure) - sure
    first = np.flatnonzero(np.diff(members, prepend=-1))
    start: I64 = np.repeat(total[first], np.diff(np.append(first, len(members))))
    result: I64 = total - start + seemed[members]
    return result


@njit(nogil=True, cache=True)
def _before_limit(
    signatures: npt.NDArray[np.uint32],
    theirs: npt.NDArray[np.uint32],
    limits: I64,
    ranks: I64,
    least: int,
    found: npt.NDArray[np.int32],
) -> int:
    """Triples (member, kept member before its limit, equal places) that their signatures leave possible, in order."""
    count = 0
    for i in range(len(signatures)):
        for j in range(len(theirs)):
            if ranks[j] >= limits[i]:
                break
            agree = matches(signatures[i], theirs[j])
            if agree >= least:
                found[count, 0], found[count, 1], found[count, 2] = i, j, agree
                count += 1
    return count
