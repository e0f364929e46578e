"""Policies: which mixture to train on at a point of training, and what they learn on the way.

A policy sees plain numbers that a trainer recorded (`Statistics`, one for each source) and no model, so that a
recorded run replays exactly. To add one: subclass `Policy`, give `mixture`, and where it learns, `update` and the names
of what it remembers. Multiplicative steps are instances of the one problem of mixing (`corpuskit.mix.solve`).
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from corpuskit.errors import UsageError, did_you_mean
from corpuskit.mix.problem import Mixture
from corpuskit.mix.solve import solve

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Statistics:
    """What a trainer recorded of one source since the observation before; None: not recorded, or not in the batch.

    Attributes:
        tokens: tokens that were drawn from it.
        loss: mean loss in nats a token; of validation for Skill-It and Aioli, of training for ADO.
        excess: mean over tokens of max(loss - reference loss, 0), as `clipped_excess` gives it.
        alignment: inner product of its gradient and that of the validation loss.
        norm: Euclidean norm of its gradient.
        learning_rate: of the optimizer at this step; the same for all sources.
    """

    tokens: int | None = None
    loss: float | None = None
    excess: float | None = None
    alignment: float | None = None
    norm: float | None = None
    learning_rate: float | None = None


class Policy(ABC):
    """A mixture for every point of training; `t` counts the tokens that were trained on before it.

    Args:
        names: sources that it mixes.
    """

    remembers: ClassVar[tuple[str, ...]] = ()
    """Attributes that are learned: plain JSON values, saved with the checkpoint."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(sorted(names))

    @abstractmethod
    def mixture(self, t: int) -> Mixture:
        """What to draw at `t`."""

    def observe(self, t: int, statistics: Mapping[str, Statistics]) -> None:
        """Learn from what was recorded up to `t`; a source that is not named was not in the batch.

        Raises:
            UsageError: a source is unknown, a number is not finite, or one that the policy needs is missing.
        """
        for name, recorded in statistics.items():
            if name not in self.names:
                hint = did_you_mean(name, self.names) or f"it mixes: {', '.join(self.names)}"
                raise UsageError(f"statistics at {t:,} tokens are of `{name}`, which {_of(self)} does not mix", hint)
            for field in fields(recorded):
                value = getattr(recorded, field.name)
                if value is not None and not math.isfinite(value):
                    msg = f"`{field.name}` of `{name}` at {t:,} tokens is {value}"
                    raise UsageError(msg, "training diverged there: go on from an earlier checkpoint")
        self.update(t, statistics)

    def update(self, t: int, statistics: Mapping[str, Statistics]) -> None:  # noqa: B027  (fixed policies learn nothing)
        """Learn from checked statistics; a policy that is fixed does nothing."""

    def state(self) -> dict[str, Any]:
        """What was learned, as plain JSON."""
        learned = {name: getattr(self, name) for name in self.remembers}
        return json.loads(json.dumps({"policy": _of(self), "sources": self.names, **learned}))  # type: ignore[no-any-return]

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()` of the same policy over the same sources: bit for bit as if never interrupted.

        Raises:
            UsageError: the state is of another policy or of other sources.
        """
        for what, own in (("policy", _of(self)), ("sources", list(self.names))):
            if state.get(what) != own:
                msg = f"the checkpoint's {what} is {state.get(what)}, the recipe's is {own}"
                raise UsageError(msg, "train in a root of its own, or undo the change of the recipe")
        missing = [name for name in self.remembers if name not in state]
        if missing:
            raise UsageError(f"the checkpoint's state of {_of(self)} lacks {', '.join(missing)}")
        for name, value in json.loads(json.dumps({name: state[name] for name in self.remembers})).items():
            setattr(self, name, value)


class Static(Policy):
    """One mixture throughout."""

    def __init__(self, mixture: Mixture) -> None:
        super().__init__(mixture.weights)
        self._mixture = mixture

    def mixture(self, t: int) -> Mixture:
        """The mixture, at any `t`."""
        del t
        return self._mixture


class GroupDRO(Policy):
    """DoReMi's proxy run (Xie et al. 2023, arXiv:2305.10429, algorithm 1).

    Batches are drawn uniformly over sources, and the trainer weighs their losses by `loss_weights`. `result` is the
    mixture for the next run; repeat with it as the reference's until `largest_change` is under 1e-3.

    Args:
        prior: loss weights of the first step; the paper's are `uniform`.
        eta: step size. smoothing: share of the uniform mixture in every step.
    """

    remembers = ("weights", "scores", "total", "steps")

    def __init__(self, prior: Mixture, *, eta: float = 1.0, smoothing: float = 1e-3) -> None:
        super().__init__(prior.weights)
        self.eta, self.smoothing = eta, smoothing
        self.weights = _plain(prior)
        self.scores = dict.fromkeys(self.names, 0.0)
        self.total = dict.fromkeys(self.names, 0.0)
        self.steps = 0

    def mixture(self, t: int) -> Mixture:
        """What to draw: every source equally, whatever the weights of the losses."""
        del t
        return uniform(self.names)

    @property
    def loss_weights(self) -> Mixture:
        """What to weigh the losses of this step with."""
        return Mixture(self.weights)

    @property
    def result(self) -> Mixture:
        """The mean of the weights over all steps."""
        return Mixture({name: total / self.steps for name, total in self.total.items()} if self.steps else self.weights)

    def update(self, t: int, statistics: Mapping[str, Statistics]) -> None:
        """One step of the weights; a source that is absent keeps its last score."""
        given = recorded(statistics, "excess")
        negative = [f"`{name}`" for name, value in given.items() if value < 0]
        if negative:
            msg = (
                f"the excess of {', '.join(negative)} at {t:,} tokens is below 0: it was averaged before it was clipped"
            )
            raise UsageError(msg, "clip each token's excess at 0, then average: `clipped_excess`")
        self.scores |= given
        moved = tilt(self.weights, {name: self.eta * score for name, score in self.scores.items()})
        even = self.smoothing / len(self.names)
        self.weights = {name: (1 - self.smoothing) * weight + even for name, weight in moved.items()}
        self.total = {name: total + self.weights[name] for name, total in self.total.items()}
        self.steps += 1


class Aioli(Policy):
    """Learns how the share of one source moves the loss of another, by a linear law (Chen et al. 2024).

    arXiv:2411.05735, algorithm 1.

    A round is: an observation, which begins it; one observation after each probe, a short stretch on a mixture that is
    mostly one source; `stretches` observations on the mixture that was learned. So the interval of observations is the
    length of a probe. Probes come in a new random order each time: losses fall throughout a round.

    Args:
        prior: the first mixture. eta: step size.
        focus: share of a probe's source; the others get the rest in equal parts.
        sweeps: probes of each source in a round. stretches: observations until the next round begins.
        seed: of the order of probes.
    """

    remembers = ("weights", "losses", "drops", "round", "place")

    def __init__(
        self, prior: Mixture, *, eta: float = 0.2, focus: float = 0.625, sweeps: int = 1, stretches: int, seed: int = 0
    ) -> None:
        super().__init__(prior.weights)
        if len(self.names) < 2 or not 1 / len(self.names) < focus <= 1:
            msg = f"`focus` is {focus} for {len(self.names)} sources; it needs two or more, and more than an even share"
            raise UsageError(msg)
        if sweeps < 1 or stretches < 1:
            raise UsageError(f"`sweeps` is {sweeps} and `stretches` is {stretches}; both must be 1 or more")
        self.eta, self.focus, self.sweeps, self.stretches, self.seed = eta, focus, sweeps, stretches, seed
        self.weights = _plain(prior)
        self.losses: list[float] = []
        self.drops: list[list[float]] = []
        self.round = 0
        self.place = 0
        """Observations of this round so far."""

    @property
    def probe(self) -> str | None:
        """The source that is being probed; None between probes."""
        if not 1 <= self.place <= len(self.names) * self.sweeps:
            return None
        sweep, turn = divmod(self.place - 1, len(self.names))
        order = np.random.default_rng([self.seed, self.round, sweep]).permutation(len(self.names))
        return self.names[int(order[turn])]

    def mixture(self, t: int) -> Mixture:
        """A probe's mixture, or the one that was learned."""
        del t
        if self.probe is None:
            return Mixture(self.weights)
        rest = (1 - self.focus) / (len(self.names) - 1)
        return Mixture({name: self.focus if name == self.probe else rest for name in self.names})

    def update(self, t: int, statistics: Mapping[str, Statistics]) -> None:
        """Record validation losses; after the last probe of a round, take a step."""
        losses = list(needed(self, t, statistics, "loss").values())
        if self.place == 0:
            self.drops = [[0.0] * len(self.names) for _ in self.names]
        if self.probe is not None:
            column = self.names.index(self.probe)
            for row, (before, after) in enumerate(zip(self.losses, losses, strict=True)):
                self.drops[row][column] += (before - after) / self.sweeps
        self.losses = losses
        last = len(self.names) * self.sweeps
        if self.place == last:
            self.weights = aioli_step(self.weights, np.array(self.drops), eta=self.eta, focus=self.focus)
        self.place += 1
        if self.place == last + self.stretches:
            self.round, self.place = self.round + 1, 0


def aioli_step(weights: Mapping[str, float], drops: Floats, *, eta: float, focus: float) -> dict[str, float]:
    """One step of Aioli: p exp(eta sum_i A_ij), normalized.

    A solves W A_i = drops_i for each group i, is shifted as a whole so that none of it is negative, and divided by its
    sum.

    Args:
        weights: by source. eta: step size.
        drops: float64 (groups, sources), row i and column j: how far the loss of group i fell on the probe of source
            j; sources in the order of their names.
        focus: share of the probed source in its probe.
    """
    sources = drops.shape[1]
    probes = np.full((sources, sources), (1 - focus) / (sources - 1))
    np.fill_diagonal(probes, focus)
    law = np.linalg.solve(probes, drops.T).T
    law -= min(law.min(), 0.0)
    law /= law.sum() or 1.0  # all drops 0: nothing is learned
    return tilt(weights, dict(zip(sorted(weights), (eta * law.sum(axis=0)).tolist(), strict=True)))


class DoGE(Policy):
    """Weighs sources by how well their gradients align with that of the validation loss (Fan et al. 2023).

    arXiv:2310.15393; `result` is the mixture for the next run. An absent source counts as one without a gradient.

    Args:
        prior: the first mixture; the paper's is `uniform`. mu: strength of the pull to the last mixture.
    """

    remembers = ("weights", "total", "steps")
    most: ClassVar[float] = 5.0
    """Scores are clipped to [0, most * learning rate]."""

    def __init__(self, prior: Mixture, *, mu: float) -> None:
        super().__init__(prior.weights)
        if not mu > 0:
            raise UsageError(f"`mu` is {mu}; it divides scores and must be above 0")
        self.mu = mu
        self.weights = _plain(prior)
        self.total = dict.fromkeys(self.names, 0.0)
        self.steps = 0

    def mixture(self, t: int) -> Mixture:
        """The weights of the last step."""
        del t
        return Mixture(self.weights)

    @property
    def result(self) -> Mixture:
        """The mean of the weights over all steps."""
        return Mixture({name: total / self.steps for name, total in self.total.items()} if self.steps else self.weights)

    def update(self, t: int, statistics: Mapping[str, Statistics]) -> None:
        """softmax(log w + score / mu), score = lr <g_j, g_val> / mean |g|, clipped."""
        present = {name: s for name, s in statistics.items() if s.alignment is not None}
        norms, rates = recorded(present, "norm"), recorded(present, "learning_rate")
        if not present or set(norms) != set(present) or set(rates) != set(present):
            raise UsageError(f"DoGE needs `alignment`, `norm` and `learning_rate` at {t:,} tokens; one is missing")
        mean = sum(norms.values()) / len(self.names)
        scores = dict.fromkeys(self.names, 0.0)
        for name, alignment in recorded(present, "alignment").items():
            scores[name] = rates[name] * min(max(alignment / mean, 0.0), self.most) / self.mu if mean else 0.0
        self.weights = tilt(self.weights, scores)
        self.total = {name: total + self.weights[name] for name, total in self.total.items()}
        self.steps += 1


class SkillIt(Policy):
    """Weighs sources by the losses they are known to help (Chen et al. 2023, Skill-It, arXiv:2307.14430).

    Args:
        graph: by source, what it does for the loss of each source (row: what is trained on; column: what is helped).
        eta: step size. window: observations whose losses are summed.
    """

    remembers = ("losses",)

    def __init__(self, graph: Mapping[str, Mapping[str, float]], *, eta: float, window: int = 3) -> None:
        super().__init__(graph)
        unknown = sorted({to for row in graph.values() for to in row} - set(graph))
        if unknown or window < 1:
            wrong = f"an edge leads to `{unknown[0]}`, which is no source" if unknown else f"`window` is {window}"
            raise UsageError(f"the graph of Skill-It cannot be used: {wrong}")
        self.eta, self.window = eta, window
        self.graph = np.array([[graph[name].get(to, 0.0) for to in self.names] for name in self.names])
        self.losses: list[list[float]] = []

    def mixture(self, t: int) -> Mixture:
        """Proportional to exp(eta A sum of recent losses); before the first observation all losses count as 1."""
        del t
        recent = np.sum(self.losses or [[1.0] * len(self.names)], axis=0)
        pull = dict(zip(self.names, (self.eta * self.graph @ recent).tolist(), strict=True))
        return Mixture(tilt(_plain(uniform(self.names)), pull))

    def update(self, t: int, statistics: Mapping[str, Statistics]) -> None:
        """Record validation losses."""
        losses = list(needed(self, t, statistics, "loss").values())
        self.losses = [*self.losses, losses][-self.window :]


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
        self.prior, self.start, self.every = _plain(prior), start, every
        self.seen: list[int] = []
        """Tokens of all sources until each observation: the law's n, which all sources share."""
        self.losses: list[list[float]] = []
        self.history, self.average, self.weights = (_plain(prior) for _ in range(3))
        self.laws: dict[str, list[float]] = {}

    def mixture(self, t: int) -> Mixture:
        """The prior until there is a law; then mostly its average over time, with a share of what is preferred now."""
        del t
        return Mixture(self.weights)

    def update(self, t: int, statistics: Mapping[str, Statistics]) -> None:
        """Record draws and training losses; a source that is absent keeps its last loss."""
        drawn, losses = recorded(statistics, "tokens"), recorded(statistics, "loss")
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
    """
    from scipy.optimize import least_squares  # type: ignore[import-untyped,unused-ignore]

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


def uniform(names: Iterable[str]) -> Mixture:
    """Every source equally."""
    held = sorted(names)
    return Mixture({name: 1 / len(held) for name in held})


def clipped_excess(losses: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Mean over tokens of max(loss - reference loss, 0): clipped by token, not after the mean (DoReMi, section 2).

    Args:
        losses, reference: nats, one for each token of a source in the batch.
    """
    return float(np.maximum(np.subtract(losses, reference), 0.0).mean())


def largest_change(before: Mixture, after: Mixture) -> float:
    """The largest difference of a weight: DoReMi is repeated until it is under 1e-3."""
    return max(_changes(before, after))


def total_variation(before: Mixture, after: Mixture) -> float:
    """Half the sum of all differences of weights: the share of tokens that is drawn from elsewhere."""
    return sum(_changes(before, after)) / 2


def _changes(before: Mixture, after: Mixture) -> list[float]:
    return [float(abs(before.exact(n) - after.exact(n))) for n in sorted({*before.weights, *after.weights})]


def tilt(weights: Mapping[str, float], scores: Mapping[str, float]) -> dict[str, float]:
    """A multiplicative step, weights * exp(scores), normalized: argmin -<scores, w> + KL(w || weights)."""
    return _plain(solve({name: -score for name, score in scores.items()}, Mixture(weights), kl=1))


def recorded(statistics: Mapping[str, Statistics], field: str) -> dict[str, float]:
    """One number by source, of those that have it."""
    given = {name: getattr(statistics[name], field) for name in sorted(statistics)}
    return {name: value for name, value in given.items() if value is not None}


def needed(policy: Policy, t: int, statistics: Mapping[str, Statistics], field: str) -> dict[str, float]:
    """One number by source, of all sources of a policy, in the order of their names.

    Raises:
        UsageError: a source lacks it.
    """
    given = recorded(statistics, field)
    missing = [f"`{name}`" for name in policy.names if name not in given]
    if missing:
        raise UsageError(
            f"{_of(policy)} needs `{field}` of every source; at {t:,} tokens {', '.join(missing)} has none"
        )
    return given


def _plain(mixture: Mixture) -> dict[str, float]:
    return {name: float(weight) for name, weight in mixture.weights.items()}


def _of(policy: Policy) -> str:
    return type(policy).__name__
