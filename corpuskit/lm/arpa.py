"""Writes a model as ARPA, which kenlm and others read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpuskit.kernels.language_model import arpa_lines
from corpuskit.lm.columns import Column
from corpuskit.lm.counting import U32, Order, kept

LINES = 1 << 16
"""N-grams that are written at a time."""

LEAST = 1e-99
"""In place of 0, which has no logarithm, as in SRILM: of `<unk>`, where the discounts of words come out as 0."""

NUMBERS = 44
"""Bytes that the numbers, tabs and the end of a line need, at most."""


@dataclass(frozen=True)
class Model:
    """A model on disk.

    Attributes:
        orders: the n-grams. thresholds: counts up to which they are pruned. sizes: how many are not.
        chances: probabilities of each order. backoffs: the shares that lower orders get, of each order but the last.
    """

    orders: list[Order]
    thresholds: list[int]
    sizes: list[int]
    chances: list[Column]
    backoffs: list[Column]


def write_arpa(path: Path, model: Model, blob: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> None:
    """Write a model: base-10 logarithms of seven decimals, n-grams sorted by the last word, then the one before.

    Args:
        blob, offsets: words in UTF-8, uint8[total] and int64[V + 1].
    """
    with path.open("wb") as stream:
        head = [f"ngram {n}={size}" for n, size in enumerate(model.sizes, start=1)]
        stream.write("\n".join(["\\data\\", *head, "", ""]).encode())
        for n in range(1, len(model.orders) + 1):
            stream.write(f"\\{n}-grams:\n".encode())
            for lines in _lines(model, n, blob, offsets):
                stream.write(lines.data)
            stream.write(b"\n")
        stream.write(b"\\end\\\n")


def _lines(
    model: Model, n: int, blob: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]
) -> Iterator[npt.NDArray[np.uint8]]:
    order, highest = model.orders[n - 1], n == len(model.orders)
    sizes = np.diff(offsets)
    for first in range(0, len(order), LINES):
        end = min(len(order), first + LINES)
        mask = kept(order, n, model.thresholds[n - 1], first, end)
        chances = _logarithms(model.chances[n - 1].read(first, end))
        backoffs = np.zeros(0) if highest else _logarithms(model.backoffs[n - 1].read(first, end))
        words = _words(model.orders, n, first, end)
        out = np.empty(int(sizes[words].sum()) + len(mask) * (NUMBERS + n), np.uint8)
        yield out[: arpa_lines(mask, chances, backoffs, words, blob, offsets, out)]


def _logarithms(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.log10(np.maximum(values, LEAST))


def _words(orders: list[Order], n: int, first: int, end: int) -> U32:
    """The words of n-grams, uint32[n, end - first]: the first stands with it, the others with what it ends in."""
    words = np.empty((n, end - first), np.uint32)
    words[0] = orders[n - 1].firsts.read(first, end)
    if n == 1:
        return words
    at = orders[n - 1].suffixes.read(first, end)
    for k, order in enumerate(reversed(orders[: n - 1]), start=1):
        words[k] = order.firsts.picked(at)
        if k < n - 1:
            at = order.suffixes.picked(at)
    return words
