"""External sorting of uint64 values, with or without something that belongs to each.

A pair of documents is one uint64: the rank of the one of lower priority in the upper half, that of the other in the
lower, so that sorted pairs come in the order in which the choice is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpuskit.dedup.files import ArrayFile, ArrayWriter
from corpuskit.kernels.radix import radix_sort, radix_sort_with

U64 = npt.NDArray[np.uint64]
Run = tuple[ArrayFile, ArrayFile | None]


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


def _first_of_each(values: U64, payload: npt.NDArray[Any] | None) -> tuple[U64, npt.NDArray[Any] | None]:
    """Sort values and drop repetitions; of the payloads of one value, which are equal, one stays."""
    if payload is None:
        values = radix_sort(values)
    else:
        values, payload = radix_sort_with(values, payload)
    new = np.ones(len(values), np.bool_)
    new[1:] = values[1:] != values[:-1]
    if new.all():
        return values, payload
    return values[new], None if payload is None else payload[new]


def merge(runs: Sequence[Run], room: int) -> Iterator[tuple[U64, npt.NDArray[Any] | None]]:
    """Merge sorted files into sorted blocks of about half of `room` values, without repetitions."""
    waiting: list[tuple[U64, npt.NDArray[Any] | None]] = []
    size = 0
    for values, payload in _merge(runs, room // 2):
        waiting.append((values, payload))
        size += len(values)
        if size >= room // 2:
            yield _join(waiting)
            waiting, size = [], 0
    if waiting:
        yield _join(waiting)


def _join(blocks: list[tuple[U64, npt.NDArray[Any] | None]]) -> tuple[U64, npt.NDArray[Any] | None]:
    payload = [extra for _, extra in blocks if extra is not None]
    return np.concatenate([values for values, _ in blocks]), np.concatenate(payload) if payload else None


def _merge(runs: Sequence[Run], room: int) -> Iterator[tuple[U64, npt.NDArray[Any] | None]]:
    step = max(64, room // max(1, len(runs)))
    at = [0] * len(runs)
    held: list[tuple[U64, npt.NDArray[Any] | None]] = [(np.zeros(0, np.uint64), None)] * len(runs)
    while True:
        for i, (values, payload) in enumerate(runs):
            if not len(held[i][0]) and at[i] < len(values):
                end = min(len(values), at[i] + step)
                held[i] = values.read(at[i], end), None if payload is None else payload.read(at[i], end)
                at[i] = end
        alive = [i for i, (block, _) in enumerate(held) if len(block)]
        if not alive:
            return
        # everything up to the smallest last value of the blocks in reach is complete
        border = min(held[i][0][-1] for i in alive)
        values_found, payload_found = [], []
        for i in alive:
            block, extra = held[i]
            taken = int(np.searchsorted(block, border, side="right"))
            values_found.append(block[:taken])
            if extra is not None:
                payload_found.append(extra[:taken])
            held[i] = block[taken:], None if extra is None else extra[taken:]
        yield _first_of_each(np.concatenate(values_found), np.concatenate(payload_found) if payload_found else None)


class Sorter:
    """Sorts any number of uint64 values, dropping repetitions, within about `memory` bytes.

    Args:
        folder: for sorted runs; created.
        memory: bytes to use.
        payload: dtype of what belongs to each value; a repeated value must come with the same.
    """

    def __init__(self, folder: Path, memory: int, payload: type[np.generic] | None = None) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._room = max(1024, memory // (48 if payload else 32))
        self._payload = payload
        self._waiting: list[U64] = []
        self._extra: list[npt.NDArray[Any]] = []
        self._values = 0
        self._runs: list[Run] = []

    def add(self, values: U64, payload: npt.NDArray[Any] | None = None) -> None:
        """Take values."""
        if len(values):
            self._waiting.append(values)
            if payload is not None:
                self._extra.append(payload)
            self._values += len(values)
            if self._values >= self._room:
                self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        path = self._folder / f"{len(self._runs)}.npy"
        extra = np.concatenate(self._extra) if self._payload else None
        run, extra = _first_of_each(np.concatenate(self._waiting), extra)
        np.save(path, run)
        beside = None
        if extra is not None:
            np.save(path.with_suffix(".extra.npy"), extra)
            beside = ArrayFile(path.with_suffix(".extra.npy"))
        self._runs.append((ArrayFile(path), beside))
        self._waiting, self._extra, self._values = [], [], 0

    def blocks(self) -> Iterator[tuple[U64, npt.NDArray[Any] | None]]:
        """All values in order, each once, with what belongs to them."""
        if not self._runs:  # it all fits: no file is needed
            if self._waiting:
                extra = np.concatenate(self._extra) if self._payload else None
                yield _first_of_each(np.concatenate(self._waiting), extra)
            return
        self._flush()
        yield from merge(self._runs, self._room)

    def sorted(self) -> Iterator[U64]:
        """All values in order, each once, in blocks."""
        return (values for values, _ in self.blocks())

    def save(self, path: Path, payload_path: Path | None = None) -> int:
        """Write all values in order to a `.npy` file, and what belongs to them to another; how many."""
        if payload_path is None:
            with ArrayWriter(path, np.uint64) as writer:
                for values in self.sorted():
                    writer.write(values)
            return writer.rows
        assert self._payload is not None
        with ArrayWriter(path, np.uint64) as writer, ArrayWriter(payload_path, self._payload) as beside:
            for values, extra in self.blocks():
                writer.write(values)
                assert extra is not None
                beside.write(extra)
        return writer.rows
