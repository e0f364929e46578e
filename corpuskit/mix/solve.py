"""The one problem of mixing: argmin f(w) + kl * KL(w || prior) over the mixtures within a box of bounds and caps.

A linear f has a closed form: prior * exp(-g / kl), projected onto the box by water-filling. A smooth f is solved by
mirror descent whose every step is that closed form (Tseng 2008, On accelerated proximal gradient methods, algorithm 1,
with the entropy as its distance), so that one solver serves all methods. It stops where the duality gap says that no
mixture is better by more than `GAP`; for a convex f that is the optimum, for another f a stationary point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from corpuskit.errors import UsageError
from corpuskit.mix.box import Box
from corpuskit.mix.problem import Bucket, Constraints, Mixture

Floats = npt.NDArray[np.float64]

Objective = Callable[[Floats], tuple[float, Floats]]
"""f of the weights of all buckets, sorted by name: its value, and its gradient (float64, one for each bucket)."""

GAP = 1e-9
"""A solution is at most this much worse than the optimum, in units of the objective."""
SHORTEST, LONGEST = 1e-12, 1e12
"""Bounds of a step of the descent; what is shorter moves no weight."""
STEPS = 20_000
"""More than any convex objective of up to some hundred buckets has needed."""


def solve(
    objective: Objective | Mapping[str, float] | None,
    prior: Mixture,
    *,
    kl: float = 1.0,
    constraints: Constraints | None = None,
    buckets: Sequence[Bucket] = (),
    budget: Fraction | int | None = None,
) -> Mixture:
    """The mixture within the limits that minimizes objective + kl * KL(mixture || prior).

    Args:
        objective: a smooth function; or the gradient of a linear one by bucket name (0 where not named); or None: the
            feasible mixture nearest to the prior.
        prior: a bucket that it gives nothing gets nothing.
        kl: weight of the divergence, 0 or more. A linear objective with 0 is filled greedily, best bucket first;
            equally good ones share as near to the prior as they can.
        constraints: bounds of weights; with `budget` also max_epochs. Default: none but the simplex.
        buckets: with their sizes; needed for caps. Default: those of the prior.
        budget: tokens to draw; None: no caps.

    Returns:
        A mixture that keeps bounds and caps exactly, not only to rounding.

    Raises:
        Infeasible: no mixture keeps the limits; names the buckets, and the largest budget for which one would.
        UsageError: `kl` is no number from 0 on, a name is unknown, or the objective is not finite.
    """
    if not (math.isfinite(kl) and kl >= 0):
        raise UsageError(f"kl is {kl}; it weighs a divergence and must be a number from 0 on")
    if budget is not None and budget <= 0:
        raise UsageError(f"the budget is {budget}; tokens to draw must be above 0")
    names = sorted({bucket.name for bucket in buckets} or prior.weights)
    _refuse_unknown(names, prior, constraints, objective if isinstance(objective, Mapping) else {})
    box = Box.of(names, prior, constraints, buckets, budget)
    start = np.array([prior.weights.get(name, 0.0) for name in names])
    if objective is None:
        return box.mixture(box.project(_log(start)), prior)
    if isinstance(objective, Mapping):
        gradient = np.array([float(objective.get(name, 0.0)) for name in names])
        _check_finite(names, 0.0, gradient)
        return box.mixture(_linear(box, _log(start), gradient, kl))
    return box.mixture(_smooth(box, _log(start), objective, kl, names))


def _linear(box: Box, log_prior: Floats, gradient: Floats, kl: float) -> Floats:
    """Argmin of <gradient, w> + kl KL(w || prior)."""
    return box.project(log_prior - gradient / kl) if kl else box.fill(log_prior, gradient)


def _smooth(box: Box, log_prior: Floats, objective: Objective, kl: float, names: Sequence[str]) -> Floats:
    """Accelerated mirror descent, begun anew where the momentum leads uphill."""

    def checked(weights: Floats) -> Floats:
        value, gradient = objective(weights)
        _check_finite(names, value, gradient)
        return np.asarray(gradient, np.float64)

    prior = np.where(np.isfinite(log_prior), log_prior, 0.0)  # where it is not, the anchor is 0 as well
    best = anchor = box.project(log_prior)
    gradient, theta, step = checked(best), 1.0, 1.0
    for turn in range(STEPS):
        if turn % 10 == 0:
            gap, at_anchor = _gap(box, best, gradient, log_prior, kl), checked(anchor)
            if gap <= GAP:
                break
            if _gap(box, anchor, at_anchor, log_prior, kl) < gap / 2:
                best, gradient, theta = anchor, at_anchor, 1.0  # the average lags behind its newest point
        point = (1 - theta) * best + theta * anchor
        slope = checked(point) if theta < 1 else gradient
        while True:
            # argmin <slope, w> + kl KL(w || prior) + theta / step KL(w || anchor)
            pull = float(theta / step)
            moved = box.project((kl * prior + pull * _log(anchor) - slope) / (kl + pull))
            candidate = (1 - theta) * best + theta * moved
            following = checked(candidate)
            # by gradients and not by values, which near the optimum differ by less than their rounding
            if (following - slope) @ (candidate - point) <= theta * pull * _distance(moved, anchor) or step < SHORTEST:
                break
            step /= 2
        if theta < 1 and (following + kl * _tilt(candidate, log_prior)) @ (candidate - best) > 0:
            anchor, theta = best, 1.0
            continue
        best, anchor, gradient = candidate, moved, following
        theta = (math.sqrt(theta**4 + 4 * theta**2) - theta**2) / 2
        step = min(step * 1.1, LONGEST)
    return best


def _gap(box: Box, weights: Floats, gradient: Floats, log_prior: Floats, kl: float) -> float:
    """How much better than `weights` a mixture can be at most, if the objective is convex.

    The objective is at least its tangent; the tangent plus the divergence has the closed form as its minimum.
    """
    other = _linear(box, log_prior, gradient, kl)
    reached = gradient @ weights + kl * _divergence(weights, log_prior)
    return float(reached - gradient @ other - kl * _divergence(other, log_prior))


def _divergence(weights: Floats, log_prior: Floats) -> float:
    """KL(weights || prior) of two mixtures, or a Bregman distance of the entropy: both sum to the same."""
    used = weights > 0
    return float(weights[used] @ (np.log(weights[used]) - log_prior[used]))


def _distance(weights: Floats, anchor: Floats) -> float:
    """KL(weights || anchor), exact to rounding where both are nearly the same."""
    used = (weights > 0) & (anchor > 0)
    change = weights[used] - anchor[used]
    near = np.abs(change) < anchor[used] / 2
    ratio = np.where(near, 1.0, weights[used] / anchor[used])
    logs = np.where(near, np.log1p(np.where(near, change / anchor[used], 0.0)), np.log(ratio))
    return float((weights[used] * logs - change).sum())


def _tilt(weights: Floats, log_prior: Floats) -> Floats:
    """The gradient of KL(weights || prior), up to a constant; 0 where a weight is 0 and stays so."""
    used = weights > 0
    return np.where(used, _log(np.where(used, weights, 1.0)) - np.where(used, log_prior, 0.0), 0.0)


def _log(weights: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.log(weights)


def _refuse_unknown(
    names: Sequence[str], prior: Mixture, constraints: Constraints | None, gradient: Mapping[str, float]
) -> None:
    given = {
        "the prior": [name for name, weight in prior.weights.items() if weight],
        "a lower bound": [*constraints.lower] if constraints else [],
        "an upper bound": [*constraints.upper] if constraints else [],
        "the objective": [*gradient],
    }
    known = set(names)
    for what, used in given.items():
        unknown = [f"`{name}`" for name in used if name not in known]
        if unknown:
            msg = f"{what} is of {', '.join(unknown)}, which is no bucket"
            raise UsageError(msg, f"buckets: {', '.join(names)}")


def _check_finite(names: Sequence[str], value: float, gradient: Floats) -> None:
    if np.shape(gradient) != (len(names),):
        raise UsageError(f"the objective gave a gradient of shape {np.shape(gradient)}, not ({len(names)},)")
    wrong = [f"`{name}`" for name, part in zip(names, gradient, strict=True) if not math.isfinite(part)]
    if wrong or not math.isfinite(value):
        at = f" for {', '.join(wrong)}" if wrong else ""
        raise UsageError(f"the objective is not finite{at}: its value is {value}")
