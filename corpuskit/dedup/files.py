"""Arrays on disk that are read by position and never mapped: what a stage holds of them is what it asked for.

A memory map counts as resident memory while it is touched and as address space while it is open; reads do neither.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from corpuskit.core.work import Part

I64 = npt.NDArray[np.int64]

WINDOW_BYTES = 1 << 24
"""The most that `gather` reads at a time beyond what it returns."""

SPARSE_BYTES = 1 << 13
"""Rows that lie further apart than this on average are read one by one."""


def borders(groups: I64) -> list[int]:
    """Where runs of equal numbers begin, and the end; nothing of nothing."""
    return np.flatnonzero(np.diff(groups, prepend=-1, append=-1)).tolist() if len(groups) else []


class ArrayFile:
    """A `.npy` file in C order.

    Args:
        path: of the file. check: is given the first and the end of bytes before they are read.

    Attributes:
        shape, dtype: of the array.

    Raises:
        ValueError: not such a file, or one that was cut short.
    """

    def __init__(self, path: Path, check: Callable[[int, int], None] | None = None) -> None:
        self._path, self._check = path, check
        if check is not None:
            check(0, 1)
        with path.open("rb") as stream:
            if np.lib.format.read_magic(stream) != (1, 0):
                raise ValueError(f"{path}: not a .npy file of version 1.0")
            self.shape, fortran, self.dtype = np.lib.format.read_array_header_1_0(stream)
            if fortran and len(self.shape) > 1:
                raise ValueError(f"{path}: not in C order")
            self._start = stream.tell()
        self._row_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))
        if path.stat().st_size < self._start + len(self) * self._row_bytes:
            raise ValueError(f"{path}: shorter than its header says")

    @classmethod
    def of(cls, part: Part) -> Self:
        """A part that is such a file, of which as much is checked as is read.

        Raises:
            DamagedFile: it is not what was committed; also later, when it is read.
        """
        return cls(*part.ranges())

    def __len__(self) -> int:
        return int(self.shape[0])

    def read(self, first: int = 0, end: int | None = None) -> npt.NDArray[Any]:
        """Rows first to end, or to the last, in new memory."""
        end = len(self) if end is None else min(end, len(self))
        result = np.empty((max(0, end - first), *self.shape[1:]), self.dtype)
        if result.nbytes:
            with self._open() as descriptor:
                self._fill(descriptor, result, first)
        return result

    @contextlib.contextmanager
    def _open(self) -> Iterator[int]:
        # only while it is read: a stage may have more files than a process may have open
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _fill(self, descriptor: int, rows: npt.NDArray[Any], first: int) -> None:
        view, at = rows.reshape(-1).view(np.uint8).data, self._start + first * self._row_bytes
        if self._check is not None:
            self._check(at, at + len(view))
        while view:
            count = os.preadv(descriptor, [view], at)
            if count == 0:
                raise EOFError(f"{self._path}: shorter than its header says")
            view, at = view[count:], at + count

    def gather(self, rows: I64) -> npt.NDArray[Any]:
        """The given rows, in their order: [len(rows), ...]."""
        if len(rows) > 1 and (rows[1:] < rows[:-1]).any():
            order = np.argsort(rows)
            result = np.empty((len(rows), *self.shape[1:]), self.dtype)
            result[order] = self.gather(rows[order])
            return result
        result = np.empty((len(rows), *self.shape[1:]), self.dtype)
        with self._open() as descriptor:
            self._gather(descriptor, rows, result)
        return result

    def _gather(self, descriptor: int, rows: I64, result: npt.NDArray[Any]) -> None:
        window = rows // max(1, WINDOW_BYTES // max(1, self._row_bytes))
        starts = borders(window)
        for first, last in itertools.pairwise(starts):
            low, high = int(rows[first]), int(rows[last - 1]) + 1
            if (high - low) * self._row_bytes <= (last - first) * SPARSE_BYTES:
                block = np.empty((high - low, *self.shape[1:]), self.dtype)
                self._fill(descriptor, block, low)
                result[first:last] = block[rows[first:last] - low]
            else:
                for i in range(first, last):
                    self._fill(descriptor, result[i : i + 1], int(rows[i]))

    def search(self, bound: int) -> int:
        """Index of the first of sorted uint64 values that is at least `bound` (which may be 2^64)."""
        low, high = 0, len(self)
        value = np.zeros(1, self.dtype)
        with self._open() as descriptor:
            while low < high:
                middle = (low + high) // 2
                self._fill(descriptor, value, middle)
                if int(value[0]) < bound:
                    low = middle + 1
                else:
                    high = middle
        return low

    def find(self, values: npt.NDArray[np.uint64], block: int = 1 << 18) -> I64:
        """The index of each of sorted values in this file of sorted values, or -1."""
        found = np.full(len(values), -1, np.int64)
        if not len(values):
            return found
        at, end = self.search(int(values[0])), self.search(int(values[-1]) + 1)
        if len(values) * 4096 < end - at:  # a few searches cost less than reading all between
            for i, value in enumerate(values):
                place = self.search(int(value))
                if place < len(self) and self.read(place, place + 1)[0] == value:
                    found[i] = place
            return found
        while at < end:
            mine = self.read(at, min(end, at + block))
            first, last = np.searchsorted(values, mine[0]), np.searchsorted(values, mine[-1], side="right")
            places = np.minimum(np.searchsorted(mine, values[first:last]), len(mine) - 1)
            same = mine[places] == values[first:last]
            found[first:last][same] = places[same] + at
            at += len(mine)
        return found


class ArrayWriter:
    """Writes a `.npy` file by appending.

    Args:
        path: of the file. dtype: of the array. columns: its shape but for the first axis.
    """

    def __init__(self, path: Path, dtype: type[np.generic], columns: tuple[int, ...] = ()) -> None:
        self._dtype, self._columns = np.dtype(dtype), columns
        self._stream = path.open("wb")
        self.rows = 0
        self._header()

    def _header(self) -> None:
        # numpy pads headers so that the length of the first axis can be rewritten in place
        description = {"descr": self._dtype.str, "fortran_order": False, "shape": (self.rows, *self._columns)}
        np.lib.format.write_array_header_1_0(self._stream, description)

    def write(self, values: npt.NDArray[Any]) -> None:
        """Append rows."""
        if values.size:
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


class Scatter:
    """Writes a one-dimensional `.npy` file of known length by position, in windows.

    Args:
        path: of the file; created, all zeros.
        dtype, length: of the array.
    """

    def __init__(self, path: Path, dtype: type[np.generic], length: int) -> None:
        self._dtype = np.dtype(dtype)
        self._stream = path.open("w+b")
        description = {"descr": self._dtype.str, "fortran_order": False, "shape": (length,)}
        np.lib.format.write_array_header_1_0(self._stream, description)
        self._start = self._stream.tell()
        self._stream.truncate(self._start + length * self._dtype.itemsize)

    def put(self, places: I64, values: npt.NDArray[Any]) -> None:
        """Set the values at distinct places."""
        order = np.argsort(places)
        places, values = places[order], values[order].astype(self._dtype)
        window = places // (WINDOW_BYTES // self._dtype.itemsize)
        starts = borders(window)
        for first, last in itertools.pairwise(starts):
            low, high = int(places[first]), int(places[last - 1]) + 1
            at = self._start + low * self._dtype.itemsize
            block = np.empty(high - low, self._dtype)
            if last - first < len(block):
                self._stream.seek(at)
                self._stream.readinto(block.view(np.uint8).data)
            block[places[first:last] - low] = values[first:last]
            self._stream.seek(at)
            self._stream.write(block.data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
