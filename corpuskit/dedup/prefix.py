"""Similar pairs among very many dissimilar documents of one bucket: the prefix filter on exact shingle sets.

Two sets of Jaccard similarity at least t share a shingle among the rarest ones of each: with all shingles in one order,
that of their frequency, the smaller set y has one within its first |y| - ceil(2t/(1+t) |y|) + 1, which is also within
the first |x| - ceil(t |x|) + 1 of the larger set x (Chaudhuri, Ganti and Kaushik 2006; Xiao et al. 2008, "Efficient
similarity joins for near-duplicate detection"). Documents of one template share its shingles, which are frequent,
and differ in rare ones: these pairs never meet.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from numba import njit

from corpuskit.core.work import Work
from corpuskit.dedup.files import ArrayFile
from corpuskit.dedup.index import I64, get_bits
from corpuskit.dedup.kinds import Compared
from corpuskit.dedup.sort import U64, Sorter
from corpuskit.dedup.verify import Verifier

RECORD = np.dtype([("token", "<u8"), ("rank", "<u4"), ("limit", "<u4"), ("size", "<u4"), ("indexed", "<u4")])

FILES = 64
"""Files that records are spread over by token."""

BLOCK = 1 << 17
"""Documents looked at a time."""


class PrefixFilter:
    """Finds pairs (member, kept member before its limit) that may be similar.

    Args:
        wide: one bit for each rank: the members to look at.
        witness: uint32 file: of each rank that of its witness, its limit, or its own where it is kept.
        name: of a folder for its files.
        patience: the most kept members that a member is paired with for one shingle.

    Attributes:
        cut: whether that left pairs out.
    """

    def __init__(
        self,
        work: Work[Compared],
        verifier: Verifier,
        wide: npt.NDArray[np.uint8],
        witness: ArrayFile,
        name: str,
        patience: int,
    ) -> None:
        self.cut = False
        self._patience = patience
        self._verifier, self._index = verifier, verifier.index
        self._wide, self._witness = wide, witness
        self._memory = work.memory
        self._folder = work.scratch / name
        self._folder.mkdir()
        slots = 1 << max(16, (work.memory // 8).bit_length() - 1)
        self._counts = np.zeros(slots, np.uint8)

    def pairs(self) -> Iterator[U64]:
        """Sorted distinct pairs that share a bucket, in blocks."""
        for _, hashes, _ in self._each():
            _count(hashes, self._counts)
        self._emit()
        found = Sorter(self._folder / "pairs", self._memory // 16)
        for number in range(FILES):
            self._join(number, found)
        for pairs in found.sorted():
            mine = pairs[pairs >> np.uint64(32) >= self._index.finished]  # documents of a finished corpus stay
            yield mine[self._share_a_band(mine)]

    def _each(self) -> Iterator[tuple[I64, U64, I64]]:
        """(ranks, hashes, offsets) of the members, a record batch at a time, in the order in which texts are stored."""
        for first in range(0, self._index.documents, BLOCK):
            numbers = np.arange(first, min(self._index.documents, first + BLOCK))
            ranks = self._index.ranks(numbers)
            chosen = get_bits(self._wide, ranks)
            numbers, ranks, at = numbers[chosen], ranks[chosen], 0
            for hashes, offsets in self._verifier.each(numbers):
                yield ranks[at : at + len(offsets) - 1], hashes, offsets
                at += len(offsets) - 1

    def _emit(self) -> None:
        """Write the records of all prefixes, by token."""
        threshold = self._verifier.params.threshold
        streams = [(self._folder / f"{number}.records").open("wb") for number in range(FILES)]
        for ranks, hashes, offsets in self._each():
            sizes = np.diff(offsets)
            # the subtracted trifle keeps 0.8 * 5 from becoming 4.000000001 and a prefix from becoming too short
            probe = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1
            index = sizes - np.ceil(2 * threshold / (1 + threshold) * sizes - 1e-9).astype(np.int64) + 1
            limits = self._witness.gather(ranks).astype(np.int64)
            records = np.empty(int(probe.sum()), RECORD)
            count = _prefixes(hashes, offsets, self._counts, probe, index, ranks, limits, records)
            records = records[:count]
            file_of = (records["token"] >> np.uint64(50)) & np.uint64(FILES - 1)
            for number in range(FILES):
                streams[number].write(records[file_of == number].tobytes())
        for stream in streams:
            stream.close()

    def _join(self, number: int, found: Sorter) -> None:
        """Pair the records of each token of one file; a file that exceeds the memory is taken in parts."""
        path = self._folder / f"{number}.records"
        parts = max(1, math.ceil(path.stat().st_size * 4 / self._memory))
        for part in range(parts):
            held = [np.zeros(0, RECORD)]
            with path.open("rb") as stream:
                while block := stream.read(RECORD.itemsize * BLOCK):
                    records = np.frombuffer(block, RECORD)
                    held.append(records[(records["token"] >> np.uint64(8)) % np.uint64(parts) == part])
            records = np.concatenate(held)
            removed = records["limit"] != records["rank"]
            records = records[np.lexsort((records["rank"], removed, records["token"]))]
            columns = [records[name].astype(np.int64) for name in ("rank", "limit", "size", "indexed")]
            token = records["token"].copy()
            del records, held, removed
            room = np.empty(1 << 18, np.uint64)
            place = np.zeros(5, np.int64)
            while place[1] < len(token):
                count = _pairs(token, columns[0], columns[1], columns[2], columns[3], self._patience, place, room)
                found.add(room[:count].copy())
            self.cut |= bool(place[4])
        path.unlink()

    def _share_a_band(self, pairs: U64) -> npt.NDArray[np.bool_]:
        params = self._verifier.params
        result = np.empty(len(pairs), np.bool_)
        step = max(64, self._memory // (64 * params.permutations))
        for at in range(0, len(pairs), step):
            block = pairs[at : at + step]
            both = np.concatenate([block >> np.uint64(32), block & np.uint64(0xFFFFFFFF)]).astype(np.int64)
            documents, places = np.unique(both, return_inverse=True)
            signatures = self._index.signatures(documents)
            one, two = places[: len(block)], places[len(block) :]
            _share(signatures, one, two, params.bands, params.rows, result[at:])
            if params.scope == "domain":
                domains = self._index.domain_of(self._index.numbers(documents))
                result[at : at + len(block)] &= domains[one] == domains[two]
        return result


@njit(nogil=True, cache=True)
def _slot(shingle, counts):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    return shingle & np.uint64(len(counts) - 1)


@njit(nogil=True, cache=True)
def _count(hashes, counts):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Count in how many sets each shingle is, up to 255; those that share a slot are counted together."""
    for i in range(len(hashes)):
        slot = _slot(hashes[i], counts)
        if counts[slot] < 255:
            counts[slot] += np.uint8(1)


