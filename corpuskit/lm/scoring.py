"""Scores texts under a model of an ARPA file, faster than by way of kenlm and equal within 1e-4."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpuskit.core.batch import KERNEL_PADDING, utf8
from corpuskit.kernels.backoff import HIGHEST, count_tokens, enter, knows, score
from corpuskit.kernels.hashing import hash_piece
from corpuskit.lm.reading import read_sections, read_sizes

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
def load_arpa(path: Path, _digest: str = "") -> Model | None:
    """Load an ARPA file of order 2 to 6, once in a process for each content; None if it is not as lmplz writes it.

    Other files (a kenlm binary, what was compressed, numbers with exponents, models without `<unk>` or in which an
    n-gram lacks a shorter one) are for kenlm, which knows what to do with each or says what is wrong. In one respect
    the kernel is not like it: `<UNK>` in an ARPA file is a word, where kenlm takes its values for those of `<unk>`.
    """
    with path.open("rb") as stream:
        sizes = read_sizes(stream)
        # more n-grams than bytes cannot be
        if sizes is None or not 2 <= len(sizes) <= HIGHEST or sum(sizes) > path.stat().st_size:
            return None
        entries = np.zeros(2 * (int(sum(sizes) / LOAD) + 64), np.uint64)
        order = len(sizes)
        if not read_sections(stream, sizes, lambda data, end, n, count: enter(data, end, n, count, order, entries)):
            return None
    padded = [np.frombuffer(word + bytes(KERNEL_PADDING), np.uint8) for word in SPECIALS]
    hashes = [hash_piece(one, 0, len(word)) for one, word in zip(padded, SPECIALS, strict=True)]
    model = Model(order, entries, np.array(hashes, np.uint64))
    return model if all(knows(entries, one) for one in model.specials) else None


def count(texts: pa.Array) -> npt.NDArray[np.int64]:
    """Words of texts, and ends of their lines with a word: int64[n]."""
    data, offsets = utf8(texts)
    tokens = np.zeros(len(offsets) - 1, np.int64)
    count_tokens(data, offsets, tokens)
    return tokens
