"""Sorted files of document ids, looked up in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


class Lookup:
    """Documents of a sorted file of uint64 ids, found by binary search in a memory map: nothing is loaded."""

    def __init__(self, docs: Path) -> None:
        self.docs = mapped(docs, "<u8")

    def __call__(self, wanted: pa.Array) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
        """For uint64[n] ids: which are there, bool[n], and the places of those, int64[m]."""
        values = wanted.to_numpy()
        if not len(self.docs):
            return np.zeros(len(values), bool), np.zeros(0, np.int64)
        place = np.searchsorted(self.docs, values)
        place[place == len(self.docs)] = 0
        found = np.asarray(self.docs[place] == values)
        return found, place[found]


def mapped(path: Path, kind: str) -> npt.NDArray[Any]:
    """A raw file of numbers as a read-only memory map (an empty file cannot be mapped)."""
    return np.memmap(path, kind, "r") if path.stat().st_size else np.zeros(0, kind)
