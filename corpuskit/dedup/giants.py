"""The exact similarity of documents that are too large for their shingle sets to be in memory."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from corpuskit.kernels.shingle import shingle_part
from corpuskit.steps.lsh import Minhash

I64 = npt.NDArray[np.int64]


class Documents(Protocol):
    """What reads texts; see `corpuskit.dedup.verify.Verifier`."""

    params: Minhash
    memory: int

    def text(self, number: int) -> pa.Array:
        """The text of one document, string[1]."""


def giant_jaccard(documents: Documents, giant: int, others: I64) -> npt.NDArray[np.float64]:
    """Jaccard similarity of a document with others, float64[n]; the result does not depend on `documents.memory`.

    Hashes are compared by their leading bits, a part of them at a time: each text is shingled once for each part.
    """
    unit, n = documents.params.unit, documents.params.n
    one = documents.text(giant)
    longest = len(one[0].as_buffer())
    bits = max(0, (16 * longest // (documents.memory // 6)).bit_length())
    sizes, common = np.zeros((len(others), 2), np.int64), np.zeros(len(others), np.int64)
    for part in range(1 << bits):
        mine = shingle_part(one, unit, n, part, bits)
        for k, other in enumerate(others.tolist()):
            theirs = shingle_part(documents.text(other), unit, n, part, bits)
            sizes[k] += len(mine), len(theirs)
            common[k] += _common(mine, theirs)
    result: npt.NDArray[np.float64] = common / (sizes.sum(axis=1) - common)
    return result


@njit(nogil=True, cache=True)
def _common(one, two):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """How many values two sorted arrays of distinct ones have in common."""
    i, j, found = 0, 0, 0
    while i < len(one) and j < len(two):
        found += one[i] == two[j]
        one_first, two_first = one[i] <= two[j], two[j] <= one[i]
        i += one_first
        j += two_first
    return found
