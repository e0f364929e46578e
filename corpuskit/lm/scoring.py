"""Scores texts under a model that `corpuskit.lm.estimate` wrote, faster than by way of kenlm and equal within 1e-4."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpuskit.core.batch import KERNEL_PADDING, utf8
from corpuskit.kernels.backoff import count_tokens, enter, score
from corpuskit.kernels.hashing import hash_piece

LOAD = 0.7
"""The share of the table that is in use: 23 bytes of memory for each n-gram."""

SPECIALS = (b"<unk>", b"<s>", b"</s>")


@dataclass(frozen=True)
class Scores:
    """Of n documents.

    Attributes:
        totals: sums of log10 probabilities, float64[n]. tokens: words and ends of lines, int64[n].
        runs: (sum, tokens) of each run of words, float64[r, 2]. ends: int64[n + 1], where a document's runs begin.
    """

    totals: npt.NDArray[np.float64]
    tokens: npt.NDArray[np.int64]
    runs: npt.NDArray[np.float64]
    ends: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Model:
    """N-grams in memory: see `corpuskit.kernels.backoff`."""

    order: int
    entries: npt.NDArray[np.uint64]
    specials: npt.NDArray[np.uint64]

    def score(self, texts: pa.Array, window: int = 0) -> Scores:
        """Score texts, a string array[n]; a null is an empty text.

        Args:
            texts: each line with a word is a sentence, in words between ASCII white space.
            window: words of a run; 0: none.
        """
        data, offsets = utf8(texts)
        rows = len(offsets) - 1
        totals, tokens = np.zeros(rows), np.zeros(rows, np.int64)
        most = (int(offsets[-1]) // 2 + 1) // window + 2 * rows if window else 0
        runs, ends = np.zeros((most, 2)), np.zeros(rows + 1, np.int64)
        score(data, offsets, self.entries, self.order, self.specials, window, totals, tokens, runs, ends)
        return Scores(totals, tokens, runs[: ends[-1]], ends)


@functools.lru_cache(maxsize=4)
def load_estimated(path: Path) -> Model:
    """Load an ARPA file that `estimate` wrote, of order 2 and more; once in a process."""
    data = np.concatenate([np.fromfile(path, np.uint8), np.zeros(KERNEL_PADDING, np.uint8)])
    head, _, _ = data[:4096].tobytes().partition(b"\n\n")
    sizes = [int(line.partition(b"=")[2]) for line in head.split(b"\n")[1:]]
    entries = np.zeros(2 * (int(sum(sizes) / LOAD) + 64), np.uint64)
    at = len(head) + 2
    for n, size in enumerate(sizes, start=1):
        at += len(f"\\{n}-grams:\n")
        at = enter(data, at, n, size, entries) + 1
    padded = [np.frombuffer(word + bytes(KERNEL_PADDING), np.uint8) for word in SPECIALS]
    hashes = [hash_piece(one, 0, len(word)) for one, word in zip(padded, SPECIALS, strict=True)]
    return Model(len(sizes), entries, np.array(hashes, np.uint64))


def count(texts: pa.Array) -> npt.NDArray[np.int64]:
    """Words of texts, and ends of their lines with a word: int64[n]."""
    data, offsets = utf8(texts)
    tokens = np.zeros(len(offsets) - 1, np.int64)
    count_tokens(data, offsets, tokens)
    return tokens
