"""Numbers on disk, one after the other: what is held of them is what was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 1 << 19
"""Numbers that are read, worked on and written at a time."""


class Column:
    """A file of numbers of one type, written by appending and read by position.

    Args:
        path: of the file; created, and empty.
        dtype: of the numbers.
    """

    def __init__(self, path: Path, dtype: type[np.generic]) -> None:
        self._path, self._dtype = path, np.dtype(dtype)
        self._size = 0
        path.write_bytes(b"")

    def __len__(self) -> int:
        return self._size

    def append(self, values: npt.NDArray[Any]) -> None:
        """Write numbers behind the last."""
        self.write(self._size, values)

    def write(self, first: int, values: npt.NDArray[Any]) -> None:
        """Write numbers from position `first` on, which is not beyond the end."""
        # open only while it is written: a model has more files than a process may have open
        with self._path.open("r+b") as stream:
            stream.seek(first * self._dtype.itemsize)
            stream.write(np.ascontiguousarray(values, self._dtype).data)
        self._size = max(self._size, first + len(values))

    def read(self, first: int, end: int) -> npt.NDArray[Any]:
        """Numbers from position `first` to before `end`, in new memory."""
        result = np.empty(max(0, min(end, self._size) - first), self._dtype)
        if result.nbytes:
            with self._path.open("rb") as stream:
                stream.seek(first * self._dtype.itemsize)
                if stream.readinto(result.data) < result.nbytes:
                    raise EOFError(f"{self._path}: shorter than what was written to it")
        return result

    def picked(self, places: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Numbers at positions that do not fall."""
        if not len(places):
            return np.empty(0, self._dtype)
        first = int(places[0])
        result: npt.NDArray[Any] = self.read(first, int(places[-1]) + 1)[places.astype(np.int64) - first]
        return result

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """All numbers in blocks, each with its first position."""
        for first in range(0, self._size, size):
            yield first, self.read(first, first + size)

    def remove(self) -> None:
        """Delete the file."""
        self._path.unlink()
