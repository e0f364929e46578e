"""What a mixture is: buckets of text, a point of the simplex over them, and the limits that it must keep.

A mixture is never bent to fit: where a budget asks for more epochs than allowed, the error names the buckets and the
largest budget that would fit. All comparisons are exact (rational arithmetic on the decimal values of the recipe).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType

from corpuskit.core.tables import html
from corpuskit.errors import CorpuskitError, UsageError
from corpuskit.mix.scaling import DataConstrainedLaw

TOLERANCE = 0.005
"""How far a table of weights may be from a sum of 1 (or 100) by rounding: published tables sum to 100.1."""


@dataclass(frozen=True)
class Bucket:
    """What is mixed: a domain, with its size in tokens (one epoch of it) and in documents."""

    name: str
    tokens: int
    docs: int


class Infeasible(CorpuskitError):
    """The mixture cannot be drawn from these buckets within the limits."""


@dataclass(frozen=True)
class Mixture:
    """An immutable point of the simplex: fractions of tokens by bucket name, sorted by name.

    Args:
        weights: non-negative numbers that sum to 1, or to 100, within 0.5 %; they are divided by their sum.

    Raises:
        UsageError: a weight is negative or no number, none is positive, or the sum is neither 1 nor 100.
    """

    weights: Mapping[str, float | Fraction]
    _exact: Mapping[str, Fraction] = field(init=False, repr=False, compare=False, default_factory=dict)

    def _repr_html_(self) -> str:
        rows = [[name, f"{100 * float(weight):.2f} %"] for name, weight in self.weights.items()]
        return html(["domain", "share"], rows, caption="mixture")

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if isinstance(weight, bool) or not isinstance(weight, int | float | Fraction):
                msg = f"the weight of `{name}` is {weight!r}, not a number"
                raise UsageError(msg)
            if not math.isfinite(weight) or weight < 0:
                msg = f"the weight of `{name}` is {weight}; weights are fractions of tokens, from 0 to 1"
                raise UsageError(msg)
        given = {name: as_written(self.weights[name]) for name in sorted(self.weights)}
        total = sum(given.values(), Fraction(0))
        if not any(abs(total / whole - 1) <= TOLERANCE for whole in (1, 100)):
            msg = f"the weights sum to {float(total):g}, not to 1 (or to 100)"
            raise UsageError(msg, _rescaled(given, total))
        exact = {name: weight / total for name, weight in given.items()}
        object.__setattr__(self, "_exact", MappingProxyType(exact))
        floats = {name: float(weight) for name, weight in exact.items()}
        object.__setattr__(self, "weights", MappingProxyType(floats))

    def exact(self, name: str) -> Fraction:
        """The weight of a bucket as an exact fraction (0 for a bucket that is not in the mixture)."""
        return self._exact.get(name, Fraction(0))

    def distance(self, other: Mixture) -> float:
        """Total variation: half the sum of all differences of weights, the share of tokens that comes from elsewhere.

        Twice as much is the L1 distance. A bucket that one of the mixtures lacks has weight 0 there.
        """
        return float(sum(self._changes(other), Fraction(0)) / 2)

    def largest_change(self, other: Mixture) -> float:
        """The largest difference of a weight: DoReMi is repeated until it is under 1e-3."""
        return float(max(self._changes(other)))

    def _changes(self, other: Mixture) -> list[Fraction]:
        return [abs(self.exact(name) - other.exact(name)) for name in sorted({*self.weights, *other.weights})]

    def epochs(self, buckets: Sequence[Bucket], budget: int) -> dict[str, float]:
        """How often each bucket is read when `budget` tokens are drawn; infinite for an empty bucket with a weight."""
        return {bucket.name: _epochs(self, bucket, budget) for bucket in buckets}

    def effective_tokens(self, buckets: Sequence[Bucket], budget: int) -> dict[str, float]:
        """What the tokens drawn of each bucket are worth in unique ones (data-constrained law: repeats decay)."""
        law = DataConstrainedLaw()
        return {b.name: law.effective_tokens(float(self.exact(b.name) * budget), b.tokens) for b in buckets}


def as_written(value: float | Fraction) -> Fraction:
    """A number as it is written: 0.1 is one tenth."""
    if isinstance(value, float):
        return Fraction(repr(float(value)))  # a float of numpy's is one, but is not written as one
    return Fraction(value)


def _epochs(mixture: Mixture, bucket: Bucket, budget: int) -> float:
    taken = mixture.exact(bucket.name) * budget
    if not taken:
        return 0.0
    return float(taken / bucket.tokens) if bucket.tokens else math.inf


def _rescaled(weights: Mapping[str, Fraction], total: Fraction) -> str | None:
    if total <= 0:
        return None
    table = ", ".join(f"{name}: {float(weight / total):.4g}" for name, weight in weights.items())
    return f"weights are fractions of tokens; in these proportions they are {{{table}}}"


@dataclass(frozen=True)
class Constraints:
    """Limits of a mixture.

    Attributes:
        max_epochs: how often a bucket may be read at most (4 epochs cost almost nothing: Muennighoff et al. 2023).
        lower, upper: smallest and largest weight by bucket name; a bucket not named is free.
    """

    max_epochs: float = 4
    lower: Mapping[str, float] = field(default_factory=dict)
    upper: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not math.isfinite(self.max_epochs) or self.max_epochs <= 0:
            msg = f"max_epochs is {self.max_epochs}; it must be a number above 0"
            raise UsageError(msg)
        for name, bound in [*self.lower.items(), *self.upper.items()]:
            if not 0 <= bound <= 1:
                msg = f"a bound of `{name}` is {bound}; weights are fractions of tokens, from 0 to 1"
                raise UsageError(msg)

    def check(self, mixture: Mixture, buckets: Sequence[Bucket], budget: Fraction | int) -> None:
        """Refuse a mixture that breaks a limit when `budget` tokens are drawn.

        Raises:
            Infeasible: with the buckets at fault and the largest budget that would keep `max_epochs`.
        """
        self.check_bounds(mixture)
        largest = largest_budget(mixture, buckets, self.max_epochs)
        if budget <= largest:
            return
        limit = as_written(self.max_epochs)
        faults = [
            f"{bucket.name} ({_epochs(mixture, bucket, math.ceil(budget)):.4g} epochs of {bucket.tokens:,} tokens)"
            for bucket in buckets
            if mixture.exact(bucket.name) * budget > limit * bucket.tokens
        ]
        asked = f"{math.ceil(budget):,} tokens"
        msg = f"{asked} are more than max_epochs {self.max_epochs:g} allows for {', '.join(faults)}"
        hint = f"the largest feasible budget is {math.floor(largest):,} tokens (`tokens: max`), at these weights"
        raise Infeasible(msg, hint)

    def check_bounds(self, mixture: Mixture) -> None:
        """Refuse a mixture with a weight below its lower or above its upper bound.

        Raises:
            Infeasible: with the first bucket at fault.
        """
        for sign, bounds, word in ((1, self.lower, "below its lower"), (-1, self.upper, "above its upper")):
            for name, bound in sorted(bounds.items()):
                if sign * (mixture.exact(name) - as_written(bound)) < 0:
                    msg = f"the weight of `{name}` is {mixture.weights.get(name, 0.0):.4g}, {word} bound {bound:g}"
                    near = "without phases, `{method: nearest, to: WEIGHTS}` comes as close as the bounds allow"
                    raise Infeasible(msg, f"change the weights or the bound; {near}")


def largest_budget(mixture: Mixture, buckets: Sequence[Bucket], max_epochs: float) -> Fraction:
    """The largest number of tokens that reads no bucket more than `max_epochs` times.

    It is the least max_epochs * tokens / weight.

    Raises:
        Infeasible: a bucket with a weight is missing or holds no token.
    """
    sizes = {bucket.name: bucket.tokens for bucket in buckets}
    wanted = [name for name in mixture.weights if mixture.exact(name)]
    empty = [name for name in wanted if not sizes.get(name)]
    if empty:
        msg = f"the mixture gives weight to {', '.join(f'`{name}`' for name in empty)}, where no token can be predicted"
        raise Infeasible(msg, "give it weight 0, or look with `corpuskit stats` at what dropped its documents")
    limit = as_written(max_epochs)
    return min(limit * sizes[name] / mixture.exact(name) for name in wanted)


@dataclass(frozen=True)
class Problem:
    """What a method of mixing is given.

    Attributes:
        buckets: of the corpus, sorted by name.
        budget: tokens to draw; None: as many as the limits allow (`tokens: max`).
        constraints: what the mixture must keep.
    """

    buckets: Sequence[Bucket]
    budget: int | None = None
    constraints: Constraints = field(default_factory=Constraints)

    def __post_init__(self) -> None:
        object.__setattr__(self, "buckets", tuple(sorted(self.buckets, key=lambda bucket: bucket.name)))
