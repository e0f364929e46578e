"""Policies: which mixture to train on at a point of training, and what they learn on the way.

A policy sees plain numbers that a trainer recorded (`Statistics`, one for each source) and no model, so that a
recorded run replays exactly. To add one: subclass `Policy`, give `mixture`, and where it learns, `update` and the names
of what it remembers. Multiplicative steps are instances of the one problem of mixing (`corpuskit.mix.solve`).
`corpuskit.mix.aioli` and `corpuskit.mix.ado` hold two that need more than a page.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
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
    mixture for the next run; repeat with it as the reference's until its `largest_change` is under 1e-3.

    Args:
        prior: loss weights of the first step; the paper's are `uniform`.
        eta: step size. smoothing: share of the uniform mixture in every step.
    """

    remembers = ("weights", "scores", "total", "steps")

    def __init__(self, prior: Mixture, *, eta: float = 1.0, smoothing: float = 1e-3) -> None:
        super().__init__(prior.weights)
        self.eta, self.smoothing = eta, smoothing
        self.weights = plain(prior)
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
        self.weights = plain(prior)
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
        return Mixture(tilt(plain(uniform(self.names)), pull))

    def update(self, t: int, statistics: Mapping[str, Statistics]) -> None:
        """Record validation losses."""
        losses = list(needed(self, t, statistics, "loss").values())
        self.losses = [*self.losses, losses][-self.window :]


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


def tilt(weights: Mapping[str, float], scores: Mapping[str, float]) -> dict[str, float]:
    """A multiplicative step, weights * exp(scores), normalized: argmin -<scores, w> + KL(w || weights)."""
    return plain(solve({name: -score for name, score in scores.items()}, Mixture(weights), kl=1))


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


def plain(mixture: Mixture) -> dict[str, float]:
    """Weights by source as a dict of its own, which state can hold."""
    return {name: float(weight) for name, weight in mixture.weights.items()}


def _of(policy: Policy) -> str:
    return type(policy).__name__
