"""External sorting of uint64 keys, each with a uint64 that belongs to it; equal keys all stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpuskit.kernels.radix import radix_sort_with, radix_sort_within
from corpuskit.lm.columns import BLOCK, Column

U64 = npt.NDArray[np.uint64]

RECORD = 32
"""Bytes of memory for a key with its payload: radix sort has each twice."""

LEAST = 1 << 12


class Sorter:
    """Sorts any number of keys within about `memory` bytes: in runs on disk, which are merged.

    Args:
        folder: for the runs; exists.
        memory: bytes to use.
        most: how many keys will come, at most: with few, less memory is used.
    """

    def __init__(self, folder: Path, memory: int, most: int) -> None:
        self._folder = folder
        self._room = max(LEAST, min(memory // RECORD, most))
        self._keys, self._payload, self._other, self._other_payload = (
            np.empty(self._room, np.uint64) for _ in range(4)
        )
        self._held = 0
        self._runs: list[tuple[Column, Column]] = []

    def add(self, keys: U64, payload: U64) -> None:
        """Take keys."""
        while len(keys):
            if self._held == self._room:
                self._flush()
            taken = min(len(keys), self._room - self._held)
            end = self._held + taken
            self._keys[self._held : end], self._payload[self._held : end] = keys[:taken], payload[:taken]
            self._held, keys, payload = end, keys[taken:], payload[taken:]

    def _sorted(self) -> tuple[U64, U64]:
        held = slice(0, self._held)
        self._held = 0
        return radix_sort_within(self._keys[held], self._payload[held], self._other[held], self._other_payload[held])

    def _flush(self) -> None:
        run = tuple(Column(self._folder / f"run-{len(self._runs)}-{part}", np.uint64) for part in range(2))
        for column, values in zip(run, self._sorted(), strict=True):
            column.append(values)
        self._runs.append((run[0], run[1]))

    def blocks(self) -> Iterator[tuple[U64, U64]]:
        """All keys in order with what belongs to them, once; the runs are removed."""
        if not self._runs:
            keys, payload = self._sorted()
            for first in range(0, len(keys), BLOCK):
                yield keys[first : first + BLOCK], payload[first : first + BLOCK]
            return
        self._flush()
        room = self._room
        del self._keys, self._payload, self._other, self._other_payload  # the blocks of the runs take their place
        yield from _merged(self._runs, max(64, min(BLOCK, room // (2 * len(self._runs)))))
        for run in self._runs:
            for column in run:
                column.remove()


def _merged(runs: list[tuple[Column, Column]], step: int) -> Iterator[tuple[U64, U64]]:
    at = [0] * len(runs)
    held = [(np.zeros(0, np.uint64), np.zeros(0, np.uint64))] * len(runs)
    while True:
        for i, (keys, payload) in enumerate(runs):
            if not len(held[i][0]) and at[i] < len(keys):
                held[i] = keys.read(at[i], at[i] + step), payload.read(at[i], at[i] + step)
                at[i] += len(held[i][0])
        alive = [i for i, (keys, _) in enumerate(held) if len(keys)]
        if not alive:
            return
        # everything up to the smallest last key of the blocks in reach is here, but for more of that key itself
        border = min(held[i][0][-1] for i in alive)
        taken = []
        for i in alive:
            end = int(np.searchsorted(held[i][0], border, side="right"))
            taken.append((held[i][0][:end], held[i][1][:end]))
            held[i] = held[i][0][end:], held[i][1][end:]
        yield radix_sort_with(np.concatenate([keys for keys, _ in taken]), np.concatenate([more for _, more in taken]))
