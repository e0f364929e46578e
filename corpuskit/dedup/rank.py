"""Stage `rank`: the priority order of all documents as dense ranks, 0 the highest.

Documents of `against` come first, then the order is: the recipe's `keep` list of domains, longer first, document id.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from corpuskit.core.work import Work
from corpuskit.dedup.files import ArrayWriter, Scatter
from corpuskit.dedup.index import I64, Signed
from corpuskit.dedup.kinds import Compared
from corpuskit.dedup.sort import U64

ENTRY_BYTES = 96
"""Working memory for a document while it is sorted."""

SAMPLE = 4096
"""Documents looked at to cut the order into ranges that fit in memory; the result does not depend on it."""


def rank(work: Work[Compared]) -> None:
    """Rank the documents of all units of `signatures`, which are numbered in the order of sources, units and rows.

    Parts: rank uint32[n] of each number; number uint32[n] of each rank.
    """
    signed = Signed(work)
    rank_path, number_path = (work.put(name, ".npy", rows=signed.documents) for name in ("rank", "number"))
    done = 0
    with Scatter(rank_path, np.uint32, signed.documents) as ranks, ArrayWriter(number_path, np.uint32) as numbers:
        for number in _ranges(signed, max(1024, work.memory // 2 // ENTRY_BYTES)):
            ranks.put(number, np.arange(done, done + len(number)))
            numbers.write(number)
            done += len(number)


def _ranges(signed: Signed, room: int) -> Iterator[I64]:
    """The numbers of all documents in priority order, about `room` at a time."""
    count = -(-signed.documents // room)
    borders = _borders(signed, count) if count > 1 else []
    for low, high in zip([None, *borders], [*borders, None], strict=True):
        firsts, seconds, found = [], [], []
        for unit in range(signed.units):
            first, second = _keys(signed, unit)
            wanted = np.ones(len(first), np.bool_)
            if low is not None:
                wanted &= _at_least(first, second, low)
            if high is not None:
                wanted &= ~_at_least(first, second, high)
            firsts.append(first[wanted])
            seconds.append(second[wanted])
            found.append(np.flatnonzero(wanted) + signed.starts[unit])
        if found:
            # a document id may stand in a finished corpus and here: the number settles that
            order = np.lexsort((np.concatenate(seconds), np.concatenate(firsts)))
            yield np.concatenate(found)[order]


def _keys(signed: Signed, unit: int) -> tuple[U64, U64]:
    shorter = np.uint64(0xFFFFFFFF) - signed.file(unit, "bytes").read().astype(np.uint64)
    priority = np.uint64(signed.sources[int(signed.unit_source[unit])].priority)
    return (priority << np.uint64(32)) | shorter, signed.file(unit, "doc").read()


def _at_least(first: U64, second: U64, border: tuple[int, int]) -> npt.NDArray[np.bool_]:
    result: npt.NDArray[np.bool_] = (first > border[0]) | ((first == border[0]) & (second >= border[1]))
    return result


def _borders(signed: Signed, count: int) -> list[tuple[int, int]]:
    """Keys that cut all documents into about `count` equal ranges."""
    step = max(1, signed.documents // (SAMPLE * count))
    sample: list[tuple[int, int]] = []
    for unit in range(signed.units):
        first, second = _keys(signed, unit)
        skip = int(-signed.starts[unit] % step)
        sample += zip(first[skip::step].tolist(), second[skip::step].tolist(), strict=True)
    sample.sort()
    return sorted({sample[len(sample) * i // count] for i in range(1, count)})
