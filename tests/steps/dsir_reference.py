"""DSIR's word counts as its authors make them, text by text, in buckets by SHA-256 (arXiv:2302.03169)."""

import hashlib
import re
from functools import lru_cache
from itertools import pairwise

import numpy as np

BUCKETS = 10_000


def ngram_counts(text):
    """Counts of hashed words and pairs of neighbours, int64 (10,000,); words are runs of letters or of punctuation."""
    words = re.findall(r"\w+|[^\w\s]+", text.lower())
    grams = [_bucket(gram) for gram in [*words, *(" ".join(pair) for pair in pairwise(words))]]
    return np.bincount(np.array(grams, np.int64), minlength=BUCKETS)


@lru_cache(maxsize=1 << 16)
def _bucket(gram):
    return int.from_bytes(hashlib.sha256(gram.encode("utf-8", "surrogatepass")).digest()) % BUCKETS
