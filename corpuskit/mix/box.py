"""The mixtures within bounds and caps: lower <= w <= upper, sum 1; projections onto them, and what makes them empty.

Descents run in floating point; bounds are exact, and what leaves here keeps them exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import numpy.typing as npt

from corpuskit.mix.problem import Bucket, Constraints, Infeasible, Mixture, as_written

Floats = npt.NDArray[np.float64]

NEAR = 1e-12
"""A weight as near as this to a bound, relative to it, stands on it."""


@dataclass(frozen=True)
class Box:
    """Bounds by bucket, in the order of `names`; never empty. Made by `of`."""

    names: tuple[str, ...]
    lower: tuple[Fraction, ...]
    upper: tuple[Fraction, ...]

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        prior: Mixture,
        constraints: Constraints | None,
        buckets: Sequence[Bucket],
        budget: Fraction | int | None,
    ) -> Box:
        """The box of a problem; a bucket that the prior gives nothing has the upper bound 0.

        Raises:
            Infeasible: it holds no mixture.
        """
        lower = dict.fromkeys(names, Fraction(0))
        upper = {name: Fraction(1 if prior.exact(name) else 0) for name in names}
        if constraints is not None:
            lower |= {name: as_written(bound) for name, bound in constraints.lower.items()}
            upper |= {name: min(upper[name], as_written(bound)) for name, bound in constraints.upper.items()}
        caps: dict[str, Fraction] = {}
        if constraints is not None and budget is not None:
            limit = as_written(constraints.max_epochs)
            caps = {bucket.name: limit * bucket.tokens for bucket in buckets}
        _refuse_bounds(names, lower, upper)
        if budget is not None and caps:
            _refuse_budget(names, lower, upper, caps, Fraction(budget), constraints)
            upper = {name: min(upper[name], caps[name] / budget) for name in names}
        return cls(tuple(names), tuple(lower[name] for name in names), tuple(upper[name] for name in names))

    @cached_property
    def low(self) -> Floats:
        """Lower bounds as float64."""
        return np.array([float(bound) for bound in self.lower])

    @cached_property
    def high(self) -> Floats:
        """Upper bounds as float64."""
        return np.array([float(bound) for bound in self.upper])

    def project(self, log_values: Floats) -> Floats:
        """The mixture of least KL(w || v) for positive v, given as logarithms (-inf: none): clip(c * v, low, high).

        Args:
            log_values: float64, one for each bucket; any common shift is the same.
        """
        return _project(log_values, self.low, self.high, 1.0)

    def fill(self, log_prior: Floats, gradient: Floats) -> Floats:
        """The mixture of least <gradient, w>, the limit of kl -> 0: ties share as the prior does."""
        _, tie = np.unique(gradient, return_inverse=True)
        reached = np.cumsum(np.bincount(tie, self.high - self.low))  # by this tie and those before it
        left = 1 - self.low.sum()
        last = int(np.searchsorted(reached, left))  # the tie that what is left does not fill
        weights = np.where(tie < last, self.high, self.low)
        tied = np.flatnonzero(tie == last)
        take = left - (reached[last - 1] if last else 0.0)
        if len(tied) and take > 0:
            total = self.low[tied].sum() + take
            weights[tied] = _project(log_prior[tied], self.low[tied], self.high[tied], total)
        return weights

    def mixture(self, weights: Floats, shares: Mixture | None = None) -> Mixture:
        """Weights that keep the bounds up to rounding, as a mixture that keeps them exactly.

        Args:
            weights: float64, one for each bucket.
            shares: what the weights between their bounds are in proportion to; default: what they are.
        """
        exact = [
            shares.exact(name) if shares else Fraction(float(w)) for name, w in zip(self.names, weights, strict=True)
        ]
        pinned: dict[int, Fraction] = {}
        for k, weight in enumerate(weights):
            if weight >= self.high[k] * (1 - NEAR):
                pinned[k] = self.upper[k]
            elif weight <= self.low[k] * (1 + NEAR):
                pinned[k] = self.lower[k]
        while True:
            free = [k for k in range(len(exact)) if k not in pinned]
            rest, given = 1 - sum(pinned.values(), Fraction(0)), sum((exact[k] for k in free), Fraction(0))
            scaled = {k: exact[k] * rest / given for k in free} if given else {}
            outside = {k: self._clip(k, weight) for k, weight in scaled.items() if self._clip(k, weight) != weight}
            if not outside:
                break
            pinned |= outside
        final = [pinned.get(k, scaled.get(k, Fraction(0))) for k in range(len(exact))]
        rest = 1 - sum(final, Fraction(0))
        for k, weight in enumerate(final):  # what rounding left over where all stand on a bound
            final[k] = self._clip(k, weight + rest)
            rest -= final[k] - weight
        return Mixture(dict(zip(self.names, final, strict=True)))

    def _clip(self, k: int, weight: Fraction) -> Fraction:
        return min(max(weight, self.lower[k]), self.upper[k])


def _project(log_values: Floats, low: Floats, high: Floats, total: float) -> Floats:
    """clip(c * v, low, high) with the sum `total`: water-filling in logarithms, so that no v is too small to count.

    The sum grows with log c, and between the values of log c at which a bucket reaches a bound the buckets in between
    share what is left in proportion to v. Binary search for the interval, then the closed form.
    """
    usable = np.isfinite(log_values) & (high > low)
    with np.errstate(divide="ignore", invalid="ignore"):
        rises = np.where(usable, np.log(low) - log_values, np.inf)
        stops = np.where(usable, np.log(high) - log_values, np.inf)
    levels = np.unique(np.concatenate([rises[usable], stops[usable]]))
    levels = levels[np.isfinite(levels)]
    first, last = 0, len(levels)
    while first < last:
        middle = (first + last) // 2
        if _mass(levels[middle], log_values, low, high, usable) <= total:
            first = middle + 1
        else:
            last = middle
    level = levels[first - 1] if first else -np.inf
    free = usable & (rises <= level) & (stops > level)
    weights = np.where(usable & (stops <= level), high, low)
    if free.any():
        shares = np.exp(log_values[free] - log_values[free].max())
        weights[free] = np.clip((total - weights[~free].sum()) * shares / shares.sum(), low[free], high[free])
    return weights


def _mass(level: float, log_values: Floats, low: Floats, high: Floats, usable: npt.NDArray[np.bool_]) -> float:
    # clipped before exp: a bucket far above its bound would overflow
    poured = np.exp(np.minimum(level + np.where(usable, log_values, -np.inf), 0.0))
    return float(np.clip(poured, low, high).sum())


def _refuse_bounds(names: Sequence[str], lower: dict[str, Fraction], upper: dict[str, Fraction]) -> None:
    """Refuse bounds that no mixture keeps, whatever the budget."""
    for name in names:
        if not 0 <= lower[name] <= upper[name]:
            above = f"above its upper bound {float(upper[name]):g}" if lower[name] > 0 else "below 0"
            hint = None if upper[name] else f"the prior gives `{name}` nothing, so that its weight is 0"
            raise Infeasible(f"the lower bound {float(lower[name]):g} of `{name}` is {above}", hint)
    least, most = sum(lower.values()), sum(upper.values())
    if least > 1:
        held = ", ".join(f"{name} {float(lower[name]):g}" for name in names if lower[name])
        raise Infeasible(f"the lower bounds sum to {float(least):g}, more than 1: {held}")
    if most < 1:
        held = ", ".join(f"{name} {float(upper[name]):g}" for name in names if upper[name])
        raise Infeasible(f"the upper bounds sum to {float(most):g}, less than 1: {held}")


def _refuse_budget(
    names: Sequence[str],
    lower: dict[str, Fraction],
    upper: dict[str, Fraction],
    caps: dict[str, Fraction],
    budget: Fraction,
    constraints: Constraints | None,
) -> None:
    """Refuse a budget for which the caps leave no mixture; `caps` are max_epochs * tokens."""
    largest = _largest(names, lower, upper, caps)
    if budget <= largest:
        return
    short = [name for name in names if caps[name] < lower[name] * budget]
    # buckets that could take more if they were larger
    short = short or [name for name in names if caps[name] < upper[name] * budget]
    said = ", ".join(f"{name} (at most {int(caps[name]):,} tokens)" for name in short)
    epochs = constraints.max_epochs if constraints is not None else 0
    asked = f"{int(budget):,} tokens"
    msg = f"{asked} are more than max_epochs {epochs:g} allows at any weights within the bounds: {said}"
    raise Infeasible(msg, f"the largest feasible budget is {int(largest):,} tokens; or raise `max_epochs`")


def _largest(
    names: Sequence[str], lower: dict[str, Fraction], upper: dict[str, Fraction], caps: dict[str, Fraction]
) -> Fraction:
    """The largest budget for which sum(min(upper, cap / budget)) >= 1 and cap / budget >= lower."""
    largest = min((caps[name] / lower[name] for name in names if lower[name]), default=None)
    bound = [name for name in names if upper[name]]
    starts = sorted(bound, key=lambda name: caps[name] / upper[name])  # from this budget on, the cap binds
    capped, free = Fraction(0), sum((upper[name] for name in bound), Fraction(0))
    reached = Fraction(0)
    for number, name in enumerate(starts):
        capped, free = capped + caps[name], free - upper[name]
        following = caps[starts[number + 1]] / upper[starts[number + 1]] if number + 1 < len(starts) else None
        if free < 1:
            reached = capped / (1 - free)
            if following is None or reached <= following:
                break
    return reached if largest is None else min(largest, reached)
