"""Receipts in memory: those that were read last, and the receipts of a whole stage as a sequence that reads them."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import overload

from corpuskit.core.work import Receipt

RECEIPT_BYTES = 64 << 20
"""Receipts, as JSON, that a root remembers; see `WORKER_RECEIPT_BYTES`."""

WORKER_RECEIPT_BYTES = 8 << 20
"""The same in a worker, whose memory is bounded."""

AHEAD = 256
"""Receipts that are fetched together where a stage's are read one after the other."""

Fetch = Callable[[Iterable[int]], Iterator[Receipt | None]]
"""From numbers of units to their receipts, in that order; None of a unit that is not complete."""


class Recent:
    """The receipts that were read last, by folder of the stage and key of the unit.

    Args:
        room: bytes of JSON to keep; in memory a receipt takes about twice that.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._held: OrderedDict[tuple[str, str], tuple[Receipt, int]] = OrderedDict()
        self._bytes = 0

    def get(self, folder: str, key: str) -> Receipt | None:
        """One of them."""
        found = self._held.get((folder, key))
        if found is None:
            return None
        self._held.move_to_end((folder, key))
        return found[0]

    def put(self, folder: str, key: str, receipt: Receipt, size: int) -> None:
        """Keep one whose JSON has `size` bytes; those that nobody asked for the longest go for it."""
        self.drop(folder, key)
        self._held[folder, key] = receipt, size
        self._bytes += size
        while self._bytes > self._room and len(self._held) > 1:
            _, (_, gone) = self._held.popitem(last=False)
            self._bytes -= gone

    def drop(self, folder: str, key: str) -> None:
        """Forget one."""
        _, size = self._held.pop((folder, key), (None, 0))
        self._bytes -= size


class Receipts(Sequence[Receipt]):
    """The receipts of all units of a stage, in unit order, each read when it is asked for.

    Args:
        count: of units. fetch: reads. missing: makes the error of a unit that is no longer complete.
    """

    def __init__(self, count: int, fetch: Fetch, missing: Callable[[int], Exception]) -> None:
        self._count, self._fetch, self._missing = count, fetch, missing

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: int) -> Receipt: ...

    @overload
    def __getitem__(self, number: slice) -> list[Receipt]: ...

    def __getitem__(self, number: int | slice) -> Receipt | list[Receipt]:
        if isinstance(number, slice):
            return list(self._each(range(self._count)[number]))
        return next(self._each([range(self._count)[number]]))

    def __iter__(self) -> Iterator[Receipt]:
        return self._each(range(self._count))

    def _each(self, numbers: Iterable[int]) -> Iterator[Receipt]:
        for receipt in self._fetch(numbers):
            if receipt is None:
                raise self._missing(1)
            yield receipt


def receipt_key(folder: str, key: str) -> str:
    """Where the receipt of the unit `key` stands, in the folder of a stage."""
    return f"stages/{folder}/receipts/{key}.json"


def ahead(numbers: Iterable[int]) -> Iterator[list[int]]:
    """Numbers in stretches that are fetched together."""
    left = iter(numbers)
    while some := list(itertools.islice(left, AHEAD)):
        yield some
