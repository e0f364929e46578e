"""Selectors: from a score of a document to the probability that it is kept.

Selection is a score, then an acceptance. All methods accept alike: a document is kept where a number in [0, 1) that its
id and a seed give is below the probability of its score. So the outcome is the same however documents are batched, and
two selectors differ only in a curve. To add one: subclass `Selector`, give `keep`, and `fit` if it can be calibrated.

`value_at_risk` stands beside: ESLM's choice of tokens within a batch.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from corpuskit.errors import UsageError
from corpuskit.mix.problem import Infeasible

Floats = npt.NDArray[np.float64]
Scores = npt.ArrayLike
"""Floats, one for each document; none may be missing."""


class Selector(ABC):
    """A curve from score to the probability that a document is kept."""

    @abstractmethod
    def keep(self, scores: Scores) -> Floats:
        """Probabilities, float64 in [0, 1], one for each score."""

    @classmethod
    @abstractmethod
    def fit(cls, scores: Scores, *, keep: float, weights: npt.ArrayLike | None = None) -> Self:
        """The selector of this kind that keeps a share `keep` of scored documents, in expectation.

        Args:
            scores: float (documents,); of the user's own documents, or of a sample of them.
            keep: share to keep, above 0 and at most 1.
            weights: what a document counts, such as its characters or tokens; default: all the same.

        Raises:
            UsageError: `keep` is out of range, or a score is missing or not finite.
            Infeasible: no selector of this kind keeps so much.
        """

    def select(self, scores: Scores, docs: npt.ArrayLike, *, seed: int = 0) -> npt.NDArray[np.bool_]:
        """Which documents are kept, by their ids (uint64); the same for a document whatever stands beside it."""
        return draws(docs, seed) < self.keep(scores)


@dataclass(frozen=True)
class Uniform(Selector):
    """Keep every document with the same probability, whatever its score: what a selection has to be better than."""

    share: float

    def keep(self, scores: Scores) -> Floats:
        """The share, for each."""
        return np.full(len(checked(scores)), self.share)

    @classmethod
    def fit(cls, scores: Scores, *, keep: float, weights: npt.ArrayLike | None = None) -> Self:
        """The share itself, of whatever is counted."""
        _sample(scores, keep, weights)
        return cls(keep)


@dataclass(frozen=True)
class Threshold(Selector):
    """Keep all on one side of a score, the bound included.

    With a quality score it keeps the best; with `above` and the perplexity under an n-gram model of harmful text it
    drops what that model knows well (Jansen et al. 2022, Perplexed by Quality, arXiv:2212.10440).
    """

    at: float
    above: bool = True

    def keep(self, scores: Scores) -> Floats:
        """1 on the side that is kept, 0 on the other."""
        values = checked(scores)
        return (values >= self.at if self.above else values <= self.at).astype(np.float64)

    @classmethod
    def fit(cls, scores: Scores, *, keep: float, weights: npt.ArrayLike | None = None, above: bool = True) -> Self:
        """The bound whose share is nearest to `keep`; equal scores stay together."""
        values, counts = _sample(scores, keep, weights)
        levels, inverse = np.unique(-values if above else values, return_inverse=True)
        shares = np.cumsum(np.bincount(inverse, counts)) / counts.sum()
        level = float(levels[np.argmin(np.abs(shares - keep))])
        return cls(-level if above else level, above)


@dataclass(frozen=True)
class QuantileBand(Selector):
    """Keep scores with lower <= score < upper: low, medium or high perplexity.

    Ankner et al. 2024, Perplexed by Perplexity (arXiv:2405.20541): perplexities of a reference model, trained on a
    split of its own that is not selected from.
    """

    lower: float
    upper: float

    def keep(self, scores: Scores) -> Floats:
        """1 inside, 0 outside."""
        values = checked(scores)
        return ((values >= self.lower) & (values < self.upper)).astype(np.float64)

    @classmethod
    def fit(
        cls,
        scores: Scores,
        *,
        keep: float,
        weights: npt.ArrayLike | None = None,
        band: Literal["low", "medium", "high"] = "low",
    ) -> Self:
        """The band of the empirical distribution F: F <= r, (0.5 - r/2, 0.5 + r/2], or F > 1 - r for r = `keep`."""
        values, counts = _sample(scores, keep, weights)
        bounds = {"low": (0.0, keep), "medium": (0.5 - keep / 2, 0.5 + keep / 2), "high": (1 - keep, 1.0)}
        if band not in bounds:
            raise UsageError(f"band is {band!r}", "one of low, medium, high")
        levels, inverse = np.unique(values, return_inverse=True)
        reached = np.cumsum(np.bincount(inverse, counts)) / counts.sum()
        low, high = bounds[band]
        inside = levels[(reached > low + ROUNDING) & (reached <= high + ROUNDING)]
        beyond = levels[reached > high + ROUNDING]
        if not len(inside):
            msg = f"no document lies in the {band} {keep:g} of scores: too many are equal, or there are too few"
            raise Infeasible(msg, "keep more, or score more documents")
        first = -math.inf if band == "low" else float(inside[0])
        return cls(first, float(beyond[0]) if len(beyond) else math.inf)


ROUNDING = 1e-9
"""Of sums of shares; far below the share of a document."""


@dataclass(frozen=True)
class Stepwise(Selector):
    """BERTIN's step function: min(1, factor / width of the score's quartile); the last is 10 times its bound wide.

    De la Rosa et al. 2022, BERTIN: Efficient Pre-Training of a Spanish Language Model Using Perplexity Sampling
    (arXiv:2207.06814); scores are perplexities, above 0.

    Attributes:
        boundaries: the quartiles of the scores. factor: in units of the score.
    """

    boundaries: tuple[float, float, float]
    factor: float

    def __post_init__(self) -> None:
        if self.boundaries[0] <= 0:
            raise UsageError(f"the first quartile of the scores is {self.boundaries[0]:g}; perplexities are above 0")
        if any(not low < high for low, high in pairwise(self.boundaries)):
            raise UsageError(f"quartiles {self.boundaries} do not rise: many scores are equal")

    def keep(self, scores: Scores) -> Floats:
        """As the class says; a score on a boundary belongs to the quartile below."""
        return np.minimum(1.0, self.factor / self._widths(checked(scores)))

    def _widths(self, values: Floats) -> Floats:
        first, second, third = self.boundaries
        widths = np.array([first, second - first, third - second, 10 * third])
        return widths[np.searchsorted(self.boundaries, values, side="left")]

    @classmethod
    def fit(cls, scores: Scores, *, keep: float, weights: npt.ArrayLike | None = None) -> Self:
        """Quartiles of the scores (by weight, each one of the scores), and the factor that keeps the share."""
        values, counts = _sample(scores, keep, weights)
        first, second, third = _quantiles(values, counts, [0.25, 0.5, 0.75])
        plain = cls((first, second, third), 1.0)
        return cls(plain.boundaries, _factor(1 / plain._widths(values), counts, keep))


@dataclass(frozen=True)
class Gaussian(Selector):
    """BERTIN's smooth curve: min(1, factor * exp(-((score - median) / median)^2 / 4.5)). Source: as `Stepwise`."""

    median: float
    factor: float = 0.78

    def keep(self, scores: Scores) -> Floats:
        """As the class says."""
        return np.minimum(1.0, self.factor * self._curve(checked(scores)))

    def _curve(self, values: Floats) -> Floats:
        curve: Floats = np.exp(-(((values - self.median) / self.median) ** 2) / 4.5)
        return curve

    @classmethod
    def fit(cls, scores: Scores, *, keep: float, weights: npt.ArrayLike | None = None) -> Self:
        """The median of the scores (by weight, one of the scores), and the factor that keeps the share."""
        values, counts = _sample(scores, keep, weights)
        (median,) = _quantiles(values, counts, [0.5])
        plain = cls(median, 1.0)
        if plain.median <= 0:
            raise UsageError(f"the median of the scores is {plain.median:g}; perplexities are above 0")
        return cls(plain.median, _factor(plain._curve(values), counts, keep))


