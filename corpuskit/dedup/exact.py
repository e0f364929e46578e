"""Stage `exact`: documents of equal normalized text (and, by word, equal words); the first in priority order stays."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from corpuskit.dedup.index import Index, buckets
from corpuskit.dedup.sort import U64, Sorter, open_array, pack, upper
from corpuskit.unit import Receipt, Work


def exact(work: Work) -> None:
    """Find the exact copies whose hash is in this unit's partition.

    Part `copies`: uint64, sorted: the copy's number in the upper half, the number of the one that stays in the lower.
    """
    index = Index(work)
    sorter = Sorter(work.scratch / "sort", work.memory // 4)
    for keys, documents in index.partition("exact", work.unit, work.units, work.memory // 2):
        members, offsets = buckets(keys, documents, index)
        first = np.repeat(members[offsets[:-1]], np.diff(offsets))
        copies = pack(members, first)
        sorter.add(copies[members != first])
    path = work.put("copies", ".npy")
    work.facts["copies"] = sorter.save(path)
    work.put("copies", ".npy", rows=work.facts["copies"])


def copies_of(receipts: Iterable[Receipt]) -> Iterable[U64]:
    """The `copies` of each unit of `exact`."""
    return (open_array(receipt.parts["copies"].path) for receipt in receipts)


def copy_bits(receipts: Iterable[Receipt], documents: int) -> npt.NDArray[np.uint8]:
    """One bit per document, set for exact copies: uint8[documents / 8]."""
    bits = np.zeros(documents // 8 + 1, np.uint8)
    for copies in copies_of(receipts):
        for start in range(0, len(copies), 1 << 20):
            set_bits(bits, upper(copies[start : start + (1 << 20)]))
    return bits


def set_bits(bits: npt.NDArray[np.uint8], numbers: npt.NDArray[np.int64]) -> None:
    """Set the bits of these numbers."""
    np.bitwise_or.at(bits, numbers >> 3, np.left_shift(1, numbers & 7).astype(np.uint8))


def get_bits(bits: npt.NDArray[np.uint8], numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether the bits of these numbers are set."""
    result: npt.NDArray[np.bool_] = (bits[numbers >> 3] >> (numbers & 7).astype(np.uint8)) & np.uint8(1) == 1
    return result