@njit(nogil=True, cache=True)
def _prefixes(hashes, offsets, counts, probe, index, ranks, limits, records):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Write a record for each shingle of each prefix that another set may hold as well; how many."""
    size = 0
    longest = 0
    for i in range(len(ranks)):
        longest = max(longest, offsets[i + 1] - offsets[i])
    tokens = np.empty(longest, np.uint64)
    for i in range(len(ranks)):
        first, last = offsets[i], offsets[i + 1]
        for j in range(first, last):
            # the order: the count, then the shingle; one number for both
            count = np.uint64(counts[_slot(hashes[j], counts)])
            tokens[j - first] = (count << np.uint64(56)) | (hashes[j] >> np.uint64(8))
        mine = tokens[: last - first]
        mine.sort()
        for j in range(probe[i]):
            if mine[j] >> np.uint64(56) < 2:
                continue  # in no other set
            record = records[size]
            record["token"], record["rank"], record["limit"] = mine[j], ranks[i], limits[i]
            record["size"], record["indexed"] = last - first, j < index[i]
            size += 1
    return size


@njit(nogil=True, cache=True)
def _pairs(token, rank, limit, size, indexed, patience, place, room):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Pair each record with those of kept documents of its token that come before its limit, until the room is full.

    Records come by token, kept documents first, by rank. `place` says where to go on: the first record of the token,
    the record at hand, how many of the kept ones it was compared with, with how many of these it was paired; and
    whether that reached `patience` and pairs were left out.
    """
    count = 0
    while place[1] < len(token):
        first, at = place[0], place[1]
        if token[first] != token[at]:
            place[0] = first = at
        kept = first + place[2]
        while token[kept] == token[at] and limit[kept] == rank[kept] and rank[kept] < limit[at]:
            if indexed[at] if size[at] <= size[kept] else indexed[kept]:
                if place[3] == patience:
                    place[4] = 1
                    break
                if count == len(room):
                    place[2] = kept - first
                    return count
                room[count] = (np.uint64(rank[at]) << np.uint64(32)) | np.uint64(rank[kept])
                count += 1
                place[3] += 1
            kept += 1
            if kept == len(token):
                break
        place[1], place[2], place[3] = at + 1, 0, 0
    return count


@njit(nogil=True, cache=True)
def _share(signatures, one, two, bands, rows, result):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    for i in range(len(one)):
        x, y = signatures[one[i]], signatures[two[i]]
        result[i] = False
        for band in range(bands):
            same = True
            for row in range(band * rows, (band + 1) * rows):
                if x[row] != y[row]:
                    same = False
                    break
            if same:
                result[i] = True
                break
