"""How fast DSIR's features are: MB (1e6 bytes) per CPU-second of one thread, the authors' package beside them.

Run it on a machine that does nothing else: `python tests/benchmarks/bench_importance.py [MB]`. The texts are those of
`bench_kernels.py`, its figures the median of three rounds by `time.thread_time` after a warm-up. The peer
(`pip install data-selection 'nltk<3.10'`) scores fewer of the same documents, as does `hash: reference`, in the same
buckets as the peer, which is asserted. `counts` makes the 10,000 counts of a corpus, `scores` one number for each
document.
"""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
from bench_kernels import PEER_BYTES, corpora, rate
from data_selection.hashed_ngram_dsir import get_ngram_counts

from corpuskit.kernels.ngrams import BUCKETS, gram_counts, gram_sums
from corpuskit.steps import dsir_buckets

COLUMNS = ("text", "MB", "counts", "scores", "reference", "data-selection", "times")


def measured(texts: list[str]) -> list[float]:
    """One row of the table."""
    column = pa.array(texts, pa.large_string())
    size = sum(len(text.encode()) for text in texts)
    ratios = np.random.default_rng(0).normal(0, 1, BUCKETS)
    few = texts[: max(1, PEER_BYTES * len(texts) // size)]
    few_size = sum(len(text.encode()) for text in few)
    assert (dsir_buckets.gram_counts(pa.array(few)) == sum(map(get_ngram_counts, few))).all()
    counts = rate(lambda: gram_counts(column), size)
    scores = rate(lambda: gram_sums(column, ratios), size)
    reference = rate(lambda: dsir_buckets.gram_sums(pa.array(few), ratios), few_size)
    peer = rate(lambda: [get_ngram_counts(text) @ ratios for text in few], few_size)
    return [size / 1e6, counts, scores, reference, peer, scores / peer]


def main() -> None:
    """Print the table."""
    megabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 8.0
    print(f"{COLUMNS[0]:26}" + "".join(f"{name:>15}" for name in COLUMNS[1:]))
    for name, texts in corpora(megabytes):
        print(f"{name:26}" + "".join(f"{value:15.1f}" for value in measured(texts)))


if __name__ == "__main__":
    main()
