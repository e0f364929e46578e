"""The sample of a corpus that a tokenizer is trained on: documents by hash, bounded in bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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

    Depends on the documents alone, but for the order in which they are given. Memory: about 50 bytes a document while
    they are put in order, 8 from then on, and a batch.

    Args:
        batches: gives the documents, columns `doc` and `text`, each time that it is called, in one order.
        budget: UTF-8 bytes of text to take.
    """

    def __init__(self, batches: Callable[[], Iterator[pa.RecordBatch]], budget: int) -> None:
        self._batches = batches
        hashes, sizes = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
        for batch in batches():
            hashes.append(scrambled(_ids(batch)))
            sizes.append(text_bytes(batch.column("text")).astype(np.int64))
        taken = np.concatenate(sizes)  # bytes of each document
        order = np.argsort(np.concatenate(hashes), kind="stable")  # no two are equal: `scrambled` is one to one
        total = np.cumsum(taken[order])
        last = int(np.searchsorted(total, budget))
        if last < len(order):
            taken[order[last]] -= total[last] - budget
        taken[order[last + 1 :]] = 0
        self._taken = taken

    def __iter__(self) -> Iterator[str]:
        first = 0
        for batch in self._batches():
            taken, texts = self._taken[first : first + batch.num_rows], batch.column("text")
            first += batch.num_rows
            for row in np.flatnonzero(taken).tolist():
                yield texts[row].as_buffer().to_pybytes()[: taken[row]].decode(errors="ignore")


def _ids(batch: pa.RecordBatch) -> npt.NDArray[np.uint64]:
    return np.asarray(batch.column("doc").to_numpy(zero_copy_only=False), np.uint64)


def scrambled(ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scramble document numbers, whose bits say where a document comes from (finalizer of SplitMix64)."""
    value = ids + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
