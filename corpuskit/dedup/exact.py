"""Stage `exact`: documents of equal normalized text (and, by word, equal words); the first in priority order stays."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from corpuskit.core.work import Receipt, Work
from corpuskit.dedup.files import ArrayFile
from corpuskit.dedup.index import Index, set_bits
from corpuskit.dedup.kinds import Compared
from corpuskit.dedup.sort import Sorter, pack, upper

BLOCK = 1 << 20
"""Pairs read at a time."""


def exact(work: Work[Compared]) -> None:
    """Find the exact copies whose hash is in this unit's partition.

    Part `copies`: uint64, sorted: the copy's rank in the upper half, the rank of the one that stays in the lower.
    """
    index = Index(work)
    sorter = Sorter(work.scratch / "sort", work.memory // 4)
    for keys, numbers in index.partition("exact", work.unit, work.units, work.memory // 2):
        members, offsets = index.buckets(keys, numbers, None)
        first = np.repeat(members[offsets[:-1]], np.diff(offsets))
        sorter.add(pack(members, first)[(members != first) & (members >= index.finished)])
    path = work.put("copies", ".npy")
    work.facts["copies"] = sorter.save(path)
    work.rows("copies", work.facts["copies"])


def copies_of(receipts: Iterable[Receipt]) -> Iterable[ArrayFile]:
    """The `copies` of each unit of `exact`."""
    return (ArrayFile.of(receipt.parts["copies"]) for receipt in receipts)


def copy_bits(receipts: Iterable[Receipt], documents: int) -> npt.NDArray[np.uint8]:
    """One bit per rank, set for exact copies: uint8[documents / 8]."""
    bits = np.zeros(documents // 8 + 1, np.uint8)
    for copies in copies_of(receipts):
        for start in range(0, len(copies), BLOCK):
            set_bits(bits, upper(copies.read(start, min(len(copies), start + BLOCK))))
    return bits
