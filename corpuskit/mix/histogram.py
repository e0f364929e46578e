"""A histogram of scores that merges exactly, in any order, in bounded memory: what a selector is fitted to.

A bin is all floats that share their leading bits. While there are at most `BINS` distinct scores a bin is one score and
nothing is lost; beyond that, as many trailing bits are dropped as it takes, and no more. How many depends on the scores
alone: those of a part never need more than those of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BINS = 1 << 18
"""Most bins of a histogram: 4 MiB. Perplexities over ten powers of 2 then get bins of a relative width below 2^-13."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """Sums of integer weights by score; equal and hashed by identity, so that what is fitted to it can be remembered.

    Attributes:
        scores: float64 (bins,), rising: of each bin the score nearest to 0.
        weights: int64 (bins,).
        dropped: trailing bits of the 52 of a float's fraction that its bins do not tell apart.
    """

    scores: Floats
    weights: Integers
    dropped: int = 0

    @classmethod
    def of(cls, scores: Floats, weights: Integers) -> Self:
        """The histogram of finite scores, float64 (n,), with their weights, int64 (n,)."""
        levels, inverse = np.unique(scores + 0.0, return_inverse=True)  # 0.0 and -0.0 are one score
        sums = np.zeros(len(levels), np.int64)
        np.add.at(sums, inverse, weights)
        return _bounded(cls(levels, sums))

    def merge(self, other: Self) -> Self:
        """The histogram of the scores of both: exact, and the same in whatever order parts are merged."""
        dropped = max(self.dropped, other.dropped)
        one, two = sorted((self.coarser(dropped), other.coarser(dropped)), key=lambda part: -len(part.scores))
        place = np.searchsorted(one.scores, two.scores)
        known = place < len(one.scores)
        known[known] = one.scores[place[known]] == two.scores[known]
        weights = one.weights.copy()
        weights[place[known]] += two.weights[known]
        scores = np.insert(one.scores, place[~known], two.scores[~known])
        weights = np.insert(weights, place[~known], two.weights[~known])
        return _bounded(type(self)(scores, weights, dropped))

    def binned(self, scores: Floats) -> Floats:
        """The bins of finite scores, float64 (n,), as `scores` has them."""
        return _shortened(scores, self.dropped)

    def coarser(self, dropped: int) -> Self:
        """The same with bins of at least this many dropped bits."""
        if dropped <= self.dropped or not len(self.scores):
            return type(self)(self.scores, self.weights, max(dropped, self.dropped))
        scores = _shortened(self.scores, dropped)
        first = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1]]))
        return type(self)(scores[first], np.add.reduceat(self.weights, first), dropped)


H = TypeVar("H", bound=Histogram)


def _bounded(found: H) -> H:
    while len(found.scores) > BINS:
        found = found.coarser(found.dropped + 1)
    return found


def _shortened(scores: Floats, dropped: int) -> Floats:
    """Scores without their trailing bits, towards 0; the order of scores stays."""
    bits = np.ascontiguousarray(scores, np.float64).view(np.int64) & np.int64(-(1 << dropped))
    return bits.view(np.float64) + 0.0
