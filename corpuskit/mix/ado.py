"""ADO: a mixture that follows scaling laws of its sources, fitted while training (Jiang et al. 2024, arXiv:2410.11820).

`ADO` is the policy; `fit_power_law` and `ado_preference` are its arithmetic, on plain numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from corpuskit.errors import UsageError
from corpuskit.mix.laws import needs
from corpuskit.mix.policies import Floats, Policy, Statistics, plain, recorded
from corpuskit.mix.problem import Mixture


class ADO(Policy):
    """Follows the slope of a scaling law of each source, fitted while training (Jiang et al. 2024, arXiv:2410.11820).

    Args:
        prior: the natural mixture, drawn until there is a law.
        start: observations before the first fit, 4 or more. every: observations between fits.
    """

    remembers = ("seen", "losses", "history", "average", "weights", "laws")
    least: ClassVar[float] = 0.01
    """No source is preferred less."""
    follow: ClassVar[float] = 0.1
    """Share of what is new: in the history of draws, and in the mixture beside its average over time."""

    def __init__(self, prior: Mixture, *, start: int, every: int = 1) -> None:
        super().__init__(prior.weights)
        if start < 4 or every < 1:
            raise UsageError(f"`start` is {start} and `every` is {every}; a law of 3 parameters needs 4 observations")
        self.prior, self.start, self.every = plain(prior), start, every
        self.seen: list[int] = []
        """Tokens of all sources until each observation: the law's n, which all sources share."""
        self.losses: list[list[float]] = []
        self.history, self.average, self.weights = (plain(prior) for _ in range(3))
        self.laws: dict[str, list[float]] = {}

    def mixture(self, t: int) -> Mixture:
        """The prior until there is a law; then mostly its average over time, with a share of what is preferred now."""
        del t
        return Mixture(self.weights)

    def update(self, t: int, statistics: Mapping[str, Statistics]) -> None:
        """Record draws and training losses; a source that is absent keeps its last loss.

        Raises:
            UsageError: no source has tokens and a loss, or a loss is not above 0.
        """
        drawn, losses = recorded(statistics, "tokens"), recorded(statistics, "loss")
        for name, loss in losses.items():
            if loss <= 0:
                msg = f"ADO fits the logarithms of losses, above 0; that of `{name}` at {t:,} tokens is {loss:g}"
                raise UsageError(msg, "a loss of 0 or less is no mean over predicted tokens; look at what is recorded")
        total = sum(drawn.values())
        if not losses or total <= 0:
            raise UsageError(f"ADO needs `tokens` and `loss` of the sources in a batch; at {t:,} tokens there are none")
        shares = {name: drawn.get(name, 0.0) / total for name in self.names}
        self.history = {n: (1 - self.follow) * self.history[n] + self.follow * shares[n] for n in self.names}
        before = self.losses[-1] if self.losses else [sum(losses.values()) / len(losses)] * len(self.names)
        self.losses.append([losses.get(name, last) for name, last in zip(self.names, before, strict=True)])
        self.seen.append(int(total) + (self.seen[-1] if self.seen else 0))
        count = len(self.seen)
        if count >= self.start and (count - self.start) % self.every == 0:
            columns = zip(self.names, zip(*self.losses, strict=True), strict=True)
            self.laws = {name: fit_power_law(self.seen, column) for name, column in columns}
        if not self.laws:
            return
        preferred = ado_preference(self.prior, self.history, self.laws, self.seen[-1])
        floor = {name: max(weight, self.least) for name, weight in preferred.items()}
        wanted = {name: weight / sum(floor.values()) for name, weight in floor.items()}
        self.weights = {n: (1 - self.follow) * self.average[n] + self.follow * wanted[n] for n in self.names}
        self.average = {n: self.average[n] + (wanted[n] - self.average[n]) / (count + 1) for n in self.names}


def ado_preference(
    prior: Mapping[str, float], history: Mapping[str, float], laws: Mapping[str, Sequence[float]], n: int
) -> dict[str, float]:
    """What ADO prefers: prior * history^0.5 * max(alpha, 0.05) * (L - e^eps) / n, normalized.

    Args:
        prior, history: weights, and the moving average of what was drawn.
        laws: (a, eps, alpha) of L(n) = e^eps + e^a n^-alpha, as `fit_power_law` gives them.
        n: tokens so far.
    """
    slopes = {name: max(alpha, 0.05) * math.exp(a) * n**-alpha / n for name, (a, _, alpha) in laws.items()}
    scores = {name: prior[name] * history[name] ** 0.5 * slope for name, slope in slopes.items()}
    total = sum(scores.values())
    return {name: score / total for name, score in scores.items()} if total else dict(prior)


def fit_power_law(seen: Sequence[int], losses: Sequence[float]) -> list[float]:
    """(a, eps, alpha) of L(n) = e^eps + e^a n^-alpha, by Huber losses (delta 1e-3) of log losses from several starts.

    alpha is held in [0, 0.8], as by the paper, and e^eps below the smallest loss. The paper's bound on a is left out:
    it depends on what n counts.

    Args:
        seen: tokens at each observation, above 0. losses: in nats a token, above 0.

    Raises:
        UsageError: a loss is not a number above 0.
    """
    for tokens, loss in zip(seen, losses, strict=True):
        if not 0 < loss < math.inf:
            raise UsageError(f"the loss at {tokens:,} tokens is {loss:g}; a power law has losses above 0 alone")
    least_squares = needs("scipy.optimize").least_squares

    logs, targets = np.log(np.asarray(seen, np.float64)), np.log(np.asarray(losses, np.float64))

    def apart(point: Floats) -> Floats:
        return np.asarray(np.logaddexp(point[0] - point[2] * logs, point[1]) - targets)

    top = float(targets.min())
    # each start passes through the first loss, so that it is near whatever n counts
    starts = [
        (math.log(math.exp(targets[0]) - math.exp(top - gap)) + alpha * logs[0], top - gap, alpha)
        for gap in (0.01, 0.1, 0.3, 1, 3)
        for alpha in (0.02, 0.1, 0.2, 0.3, 0.5, 0.7)
    ]
    nearest = sorted(starts, key=lambda start: float(np.abs(apart(np.array(start))).sum()))[:4]
    bounds = ([-np.inf, -np.inf, 0], [np.inf, top, 0.8])
    fits = [least_squares(apart, start, bounds=bounds, loss="huber", f_scale=1e-3, x_scale="jac") for start in nearest]
    return [float(value) for value in min(fits, key=lambda fit: float(fit.cost)).x]
