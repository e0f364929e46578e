"""The n-grams of a text, order by order, with their counts.

An n-gram is known by its rank among those of its order, sorted by the last word, then the one before, and so on: those
that end in the same n - 1 words are neighbours. The rank of the n-gram that ends at each token is kept for all tokens;
with the word before it is the key of the next order, so that each order is one sort of as many keys as there are
tokens. Ranks at the token before name the context. Nothing depends on how the texts were ordered or cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpuskit.errors import UsageError
from corpuskit.kernels.language_model import FIRST_WORD, NONE, START, group, keys_of, place
from corpuskit.lm.columns import BLOCK, Column
from corpuskit.lm.sorting import Sorter

U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]


@dataclass
class Order:
    """The n-grams of one order, sorted; uint32 each.

    Attributes:
        suffixes: rank of the last n - 1 words, in the order below; it does not fall. firsts: the first word.
        contexts: rank of the first n - 1 words. counts: how often it occurs; at most 2^32.
        extensions: how many words stand before it, `<s>` included; empty in the highest order.
    """

    suffixes: Column
    firsts: Column
    contexts: Column
    counts: Column
    extensions: Column

    @classmethod
    def at(cls, folder: Path, order: int) -> Order:
        """Empty, in files of a folder."""
        names = "suffixes", "firsts", "contexts", "counts", "extensions"
        return cls(*(Column(folder / f"{order}-{name}", np.uint32) for name in names))

    def __len__(self) -> int:
        return len(self.counts)

    def adjusted(self, first: int, end: int) -> U32:
        """Adjusted counts from a rank to before another: what Kneser-Ney counts."""
        counts = self.counts.read(first, end)
        if not len(self.extensions):
            return counts
        # nothing stands before <s>
        return np.where(self.firsts.read(first, end) == START, counts, self.extensions.read(first, end))


def count_orders(tokens: Column, words: int, order: int, folder: Path, memory: int) -> list[Order]:
    """Count the n-grams of all orders; `tokens` becomes the ranks of the highest.

    Args:
        tokens: uint32, sentences from `<s>` to `</s>`. words: how many numbers there are.
        folder: for files. memory: bytes to use.

    Raises:
        UsageError: there are 2^32 tokens or more.
    """
    if len(tokens) >= NONE:
        raise UsageError(
            f"{len(tokens):,} words and ends of lines are more than a model can be estimated on: 4,294,967,294",
            "estimate on a part of the text",
        )
    found = [_words(tokens, words, order, folder)]
    ranks = tokens
    for n in range(2, order + 1):
        longer = _Longer(tokens, ranks, n, words.bit_length(), folder, memory)
        found.append(longer.order)
        longer.count(found[-2])
        if ranks is not tokens:
            ranks.remove()
        ranks = longer.ranks
    if ranks is not tokens:
        ranks.remove()
    return found


def _words(tokens: Column, words: int, order: int, folder: Path) -> Order:
    made = Order.at(folder, 1)
    counts = np.zeros(words, np.int64)
    for _, block in tokens.blocks():
        counts += np.bincount(block, minlength=words)
    if order == 1:
        counts[START] = 0  # no n-gram ends in it
    made.counts.append(counts)
    for first in range(0, words, BLOCK):
        made.firsts.append(np.arange(first, min(words, first + BLOCK), dtype=np.uint32))
    return made


class _Longer:
    """The n-grams of the next order."""

    def __init__(self, tokens: Column, ranks: Column, n: int, bits: int, folder: Path, memory: int) -> None:
        self.order = Order.at(folder, n)
        self.ranks = Column(folder / f"ranks-{n}", np.uint32)
        self._tokens, self._below = tokens, ranks
        self._n, self._bits = n, bits
        self._folder, self._memory = folder, memory
        self._window = max(BLOCK, memory // 16)
        """Positions whose ranks are in memory at a time."""

    def count(self, below: Order) -> None:
        """Sort, group, and give each token its rank."""
        sorter = Sorter(self._folder, self._memory // 2, len(self._tokens))
        for keys, payload in self._keys():
            sorter.add(keys, payload)
        windows = -(-len(self._tokens) // self._window)
        placed = [Column(self._folder / f"placed-{window}", np.uint64) for window in range(windows)]
        ranks = np.full(len(self._tokens), NONE, np.uint32) if windows == 1 else None
        for block in self._groups(sorter.blocks(), below):
            if ranks is not None:
                place(block, 0, ranks)
                continue
            window = (block >> np.uint64(32)) // np.uint64(self._window)
            for number in np.unique(window).tolist():
                placed[number].append(block[window == number])
        del sorter
        for number, column in enumerate(placed):
            first = number * self._window
            if ranks is None:
                part = np.full(min(self._window, len(self._tokens) - first), NONE, np.uint32)
                for _, block in column.blocks():
                    place(block, first, part)
                self.ranks.append(part)
            else:
                self.ranks.append(ranks)
            column.remove()

    def _keys(self) -> Iterator[tuple[U64, U64]]:
        back = self._n - 1
        for first in range(back, len(self._tokens), BLOCK):
            end = first + BLOCK
            tokens, ranks = self._tokens.read(first - back, end), self._below.read(first - 1, end)
            keys, payload = np.empty(len(ranks), np.uint64), np.empty(len(ranks), np.uint64)
            count = keys_of(tokens, ranks, back, first, self._bits, keys, payload)
            yield keys[:count], payload[:count]

    def _groups(self, blocks: Iterator[tuple[U64, U64]], below: Order) -> Iterator[U64]:
        """Write the n-grams of sorted keys; yields positions and ranks."""
        rank, key, context, count = -1, np.uint64(0), 0, 0
        extensions = _Extensions(below)
        for keys, payload in blocks:
            found, placed = np.empty(len(keys) + 1, np.uint64), np.empty(len(keys), np.uint64)
            contexts, counts = np.empty(len(keys) + 1, np.uint32), np.empty(len(keys) + 1, np.uint32)
            contexts[0], counts[0] = context, count
            size = group(keys, payload, rank, key, found, contexts, counts, placed)
            # the last may go on in the next block
            last = size - 1
            self._write(found[:last], contexts[:last], counts[:last], extensions)
            rank, key, context, count = max(rank, 0) + last, found[last], contexts[last], counts[last]
            yield placed
        if rank >= 0:
            one = np.array([key], np.uint64), np.array([context], np.uint32), np.array([count], np.uint32)
            self._write(*one, extensions)
        extensions.finish()

    def _write(self, keys: U64, contexts: U32, counts: U32, extensions: _Extensions) -> None:
        suffixes = (keys >> np.uint64(self._bits)).astype(np.uint32)
        self.order.suffixes.append(suffixes)
        self.order.firsts.append((keys & np.uint64((1 << self._bits) - 1)).astype(np.uint32))
        self.order.contexts.append(contexts)
        self.order.counts.append(counts)
        extensions.add(suffixes)


class _Extensions:
    """Counts how many n-grams end in each of the order below, whose ranks come in order."""

    def __init__(self, below: Order) -> None:
        self._below = below
        self._open = 0
        self._count = 0

    def add(self, suffixes: U32) -> None:
        if not len(suffixes):
            return
        counts = np.bincount(suffixes.astype(np.int64) - self._open)
        counts[0] += self._count
        self._below.extensions.append(counts[:-1])
        self._open, self._count = self._open + len(counts) - 1, int(counts[-1])

    def finish(self) -> None:
        rest = np.zeros(len(self._below) - self._open, np.uint32)
        if len(rest):
            rest[0] = self._count
            self._below.extensions.append(rest)


def kept(order: Order, n: int, most: int, first: int, end: int) -> npt.NDArray[np.bool_]:
    """Which n-grams are not pruned, from a rank to before another; `<unk>`, `<s>` and `</s>` never are."""
    mask: npt.NDArray[np.bool_] = order.counts.read(first, end) > most
    if n == 1:
        mask[: max(0, FIRST_WORD - first)] = True
    return mask
