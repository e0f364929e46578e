"""External sorting of uint64 values, and arrays on disk that grow by appending.

A pair of documents is one uint64 (first in the upper, second in the lower half), so that a sorted array of pairs is a
plain `.npy` file that later stages memory-map and search.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]


def pack(upper: npt.NDArray[Any], lower: npt.NDArray[Any]) -> U64:
    """Two arrays of 32-bit numbers as one of uint64."""
    packed: U64 = (upper.astype(np.uint64) << np.uint64(32)) | lower.astype(np.uint64)
    return packed


def upper(packed: U64) -> npt.NDArray[np.int64]:
    """The upper halves."""
    return (packed >> np.uint64(32)).astype(np.int64)


def lower(packed: U64) -> npt.NDArray[np.int64]:
    """The lower halves."""
    return (packed & np.uint64(0xFFFFFFFF)).astype(np.int64)


def open_array(path: Path) -> npt.NDArray[Any]:
    """Memory-map a `.npy` file."""
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


class ArrayWriter:
    """Writes a one-dimensional `.npy` file by appending."""

    def __init__(self, path: Path, dtype: type[np.generic]) -> None:
        self._dtype = np.dtype(dtype)
        self._stream = path.open("wb")
        self.rows = 0
        self._header()

    def _header(self) -> None:
        # numpy pads headers so that the length of the first axis can be rewritten in place
        description = {"descr": self._dtype.str, "fortran_order": False, "shape": (self.rows,)}
        np.lib.format.write_array_header_1_0(self._stream, description)

    def write(self, values: npt.NDArray[Any]) -> None:
        """Append values."""
        self._stream.write(np.ascontiguousarray(values, self._dtype).data)
        self.rows += len(values)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.seek(0)
        self._header()
        self._stream.close()


class Sorter:
    """Sorts any number of uint64 values, dropping repetitions, within about `memory` bytes.

    Args:
        folder: for sorted runs; created.
        memory: bytes to use.
    """

    def __init__(self, folder: Path, memory: int) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._room = max(1024, memory // 32)
        self._waiting: list[U64] = []
        self._values = 0
        self._runs: list[Path] = []

    def add(self, values: U64) -> None:
        """Take values."""
        if len(values):
            self._waiting.append(values)
            self._values += len(values)
            if self._values >= self._room:
                self._flush()

    def _flush(self) -> None:
        if self._waiting:
            run = np.unique(np.concatenate(self._waiting))
            self._runs.append(self._folder / f"{len(self._runs)}.npy")
            np.save(self._runs[-1], run)
            self._waiting, self._values = [], 0

    def sorted(self) -> Iterator[U64]:
        """All values in order, each once, in blocks."""
        self._flush()
        runs = [open_array(path) for path in self._runs]
        step = max(64, self._room // max(1, len(runs)))
        at = [0] * len(runs)
        while True:
            alive = [i for i, run in enumerate(runs) if at[i] < len(run)]
            if not alive:
                return
            # everything up to the smallest last value of the blocks in reach is complete
            border = min(runs[i][min(at[i] + step, len(runs[i])) - 1] for i in alive)
            blocks = []
            for i in alive:
                block = runs[i][at[i] : at[i] + step]
                taken = int(np.searchsorted(block, border, side="right"))
                blocks.append(np.asarray(block[:taken]))
                at[i] += taken
            yield np.unique(np.concatenate(blocks))

    def save(self, path: Path) -> int:
        """Write all values in order to a `.npy` file; how many."""
        with ArrayWriter(path, np.uint64) as writer:
            for block in self.sorted():
                writer.write(block)
        return writer.rows


def hash_range(unit: int, units: int) -> tuple[int, int]:
    """The hashes [first, end) of partition `unit` of `units`, by leading bits; end may be 2^64."""
    return -(-unit * 2**64 // units), -(-(unit + 1) * 2**64 // units)


def search(values: npt.NDArray[Any], bound: int) -> int:
    """Index of the first of sorted uint64 values that is at least `bound` (which may be 2^64)."""
    return len(values) if bound >= 2**64 else int(np.searchsorted(values, np.uint64(bound)))
