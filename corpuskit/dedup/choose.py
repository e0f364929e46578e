"""Stage `choose`: which documents go, and for each its witness.

The choice is greedy in priority order (the recipe's `keep` list, longer first, document id): a document is removed if
and only if a kept document of higher priority is a verified candidate of it; the first such is its witness. Verified
edges, sorted externally, are read once; one bit per document is the state.

Not all pairs of a large bucket were compared. After each choice its members are compared with those kept members that
come before them and before their witness; new edges mean a new choice. Where no edge is new, the choice is that of all
pairs.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from corpuskit.dedup.bands import matches
from corpuskit.dedup.edges import Edges
from corpuskit.dedup.exact import get_bits, set_bits
from corpuskit.dedup.index import I64
from corpuskit.dedup.removed import write_removed
from corpuskit.dedup.sort import U64, Sorter, lower, open_array, pack, upper
from corpuskit.dedup.verify import Verifier
from corpuskit.unit import Work

BLOCK = 1024
"""Members of a large bucket, and kept ones, whose signatures are compared at a time."""


def choose(work: Work) -> None:
    """Choose among all documents, and write which are removed.

    Part `removed`: Arrow, sorted by doc: doc and kept_doc uint64, jaccard float64, kind (exact, near), domain,
    kept_domain.

    Facts: candidates = ruled_out + compared (distinct pairs, all rounds); similar, of the compared; precision, similar
    / candidates or null; bands, rows; rounds; by_domain and clusters as `write_removed` says.
    """
    verifier = Verifier(work)
    counts = dict.fromkeys(("candidates", "ruled_out", "compared", "similar"), 0)
    known = [(receipt.parts["pair"].path, receipt.parts["jaccard"].path) for receipt in work.receipts("verify")]
    for receipt in work.receipts("verify"):
        for name in counts:
            counts[name] += receipt.facts[name]
    with Edges(work.scratch, work.memory // 2, verifier.index) as edges:
        for pair_path, jaccard_path in known:
            edges.add(pair_path, jaccard_path, verifier.params.threshold)
        rounds = _rounds(work, verifier, edges, known, counts)
        precision = counts["similar"] / counts["candidates"] if counts["candidates"] else None
        shape = {"bands": verifier.params.bands, "rows": verifier.params.rows}
        work.facts |= counts | shape | {"precision": precision, "rounds": rounds}
        work.facts |= write_removed(work, verifier.index, edges)


def _rounds(
    work: Work, verifier: Verifier, edges: Edges, known: list[tuple[Path, Path]], counts: dict[str, int]
) -> int:
    """Choose until large buckets hold no new edge; the number of rounds. The last choice is the table `near`."""
    for number in itertools.count(1):
        removed = edges.choose(work.scratch / f"removed-{number}.npy")
        fresh = Sorter(work.scratch / f"fresh-{number}", work.memory // 8)
        Examination(work, verifier, removed, known).run(fresh)
        paths = work.scratch / f"pair-{number}.npy", work.scratch / f"jaccard-{number}.npy"
        added = verifier.save(fresh.sorted(), *paths)
        for name in counts:
            counts[name] += added[name]
        if not added["similar"]:
            return number
        known.append(paths)
        edges.add(*paths, verifier.params.threshold)
    raise AssertionError


class Examination:
    """Finds the pairs of large buckets that the choice so far depends on and that were never compared.

    Args:
        removed: uint64, sorted: a removed document's number in the upper half, its witness in the lower.
        known: files of the pairs compared before, each sorted.
    """

    def __init__(self, work: Work, verifier: Verifier, removed: U64, known: list[tuple[Path, Path]]) -> None:
        self._receipts = work.receipts("bands")
        self._index = verifier.index
        self._least = verifier.params.least_matches
        self._removed = removed
        self._known = [open_array(path) for path, _ in known]
        self._bits = np.zeros(self._index.documents // 8 + 1, np.uint8)
        for at in range(0, len(removed), 1 << 20):
            set_bits(self._bits, upper(removed[at : at + (1 << 20)]))

    def run(self, fresh: Sorter) -> None:
        """Give these pairs to `fresh`."""
        for receipt in self._receipts:
            offsets = open_array(receipt.parts["large_offset"].path)
            members = open_array(receipt.parts["large_member"].path)
            for first, last in itertools.pairwise(offsets):
                self._bucket(members[first:last].astype(np.int64), fresh)

    def _bucket(self, bucket: I64, fresh: Sorter) -> None:
        """In memory: some tens of bytes a member of this one bucket, and two blocks of signatures."""
        gone = get_bits(self._bits, bucket)
        limits = np.arange(len(bucket))
        limits[gone] = np.minimum(limits[gone], self._witness_places(bucket, bucket[gone]))
        kept_places = np.flatnonzero(~gone)
        for k in range(0, len(kept_places), BLOCK):
            places = kept_places[k : k + BLOCK]
            theirs = self._index.gather("signature", bucket[places])
            for start in range(int(places[0]) // BLOCK * BLOCK, len(bucket), BLOCK):
                block = bucket[start : start + BLOCK]
                within = limits[start : start + BLOCK]
                if within.max() <= places[0]:
                    continue
                found = np.empty((len(block) * len(places), 2), np.int32)
                signatures = self._index.gather("signature", block)
                count = _before_limit(signatures, theirs, within, places, self._least, found)
                fresh.add(self._unknown(pack(block[found[:count, 0]], bucket[places[found[:count, 1]]])))

    def _witness_places(self, bucket: I64, gone: I64) -> I64:
        """How many members of the bucket come before the witness of each of its removed ones."""
        rows = np.searchsorted(self._removed, pack(gone, np.zeros(len(gone), np.int64)))
        witnesses = lower(np.asarray(self._removed[rows]))
        first, second = self._index.order_keys(np.concatenate([bucket, witnesses]))
        order = np.lexsort((np.arange(len(first)) < len(bucket), second, first))  # a witness before itself as member
        before = np.cumsum(order < len(bucket))
        places: I64 = np.empty(len(first), np.int64)
        places[order] = before
        return places[len(bucket) :]

    def _unknown(self, pairs: U64) -> U64:
        for known in self._known:
            if len(known) and len(pairs):
                places = np.minimum(np.searchsorted(known, pairs), len(known) - 1)
                pairs = pairs[known[places] != pairs]
        return pairs


@njit(nogil=True, cache=True)
def _before_limit(
    signatures: npt.NDArray[np.uint32],
    theirs: npt.NDArray[np.uint32],
    limits: I64,
    places: I64,
    least: int,
    found: npt.NDArray[Any],
) -> int:
    """Pairs (member, kept member before its limit) that their signatures leave possible."""
    count = 0
    for i in range(len(signatures)):
        for j in range(len(theirs)):
            if places[j] >= limits[i]:
                break
            if matches(signatures[i], theirs[j]) >= least:
                found[count, 0], found[count, 1] = i, j
                count += 1
    return count