@dataclass(frozen=True)
class GumbelTopK(Selector):
    """Documents whose score plus Gumbel noise is above `at`: sampling by exp(score), without replacement.

    Importance resampling of DSIR (Xie et al. 2023, arXiv:2302.03169), with log ratios as scores. The noise of a
    document exceeds at - score with probability 1 - exp(-exp(score - at)), so that it is a curve like any other.
    """

    at: float

    def keep(self, scores: Scores) -> Floats:
        """1 - exp(-exp(score - at))."""
        return np.asarray(-np.expm1(-np.exp(np.minimum(checked(scores) - self.at, 50.0))))

    @classmethod
    def fit(cls, scores: Scores, *, keep: float, weights: npt.ArrayLike | None = None) -> Self:
        """By bisection; `exactly` keeps a number of documents and not only its expectation."""
        values, counts = _sample(scores, keep, weights)
        low, high = float(values.min()) - 50, float(values.max()) + 50
        while low < (middle := (low + high) / 2) < high:
            if np.average(cls(middle).keep(values), weights=counts) > keep:
                low = middle
            else:
                high = middle
        return cls(middle)

    @classmethod
    def exactly(cls, scores: Scores, docs: npt.ArrayLike, count: int, *, seed: int = 0) -> Self:
        """The selector whose `select` with the same seed keeps exactly `count` of these documents.

        Raises:
            UsageError: there are fewer, or `count` is below 1.
        """
        values = checked(scores)
        if not 1 <= count <= len(values):
            raise UsageError(f"cannot keep {count:,} of {len(values):,} documents")
        with np.errstate(divide="ignore"):  # a draw of 0 is infinite noise, and kept
            noisy = np.sort(values - np.log(-np.log1p(-draws(docs, seed))))
        least = float(noisy[-count])
        return cls((least + float(noisy[-count - 1])) / 2 if count < len(values) else least - 1)


