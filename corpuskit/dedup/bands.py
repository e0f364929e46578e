"""Stage `bands`: candidate pairs from the buckets of the documents that `exact` left.

A bucket of at most 32 members gives all its pairs. In a larger one each member is paired with the first. One of more
than a thousand members is walked in priority order, by signatures: a member is paired with the bucket's representatives
that it may be similar to, up to the first that it seems similar to; where none seems so, it becomes a representative.
`choose` examines large buckets again, so that what is left out here is never missing from the result: these pairs are a
head start. Verified components hang on every pair: with `choose: component` all pairs of all buckets are compared.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from numba import njit

from corpuskit.core.work import Work
from corpuskit.dedup.exact import copy_bits
from corpuskit.dedup.files import ArrayWriter
from corpuskit.dedup.index import I64, Index
from corpuskit.dedup.kinds import Compared
from corpuskit.dedup.sort import Sorter, pack
from corpuskit.steps.lsh import Minhash

ALL_PAIRS = 32
"""The most members of a bucket all of whose pairs are candidates at once; results do not depend on it."""

STAR = 1024
"""The most members of a bucket that are paired with the first without a look; results do not depend on it."""

REPRESENTATIVES = 128
"""The most representatives of a bucket; results do not depend on it."""

MEMBER_BLOCK = 512
"""Members of a large bucket whose signatures are compared at a time."""


def bands(work: Work[Compared]) -> None:
    """Find the candidate pairs of the buckets whose hash is in this unit's partition.

    Parts: pairs uint64, sorted and distinct: the rank of the document of lower priority in the upper half, the other
    in the lower; large_member uint32 and large_offset int64: the ranks of the members of large buckets, rising.
    """
    params = work.spec.params
    index = Index(work)
    copies = copy_bits(work.receipts("exact"), index.documents)
    sorter = Sorter(work.scratch / "sort", work.memory // 4)
    member_path, offset_path = work.put("large_member", ".npy"), work.put("large_offset", ".npy")
    walker = Walker(index, params, sorter, work.memory // 8)
    found = largest = 0
    with ArrayWriter(member_path, np.uint32) as members_out, ArrayWriter(offset_path, np.int64) as offsets_out:
        offsets_out.write(np.zeros(1, np.int64))
        for keys, numbers in index.partition("band", work.unit, work.units, work.memory // 2):
            members, offsets = index.buckets(keys, numbers, copies)
            sizes = np.diff(offsets)
            found += len(sizes)
            largest = max(largest, int(sizes.max(initial=0)))
            small_pairs(members, offsets, index.finished, sorter)
            for i in np.flatnonzero(sizes > ALL_PAIRS):
                bucket = members[offsets[i] : offsets[i + 1]]
                if bucket[-1] >= index.finished:
                    if params.choose == "component" and params.verify != "none":
                        every_pair(bucket, index.finished, sorter)
                    elif len(bucket) <= STAR:
                        sorter.add(
                            pack(bucket[1:], np.broadcast_to(bucket[0], len(bucket) - 1))[bucket[1:] >= index.finished]
                        )
                    else:
                        walker.add(bucket.copy())
                    members_out.write(bucket.astype(np.uint32))
                    offsets_out.write(np.array([members_out.rows], np.int64))
    walker.flush()
    pairs = sorter.save(work.put("pairs", ".npy"))
    work.rows("pairs", pairs)
    work.rows("large_member", members_out.rows)
    work.rows("large_offset", offsets_out.rows)
    work.facts |= {"buckets": found, "largest": largest, "large": offsets_out.rows - 1, "pairs": pairs}


def small_pairs(members: I64, offsets: I64, finished: int, sorter: Sorter) -> None:
    """Add all pairs of buckets of at most `ALL_PAIRS` members, but none of two documents of a finished corpus."""
    room = np.empty(1 << 18, np.uint64)
    at = 0
    while at < len(offsets) - 1:
        at, count = _small_pairs(members, offsets, at, ALL_PAIRS, finished, room)
        sorter.add(room[:count].copy())


@njit(nogil=True, cache=True)
def _small_pairs(members, offsets, at, limit, finished, room):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    count = 0
    while at < len(offsets) - 1:
        first, end = offsets[at], offsets[at + 1]
        if end - first <= limit:
            if count + (end - first) * (end - first) // 2 > len(room):
                break
            for i in range(first + 1, end):
                if members[i] < finished:
                    continue
                for j in range(first, i):
                    room[count] = (np.uint64(members[i]) << np.uint64(32)) | np.uint64(members[j])
                    count += 1
        at += 1
    return at, count


def every_pair(bucket: I64, finished: int, sorter: Sorter) -> None:
    """Add all pairs of a bucket of any size, in blocks: components hang on each of them."""
    rows = max(1, (1 << 20) // len(bucket))
    for start in range(0, len(bucket), rows):
        block = bucket[start : start + rows]
        one, two = np.meshgrid(block[block >= finished], bucket[: start + rows], indexing="ij")
        sorter.add(pack(one, two)[two < one])


class Walker:
    """Walks large buckets, as the module says, many at a time: their signatures are read together.

    Members that seem similar to none of the representatives are left to `choose` once these are `REPRESENTATIVES`.

    Args:
        sorter: takes the pairs.
        memory: bytes of signatures to hold.
    """

    def __init__(self, index: Index, params: Minhash, sorter: Sorter, memory: int) -> None:
        self._index, self._params, self._sorter = index, params, sorter
        self._room = max(MEMBER_BLOCK, memory // (8 * params.permutations))
        self._waiting: list[I64] = []
        self._members = 0

    def add(self, bucket: I64) -> None:
        """Take a bucket: rising ranks."""
        if len(bucket) > self._room:
            self._walk(bucket, self._index.signatures)
            return
        self._waiting.append(bucket)
        self._members += len(bucket)
        if self._members > self._room:
            self.flush()

    def flush(self) -> None:
        """Walk the buckets that wait."""
        if self._waiting:
            ranks = np.unique(np.concatenate(self._waiting))
            signatures = self._index.signatures(ranks)
            for bucket in self._waiting:
                self._walk(bucket, lambda some: signatures[np.searchsorted(ranks, some)])
        self._waiting, self._members = [], 0

    def _walk(self, bucket: I64, signatures_of: Callable[[I64], npt.NDArray[np.uint32]]) -> None:
        least, sure = edge_matches(self._params)
        representatives = np.zeros(0, np.int64)
        theirs = np.empty((min(len(bucket), REPRESENTATIVES), self._params.permutations), np.uint32)
        for start in range(0, len(bucket), MEMBER_BLOCK):
            block = bucket[start : start + MEMBER_BLOCK]
            places = np.full(len(theirs), -1, np.int64)  # of representatives from this block
            finished = block < self._index.finished  # they are not compared, but others are with them
            pairs = np.empty((len(block) * len(theirs), 2), np.int32)
            held = len(representatives)
            count, now = _walk_block(signatures_of(block), theirs, held, finished, least, sure, pairs, places)
            representatives = np.concatenate([representatives, block[places[held:now]]])
            self._sorter.add(pack(block[pairs[:count, 0]], representatives[pairs[:count, 1]]))


def edge_matches(params: Minhash) -> tuple[int, int]:
    """From how many equal places on a pair may be an edge, and from how many it seems to be one."""
    if params.verify == "none":
        return 0, 0
    if params.verify == "sketch":
        return params.sure_matches, params.sure_matches
    return params.least_matches, params.sure_matches


@njit(nogil=True, cache=True, inline="always")
def matches(one, two):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """In how many places two signatures agree."""
    count = 0
    for k in range(len(one)):
        count += one[k] == two[k]
    return count


@njit(nogil=True, cache=True)
def _walk_block(
    signatures: npt.NDArray[np.uint32],
    theirs: npt.NDArray[np.uint32],
    held: int,
    finished: npt.NDArray[np.bool_],
    least: int,
    sure: int,
    pairs: npt.NDArray[np.int32],
    places: I64,
) -> tuple[int, int]:
    """Compare members in order with the `held` representatives, whose number grows; (pairs, representatives)."""
    count = 0
    for i in range(len(signatures)):
        settled = False
        if not finished[i]:
            for j in range(held):
                agree = matches(signatures[i], theirs[j])
                if agree >= least:
                    pairs[count, 0], pairs[count, 1] = i, j
                    count += 1
                    if agree >= sure:
                        settled = True
                        break
        if not settled and held < len(theirs):
            theirs[held] = signatures[i]
            places[held] = i
            held += 1
    return count, held
