"""An external sort: records by key, through sorted runs on disk, in bounded memory. Payloads are JSON."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BUFFER_BYTES = 64 << 20
FAN_IN = 64
"""Runs merged at once: bounds open files and their read buffers."""

Key = tuple[int, ...]


class SortedRuns:
    """Takes (key, payload) in any order and gives them by key; keys are unique, so that the order is total.

    Args:
        folder: scratch; the caller removes it.
        buffer_bytes: memory for what waits to be sorted; has no influence on the result.
    """

    def __init__(self, folder: Path, buffer_bytes: int = BUFFER_BYTES) -> None:
        self._folder = folder
        self._limit = buffer_bytes
        self._waiting: list[tuple[Key, Any]] = []
        self._size = 0
        self._levels: list[list[Path]] = [[]]
        self._written = 0

    def add(self, key: Key, payload: Any, size: int) -> None:
        """Take one record of about `size` bytes."""
        self._waiting.append((key, payload))
        self._size += size + 200
        if self._size >= self._limit:
            self._levels[0].append(self._write(iter(self._sorted())))
            self._compact()

    def __iter__(self) -> Iterator[tuple[Key, Any]]:
        runs = [_read(path) for level in self._levels for path in level]
        return heapq.merge(*runs, self._sorted(), key=lambda record: record[0])

    def _sorted(self) -> list[tuple[Key, Any]]:
        waiting, self._waiting, self._size = self._waiting, [], 0
        waiting.sort(key=lambda record: record[0])
        return waiting

    def _compact(self) -> None:
        """Merge a full level of runs into one of the next level."""
        for number in range(len(self._levels)):
            level = self._levels[number]
            if len(level) < FAN_IN:
                return
            merged = self._write(heapq.merge(*map(_read, level), key=lambda record: record[0]))
            for path in level:
                path.unlink()
            self._levels[number] = []
            if number + 1 == len(self._levels):
                self._levels.append([])
            self._levels[number + 1].append(merged)

    def _write(self, records: Iterator[tuple[Key, Any]]) -> Path:
        path = self._folder / f"run{self._written}"
        self._written += 1
        with path.open("wb") as stream:
            for record in records:
                stream.write(json.dumps(record).encode() + b"\n")
        return path


def _read(path: Path) -> Iterator[tuple[Key, Any]]:
    with path.open("rb") as stream:
        for line in stream:
            key, payload = json.loads(line)  # ids have as many digits as they like
            yield tuple(key), payload