def value_at_risk(losses: npt.ArrayLike, alpha: float) -> tuple[float, float]:
    """ESLM's value at risk of a batch of token losses, and the mean loss of the tokens at or above it.

    The rest, about a share alpha, is left out of the step (Bal et al. 2025, ESLM, arXiv:2505.19893).

    Args:
        losses: float (tokens,), nats. alpha: share to leave out, from 0 to below 1.

    Raises:
        UsageError: there is no token, a loss is not finite, or `alpha` is out of range.
    """
    values = checked(losses)
    if not 0 <= alpha < 1 or not len(values):
        raise UsageError(f"alpha is {alpha} for {len(values)} tokens; it must be from 0 to below 1, and a token there")
    risk = float(np.quantile(values, alpha, method="inverted_cdf"))
    return risk, float(values[values >= risk].mean())


def draws(docs: npt.ArrayLike, seed: int) -> Floats:
    """A number in [0, 1) for each document id, float64: the finalizer of SplitMix64 (Steele, Lea, Flood 2014)."""
    value = np.asarray(docs, np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    value = value ^ (value >> np.uint64(31))
    return np.asarray((value >> np.uint64(11)) * 2.0**-53)


def checked(scores: Scores) -> Floats:
    """Scores as float64 (documents,).

    Raises:
        UsageError: one is missing or not finite.
    """
    values = np.asarray(scores, np.float64)
    wrong = np.flatnonzero(~np.isfinite(values))
    if values.ndim != 1 or len(wrong):
        what = f"score {wrong[0]} of {len(values)} is {values[wrong[0]]}" if values.ndim == 1 else "not one score each"
        raise UsageError(f"documents cannot be selected by their scores: {what}", "filter those without a score first")
    return values


def _sample(scores: Scores, keep: float, weights: npt.ArrayLike | None) -> tuple[Floats, Floats]:
    values = checked(scores)
    if not 0 < keep <= 1:
        raise UsageError(f"keep is {keep}; it is a share, above 0 and at most 1")
    if not len(values):
        raise UsageError("there is no score to calibrate a selector by")
    counts = np.ones(len(values)) if weights is None else checked(weights)
    if counts.shape != values.shape or (counts < 0).any() or not counts.sum():
        raise UsageError(f"{len(counts)} weights for {len(values)} scores; one each, none negative, not all 0")
    return values, counts


def _quantiles(values: Floats, counts: Floats, shares: list[float]) -> list[float]:
    """The least score that, with all below it, reaches each share of the weight; weight 2 counts as two scores."""
    found: list[float] = np.quantile(values, shares, weights=counts, method="inverted_cdf").tolist()
    return found


def _factor(curve: Floats, counts: Floats, keep: float) -> float:
    """The factor for which the mean of min(1, factor * curve) is `keep`.

    The mean is linear in the factor between the values at which a document reaches 1; those of the highest curve do
    so first.
    """
    order = np.argsort(-curve, kind="stable")
    heights, given = curve[order], counts[order]
    certain = np.cumsum(given) - given
    rest = np.cumsum((given * heights)[::-1])[::-1]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # far out nothing is left of a curve
        factors = (keep * counts.sum() - certain) / rest
        fits = np.flatnonzero((factors * heights <= 1 + ROUNDING) & np.isfinite(factors) & (heights > 0))
    if not len(fits):
        most = counts[curve > 0].sum() / counts.sum()
        msg = f"at most {most:.4g} of the documents can be kept, not {keep:g}: the scores of the others are too far out"
        raise Infeasible(msg, "keep less, or drop outliers first")
    return float(factors[fits[0]])
