"""Stage `bands`: candidate pairs from the buckets of the documents that `exact` left.

A bucket of at most 128 members gives all its pairs. A larger one is walked in priority order, by signatures: a member
is paired with the bucket's representatives that it may be similar to, up to the first that it seems similar to; where
none seems so, it becomes a representative. `choose` examines large buckets again, so that what the walk leaves out is
never missing from the result: pairs here are a head start.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from corpuskit.dedup.exact import copy_bits, get_bits
from corpuskit.dedup.index import I64, Index, buckets
from corpuskit.dedup.params import Minhash
from corpuskit.dedup.sort import ArrayWriter, Sorter, pack
from corpuskit.unit import Work

ALL_PAIRS = 128
"""The most members of a bucket all of whose pairs are candidates at once; results do not depend on it."""

MEMBER_BLOCK, REPRESENTATIVE_BLOCK = 512, 4096
"""Members and representatives of a large bucket whose signatures are compared at a time."""


def bands(work: Work) -> None:
    """Find the candidate pairs of the buckets whose hash is in this unit's partition.

    Parts: pairs uint64, sorted and distinct: the number of the document of lower priority in the upper half, the other
    in the lower; large_member uint32 and large_offset int64: the members of large buckets, in priority order.
    """
    params = Minhash.parse(work.spec["minhash"])
    index = Index(work)
    copies = copy_bits(work.receipts("exact"), index.documents)
    sorter = Sorter(work.scratch / "sort", work.memory // 4)
    member_path, offset_path = work.put("large_member", ".npy"), work.put("large_offset", ".npy")
    found = largest = 0
    with ArrayWriter(member_path, np.uint32) as members_out, ArrayWriter(offset_path, np.int64) as offsets_out:
        offsets_out.write(np.zeros(1, np.int64))
        for all_keys, all_documents in index.partition("band", work.unit, work.units, work.memory // 2):
            left = ~get_bits(copies, all_documents)
            members, offsets = buckets(all_keys[:, left], all_documents[left], index)
            sizes = np.diff(offsets)
            found += len(sizes)
            largest = max(largest, int(sizes.max(initial=0)))
            small_pairs(members, offsets, sorter)
            for i in np.flatnonzero(sizes > ALL_PAIRS):
                bucket = members[offsets[i] : offsets[i + 1]]
                walk(bucket, index, params, sorter)
                members_out.write(bucket.astype(np.uint32))
                offsets_out.write(np.array([members_out.rows], np.int64))
    pairs = sorter.save(work.put("pairs", ".npy"))
    work.put("pairs", ".npy", rows=pairs)
    work.put("large_member", ".npy", rows=members_out.rows)
    work.put("large_offset", ".npy", rows=offsets_out.rows)
    work.facts |= {"buckets": found, "largest": largest, "large": offsets_out.rows - 1, "pairs": pairs}


def small_pairs(members: I64, offsets: I64, sorter: Sorter) -> None:
    """Add all pairs of buckets of at most `ALL_PAIRS` members."""
    room = np.empty(max(1 << 18, ALL_PAIRS * ALL_PAIRS), np.uint64)
    at = 0
    while at < len(offsets) - 1:
        at, count = _small_pairs(members, offsets, at, ALL_PAIRS, room)
        sorter.add(room[:count].copy())


@njit(nogil=True, cache=True)
def _small_pairs(members, offsets, at, limit, room):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    count = 0
    while at < len(offsets) - 1:
        first, end = offsets[at], offsets[at + 1]
        if end - first <= limit:
            if count + (end - first) * (end - first) // 2 > len(room):
                break
            for i in range(first + 1, end):
                for j in range(first, i):
                    room[count] = (np.uint64(members[i]) << np.uint64(32)) | np.uint64(members[j])
                    count += 1
        at += 1
    return at, count


def walk(bucket: I64, index: Index, params: Minhash, sorter: Sorter) -> None:
    """Add the pairs of one large bucket, as the module says. In memory: 8 bytes a member, two blocks of signatures."""
    least, sure = params.least_matches, params.sure_matches
    representatives = np.zeros(0, np.int64)
    for start in range(0, len(bucket), MEMBER_BLOCK):
        block = bucket[start : start + MEMBER_BLOCK]
        signatures = index.gather("signature", block)
        done = np.zeros(len(block), np.bool_)
        for r in range(0, len(representatives), REPRESENTATIVE_BLOCK):
            others = representatives[r : r + REPRESENTATIVE_BLOCK]
            theirs = index.gather("signature", others)
            pairs = np.empty((len(block) * len(others), 2), np.int32)
            count = walk_block(signatures, theirs, done, False, least, sure, pairs)
            sorter.add(pack(block[pairs[:count, 0]], others[pairs[:count, 1]]))
        pairs = np.empty((len(block) * len(block), 2), np.int32)
        count = walk_block(signatures, signatures, done, True, least, sure, pairs)
        sorter.add(pack(block[pairs[:count, 0]], block[pairs[:count, 1]]))
        representatives = np.concatenate([representatives, block[~done]])


@njit(nogil=True, cache=True, inline="always")
def matches(one, two):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """In how many places two signatures agree."""
    count = 0
    for k in range(len(one)):
        count += one[k] == two[k]
    return count


@njit(nogil=True, cache=True)
def walk_block(
    signatures: npt.NDArray[np.uint32],
    representatives: npt.NDArray[np.uint32],
    done: npt.NDArray[np.bool_],
    own: bool,
    least: int,
    sure: int,
    pairs: npt.NDArray[np.int32],
) -> int:
    """Pair members not done with representatives in order, up to the first sure one; then the member is done.

    With `own`, the representatives are the members before it that are not done.
    """
    count = 0
    for i in range(len(signatures)):
        for j in range(i if own else len(representatives)):
            if done[i]:
                break
            if own and done[j]:
                continue
            agree = matches(signatures[i], representatives[j])
            if agree >= least:
                pairs[count, 0], pairs[count, 1] = i, j
                count += 1
                done[i] = agree >= sure
    return count
