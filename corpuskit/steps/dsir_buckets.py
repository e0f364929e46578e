r"""Words and pairs in the buckets of the package `data-selection`, of DSIR's authors: SHA-256 modulo 10,000.

Words are those of `corpuskit.kernels.ngrams`, `\w+|[^\w\s]+` of the lower-cased text, which is NLTK's
WordPunctTokenizer with Python's `re` (NLTK up to 3.9; 3.10 has another engine, which takes characters such as `¹` for
punctuation). A pair is its words with a blank between.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import pyarrow as pa

BUCKETS = 10_000

_WORD = re.compile(r"\w+|[^\w\s]+")


def _bucket(gram: str) -> int:
    return int.from_bytes(sha256(gram.encode()).digest()) % BUCKETS


def _buckets(text: str) -> Iterator[int]:
    """The bucket of each word, and of each pair behind its second word."""
    before = ""
    for found in _WORD.finditer(text.lower()):
        word = found[0]
        yield _bucket(word)
        if before:
            yield _bucket(f"{before} {word}")
        before = word


def gram_counts(column: pa.Array) -> npt.NDArray[np.int64]:
    """How many words and pairs of neighbours all rows of a string column have in each bucket: int64[10000]."""
    counts = [0] * BUCKETS
    for text in column:
        for bucket in _buckets(text.as_py() or ""):
            counts[bucket] += 1
    return np.array(counts, np.int64)


def gram_sums(column: pa.Array, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The sum of `values`, float64[10000], over the words and pairs of each row: float64[n], NaN without a word."""
    by_bucket = values.tolist()
    return np.array([_sum(text.as_py() or "", by_bucket) for text in column], np.float64)


def _sum(text: str, values: list[float]) -> float:
    total, some = 0.0, False
    for bucket in _buckets(text):
        total += values[bucket]
        some = True
    return total if some else float("nan")
