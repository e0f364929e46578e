"""How many shingles of a document occur in one document of an index, at most."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def best_overlap(hashes: Any, offsets: Any, keys: Any, owners: Any, heads: Any, shift: Any, documents: Any) -> Any:
    """Largest number of shingles that each document shares with one indexed document.

    Args:
        hashes, offsets: distinct shingle hashes of n documents, uint64[offsets[n]], int64[n + 1].
        keys, owners: hashes of the index, sorted, uint64[m], and the indexed document of each, int32[m].
        heads: for each value of `key >> shift`, where its keys begin, int64[2 ** bits + 1].
        shift: 64 - bits, uint64.
        documents: number of indexed documents.

    Returns:
        int64[n].
    """
    rows = len(offsets) - 1
    best = np.zeros(rows, np.int64)
    shared = np.zeros(documents, np.int64)
    touched = np.empty(documents, np.int64)
    for row in range(rows):
        count = 0
        for i in range(offsets[row], offsets[row + 1]):
            key = hashes[i]
            bucket = np.int64(key >> shift)
            for at in range(heads[bucket], heads[bucket + 1]):
                if keys[at] > key:
                    break
                if keys[at] == key:
                    owner = owners[at]
                    if shared[owner] == 0:
                        touched[count] = owner
                        count += 1
                    shared[owner] += 1
        for k in range(count):
            best[row] = max(best[row], shared[touched[k]])
            shared[touched[k]] = 0
    return best
