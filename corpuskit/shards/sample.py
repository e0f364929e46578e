"""The sample of a corpus that a tokenizer is trained on: documents by hash, bounded in bytes."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpuskit.core.batch import text_bytes
from corpuskit.shards.kinds import DRAWN

HASHES = 1 << 64


def drawn(ids: npt.NDArray[np.uint64], budget: int, total: int) -> npt.NDArray[np.bool_]:
    """Which documents of a domain of `total` bytes can be in a sample of `budget` bytes, bool[n]; all, if it is small.

    These are about `DRAWN` times as many as are wanted, of which `Sample` takes the first by hash.
    """
    limit = min(HASHES, int(DRAWN * HASHES * budget / max(1, total)))
    return scrambled(ids) <= np.uint64(limit - 1) if limit else np.zeros(len(ids), np.bool_)


class Sample:
    """The documents of one domain with the smallest hashes, up to a number of bytes; the last one is cut to fit.

    Depends on the documents alone, not on their order or batches; memory is the budget and one batch.

    Args:
        budget: UTF-8 bytes of text to keep.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._heap: list[tuple[int, int, bytes]] = []
        self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Consider the documents of a batch with the columns `doc` and `text`."""
        ids = batch.column("doc").to_numpy(zero_copy_only=False).astype(np.uint64)
        hashes, sizes = scrambled(ids), text_bytes(batch.column("text"))
        candidates = np.flatnonzero(sizes > 0)
        if self._bytes >= self.budget:
            worst = -self._heap[0][0] if self._heap else -1
            candidates = candidates[hashes[candidates] <= max(worst, 0)]
        for row in candidates.tolist():
            text: bytes = batch.column("text")[row].as_buffer().to_pybytes()
            heapq.heappush(self._heap, (-int(hashes[row]), -int(ids[row]), text))
            self._bytes += len(text)
            while self._heap and self._bytes - len(self._heap[0][2]) >= self.budget:
                self._bytes -= len(heapq.heappop(self._heap)[2])

    def __iter__(self) -> Iterator[str]:
        left = self.budget
        for _, _, text in sorted(self._heap, key=lambda item: (-item[0], -item[1])):
            yield text[:left].decode(errors="ignore")
            left -= len(text)


def scrambled(ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scramble document numbers, whose bits say where a document comes from (finalizer of SplitMix64)."""
    value = ids + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
