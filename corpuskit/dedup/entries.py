"""Entries (key, row) of one unit, grouped by the leading bits of their keys, however many they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpuskit.core.work import Work
from corpuskit.dedup.files import ArrayFile, ArrayWriter

I64 = npt.NDArray[np.int64]


class Entries:
    """Takes groups of some rows after the others', and writes the groups of all: those of each in the order of rows.

    Args:
        work: the unit; its parts `NAME_key`, `NAME_row` and `NAME_start` are written.
        room: entries to have in memory.
    """

    def __init__(self, work: Work[Any], name: str, room: int) -> None:
        self._work, self._name, self._room = work, name, max(1, room)
        self._starts: list[I64] = []
        self._runs: list[tuple[Path, ...]] = []

    def add(self, keys: npt.NDArray[np.uint64], rows: npt.NDArray[np.uint32], starts: I64) -> None:
        """Take entries, a key being a number or several; group i is starts[i] to starts[i + 1]."""
        number = len(self._runs)
        run = tuple(self._work.scratch / f"{self._name}-{what}-{number}.npy" for what in ("key", "row"))
        np.save(run[0], keys)
        np.save(run[1], rows)
        self._runs.append(run)
        self._starts.append(starts)

    def save(self) -> None:
        """Write the parts."""
        total = np.sum(self._starts, axis=0)
        for place, what in enumerate(("key", "row")):
            target = self._put(what, int(total[-1]))
            if len(self._runs) == 1:
                self._runs[0][place].replace(target)
            else:
                self._merge([ArrayFile(run[place]) for run in self._runs], total, target)
        np.save(self._put("start", len(total)), total)

    def _merge(self, runs: list[ArrayFile], total: I64, target: Path) -> None:
        with ArrayWriter(target, runs[0].dtype.type, runs[0].shape[1:]) as writer:
            first = 0
            while first < len(total) - 1:
                last = int(np.searchsorted(total, total[first] + self._room, side="right")) - 1
                last = max(first + 1, min(last, len(total) - 1))
                writer.write(self._together(runs, first, last))
                first = last

    def _put(self, what: str, rows: int) -> Path:
        return self._work.put(f"{self._name}_{what}", ".npy", rows=rows)

    def _together(self, runs: list[ArrayFile], first: int, last: int) -> npt.NDArray[Any]:
        """The groups first to last."""
        pieces = []
        there = [run.read(int(start[first]), int(start[last])) for run, start in zip(runs, self._starts, strict=True)]
        for group in range(first, last):
            for values, start in zip(there, self._starts, strict=True):
                pieces.append(values[start[group] - start[first] : start[group + 1] - start[first]])
        return np.concatenate(pieces)
