"""Stage `rank`: the priority order of all documents as dense ranks, 0 the highest.

Documents of `against` come first, then the order is: the recipe's `keep` list of domains, longer first, document id.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from corpuskit.core.work import Work
from corpuskit.dedup.files import ArrayWriter, Scatter
from corpuskit.dedup.index import I64, Signed
from corpuskit.dedup.kinds import Compared
from corpuskit.dedup.sort import U64

ENTRY_BYTES = 96
"""Working memory for a document while it is sorted."""

MOST_RANGES = 256
"""Files open at a time; beyond, a range has more than fits: at most three bits for each document."""

SAMPLE = 4096
"""Documents looked at to cut the order into ranges that fit in memory; the result does not depend on it."""


def rank(work: Work[Compared]) -> None:
    """Rank the documents of all units of `signatures`, which are numbered in the order of sources, units and rows.

    Parts: rank uint32[n] of each number; number uint32[n] of each rank; doc uint64[n], the id of each number.
    """
    signed, room = Signed(work), max(1024, work.memory // 2 // ENTRY_BYTES)
    with ArrayWriter(work.put("doc", ".npy", rows=signed.documents), np.uint64) as docs:
        for unit, first, end in _blocks(signed, room):
            docs.write(signed.file(unit, "doc").read(first, end))
    rank_path, number_path = (work.put(name, ".npy", rows=signed.documents) for name in ("rank", "number"))
    done = 0
    with Scatter(rank_path, np.uint32, signed.documents) as ranks, ArrayWriter(number_path, np.uint32) as numbers:
        for number in _ranges(signed, room, work.scratch):
            ranks.put(number, np.arange(done, done + len(number)))
            numbers.write(number)
            done += len(number)


def _ranges(signed: Signed, room: int, scratch: Path) -> Iterator[I64]:
    """The numbers of all documents in priority order, about `room` at a time."""
    count = min(MOST_RANGES, -(-signed.documents // room))
    borders = _borders(signed, count, room) if count > 1 else []
    paths = [scratch / f"range-{number}" for number in range(len(borders) + 1)]
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for block in _blocks(signed, room):
            first, second = _keys(signed, *block)
            order = np.lexsort((second, first))
            first, second = first[order], second[order]
            numbers = (order + int(signed.starts[block[0]]) + block[1]).astype(np.uint64)
            rows = np.stack([first, second, numbers], axis=1)
            cuts = [0, *(_place(first, second, border) for border in borders), len(rows)]
            for file, (low, high) in zip(files, itertools.pairwise(cuts), strict=True):
                file.write(rows[low:high].data)
    for path in paths:
        found = np.fromfile(path, np.uint64).reshape(-1, 3)
        path.unlink()
        # a document id may stand in a finished corpus and here: the number settles that
        yield found[np.lexsort((found[:, 2], found[:, 1], found[:, 0])), 2].astype(np.int64)


def _place(first: U64, second: U64, border: tuple[int, int]) -> int:
    """Index of the first of sorted keys that is not before `border`."""
    low, high = (int(np.searchsorted(first, np.uint64(border[0]), side)) for side in ("left", "right"))
    return low + int(np.searchsorted(second[low:high], np.uint64(border[1])))


def _blocks(signed: Signed, room: int) -> Iterator[tuple[int, int, int]]:
    """All documents, at most `room` at a time: (unit, first row, end)."""
    for unit, count in enumerate(np.diff(signed.starts).tolist()):
        for first in range(0, count, room):
            yield unit, first, min(count, first + room)


def _keys(signed: Signed, unit: int, first: int, end: int) -> tuple[U64, U64]:
    shorter = np.uint64(0xFFFFFFFF) - signed.file(unit, "bytes").read(first, end).astype(np.uint64)
    priority = np.uint64(signed.sources[int(signed.unit_source[unit])].priority)
    return (priority << np.uint64(32)) | shorter, signed.file(unit, "doc").read(first, end)


def _borders(signed: Signed, count: int, room: int) -> list[tuple[int, int]]:
    """Keys that cut all documents into about `count` equal ranges."""
    step = max(1, signed.documents // (SAMPLE * count))
    sample: list[tuple[int, int]] = []
    for unit, begin, end in _blocks(signed, room):
        first, second = _keys(signed, unit, begin, end)
        skip = int(-(signed.starts[unit] + begin) % step)
        sample += zip(first[skip::step].tolist(), second[skip::step].tolist(), strict=True)
    sample.sort()
    return sorted({sample[len(sample) * i // count] for i in range(1, count)})
