"""How fast DSIR's features are: a table of MB (1e6 bytes) per CPU-second of one thread, plain Python beside it.

Run it on a machine that does nothing else: `python tests/benchmarks/bench_importance.py [MB]`. The texts are those of
`bench_kernels.py`, its figures the median of three rounds by `time.thread_time` after a warm-up. The peer is the
arithmetic of DSIR's reference (`re` for the words, SHA-256 of each word and pair, remembered), over fewer of the same
documents; `counts` makes the 10,000 counts of a corpus, `scores` one number for each document.
"""

from __future__ import annotations

import hashlib
import re
import sys
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from bench_kernels import PEER_BYTES, corpora, rate

from corpuskit.kernels.ngrams import BUCKETS, gram_counts, gram_sums

COLUMNS = ("text", "MB", "counts", "scores", "Python counts", "Python scores", "times")


@lru_cache(maxsize=1 << 16)
def bucket(gram: str) -> int:
    """The bucket of a word or pair, as the reference has it."""
    return int.from_bytes(hashlib.sha256(gram.encode("utf-8", "surrogatepass")).digest()) % BUCKETS


def peer(text: str) -> npt.NDArray[np.int64]:
    """Counts of one text in plain Python."""
    words = re.findall(r"\w+|[^\w\s]+", text.lower())
    grams = [bucket(gram) for gram in [*words, *(" ".join(pair) for pair in pairwise(words))]]
    return np.bincount(np.array(grams, np.int64), minlength=BUCKETS)


def measured(texts: list[str]) -> list[float]:
    """One row of the table."""
    column = pa.array(texts, pa.large_string())
    size = sum(len(text.encode()) for text in texts)
    ratios = np.random.default_rng(0).normal(0, 1, BUCKETS)
    few = texts[: max(1, PEER_BYTES * len(texts) // size)]
    few_size = sum(len(text.encode()) for text in few)
    counts = rate(lambda: gram_counts(column), size)
    scores = rate(lambda: gram_sums(column, ratios), size)
    peer_counts = rate(lambda: sum(map(peer, few)), few_size)
    peer_scores = rate(lambda: [peer(text) @ ratios for text in few], few_size)
    return [size / 1e6, counts, scores, peer_counts, peer_scores, scores / peer_scores]


def main() -> None:
    """Print the table."""
    megabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 8.0
    print(f"{COLUMNS[0]:26}" + "".join(f"{name:>15}" for name in COLUMNS[1:]))
    for name, texts in corpora(megabytes):
        print(f"{name:26}" + "".join(f"{value:15.1f}" for value in measured(texts)))


if __name__ == "__main__":
    main()
