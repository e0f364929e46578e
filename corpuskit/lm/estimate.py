"""Interpolated modified Kneser-Ney n-gram models (Chen and Goodman 1998), as lmplz of KenLM estimates them.

lmplz: Heafield, Pouzyrevsky, Clark and Koehn 2013, Scalable Modified Kneser-Ney Language Model Estimation. The n-grams
of the highest order, and those that begin with `<s>`, count as often as they occur; the others as often as there are
words that stand before them. Of a count the discount of its order is taken, and what discounts and pruned n-grams leave
of a context goes to the n-grams without the first word, down to the uniform distribution over all words and `<unk>`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpuskit.errors import UsageError
from corpuskit.kernels.language_model import END, START, UNKNOWN, add_contexts, interpolate
from corpuskit.lm.arpa import Model, write_arpa
from corpuskit.lm.columns import BLOCK, Column
from corpuskit.lm.counting import Order, count_orders, kept
from corpuskit.lm.settings import FALLBACK, Discounts, Settings, discounts_of
from corpuskit.lm.words import Words, numbered

LEAST_MEMORY = 64 << 20


@dataclass(frozen=True)
class OrderFacts:
    """What is known of one order.

    Attributes:
        found, kept: n-grams of the text, and of the model.
        discounts: of the adjusted counts 1, 2, and 3 or more. fallback: they were not estimated.
    """

    found: int
    kept: int
    discounts: tuple[float, float, float]
    fallback: bool


@dataclass(frozen=True)
class Estimated:
    """What a model was made of.

    Attributes:
        sentences, words: of the text. special: `<s>`, `</s>` and `<unk>` in it, passed over as if they were white
            space; blank: lines without a word, passed over. orders: from 1 on.
    """

    sentences: int
    words: int
    special: int
    blank: int
    orders: list[OrderFacts]

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "sentences": self.sentences,
            "words": self.words,
            "special_words": self.special,
            "blank_lines": self.blank,
            "orders": [vars(one) | {"discounts": list(one.discounts)} for one in self.orders],
        }


def estimate(texts: Iterable[pa.Array], path: Path, settings: Settings, *, folder: Path, memory: int) -> Estimated:
    """Estimate a model and write it as ARPA; the same bytes however the texts are ordered and cut.

    Args:
        texts: string arrays; each line of a text is a sentence, in words between ASCII white space.
        path: of the ARPA file.
        folder: for files that are removed afterwards; empty, or not there yet.
        memory: bytes to use beside the words themselves, about; more text needs more of the disk and not more memory.

    Returns:
        What it was made of.

    Raises:
        UsageError: there is no word in the texts, or too little text for the discounts of an order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return _estimate(texts, path, settings, folder, max(memory, LEAST_MEMORY))
    finally:
        shutil.rmtree(folder)


def _estimate(texts: Iterable[pa.Array], path: Path, settings: Settings, folder: Path, memory: int) -> Estimated:
    words = numbered(texts, folder)
    if not words.words:
        raise UsageError("there is no word in the text that a model is to be estimated on")
    counted = words.sentences, words.words, words.special, words.blank
    blob, offsets, tokens = _sorted_words(words, folder)
    del words
    orders = count_orders(tokens, len(offsets) - 1, settings.order, folder, memory)
    tokens.remove()
    discounts = _discounts(orders, settings)
    sizes = [_size(one, n, most) for n, (one, most) in enumerate(zip(orders, settings.thresholds, strict=True), 1)]
    chances, backoffs = _probabilities(orders, discounts, sizes[0], settings, folder, memory)
    write_arpa(path, Model(orders, settings.thresholds, sizes, chances, backoffs), blob, offsets)
    facts = [
        OrderFacts(len(one), size, discount[1:], discount == FALLBACK)
        for one, size, discount in zip(orders, sizes, discounts, strict=True)
    ]
    return Estimated(*counted, facts)


def _sorted_words(words: Words, folder: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], Column]:
    """The words' bytes in their order, and the tokens in numbers of this order."""
    blob, offsets, places = words.vocabulary()
    tokens = Column(folder / "sorted-tokens", np.uint32)
    for _, block in words.tokens.blocks():
        tokens.append(places[block])
    words.tokens.remove()
    return blob, offsets, tokens


def _size(order: Order, n: int, most: int) -> int:
    """How many n-grams are not pruned."""
    return sum(int(kept(order, n, most, first, first + BLOCK).sum()) for first in range(0, len(order), BLOCK))


def _discounts(orders: list[Order], settings: Settings) -> list[Discounts]:
    found = []
    for n, one in enumerate(orders, start=1):
        counted = np.zeros(6, np.int64)
        for first in range(0, len(one), BLOCK):
            adjusted = one.adjusted(first, first + BLOCK)
            if n == 1:
                adjusted[: max(0, END - first)] = 0  # <unk> and <s>
            counted += np.bincount(np.minimum(adjusted, 5), minlength=6)
        found.append(discounts_of(counted.tolist(), n, fallback=settings.discount_fallback))
    return found


def _probabilities(
    orders: list[Order], discounts: list[Discounts], words: int, settings: Settings, folder: Path, memory: int
) -> tuple[list[Column], list[Column]]:
    """Probabilities of all n-grams, and the shares of their contexts that lower orders get, float64 each."""
    chances, backoffs = [_unigrams(orders[0], discounts[0], words, settings, folder)], []
    for n, one in enumerate(orders[1:], start=2):
        most, discount = settings.thresholds[n - 1], np.array(discounts[n - 1])
        contexts = len(orders[n - 2])
        made, shares = Column(folder / f"{n}-chances", np.float64), Column(folder / f"{n - 1}-backoffs", np.float64)
        window = max(BLOCK, memory // 32)
        for low in range(0, contexts, window):
            totals, left = (np.zeros(min(window, contexts - low)) for _ in range(2))
            for first, at in one.contexts.blocks():
                adjusted, counts = one.adjusted(first, first + len(at)), one.counts.read(first, first + len(at))
                add_contexts(at, adjusted, counts, most, discount, low, totals, left)
            # what is no context leaves all to the lower orders
            shares.append(np.divide(left, totals, out=left, where=totals > 0) + (totals == 0))
            for first, at in one.contexts.blocks():
                end = first + len(at)
                lower = chances[-1].picked(one.suffixes.read(first, end))
                here = made.read(first, end) if low else np.empty(len(at))
                interpolate(at, one.adjusted(first, end), discount, low, totals, left, lower, here)
                made.write(first, here)
        chances.append(made)
        backoffs.append(shares)
    return chances, backoffs


def _unigrams(order: Order, discounts: Discounts, words: int, settings: Settings, folder: Path) -> Column:
    adjusted = order.adjusted(0, len(order)).astype(np.float64)
    adjusted[[UNKNOWN, START]] = 0
    mask = kept(order, 1, settings.thresholds[0], 0, len(order))
    taken = np.array(discounts)[np.minimum(adjusted, 3).astype(np.int64)]
    total = adjusted.sum()
    left = (taken[mask].sum() + adjusted[~mask].sum()) / total
    chances: npt.NDArray[np.float64] = (adjusted - taken) / total
    if settings.interpolate_unigrams:
        chances += left / (words - 1)  # of all words, `<unk>` and `</s>`; nothing is followed by `<s>`
    else:
        chances[UNKNOWN] = left
    chances[START] = 1.0  # as lmplz writes it: it is given
    made = Column(folder / "1-chances", np.float64)
    made.append(chances)
    return made
