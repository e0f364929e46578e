"""Aioli: a mixture that learns by probing how the share of one source moves the loss of another (Chen et al. 2024).

arXiv:2411.05735, algorithm 1. `Aioli` is the policy; `aioli_law` and `aioli_step` are its arithmetic, on plain numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from corpuskit.errors import UsageError
from corpuskit.mix.policies import Floats, Policy, Statistics, needed, plain, tilt, uniform
from corpuskit.mix.problem import Mixture


class Aioli(Policy):
    """Learns a linear law of losses in the shares of sources, round by round, and follows it.

    A round is: an observation, which begins it; one observation after each probe, a short stretch on a mixture that is
    mostly one source; `stretches` observations on the mixture that was learned. So the interval of observations is the
    length of a probe. Probes come in a new random order each time: losses fall throughout a round.

    Args:
        prior: the first mixture. eta: step size.
        focus: share of a probe's source; the others get the rest in equal parts.
        sweeps: probes of each source in a round. stretches: observations until the next round begins.
        average: share of the averaged law of earlier rounds in that of a round, which then tilts the uniform mixture;
            the published runs have 0.1 and 0.5. None: the law of each round tilts the weights of the last, as in
            algorithm 1.
        seed: of the order of probes.
    """

    remembers = ("weights", "losses", "drops", "law", "round", "place")

    def __init__(
        self,
        prior: Mixture,
        *,
        eta: float = 0.2,
        focus: float = 0.625,
        sweeps: int = 1,
        stretches: int,
        average: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(prior.weights)
        if len(self.names) < 2 or not 1 / len(self.names) < focus <= 1:
            msg = f"`focus` is {focus} for {len(self.names)} sources; it needs two or more, and more than an even share"
            raise UsageError(msg)
        if sweeps < 1 or stretches < 1:
            raise UsageError(f"`sweeps` is {sweeps} and `stretches` is {stretches}; both must be 1 or more")
        if average is not None and not 0 <= average < 1:
            raise UsageError(f"`average` is {average}; it is a share of earlier laws, from 0 to below 1")
        self.eta, self.focus, self.sweeps, self.stretches, self.seed = eta, focus, sweeps, stretches, seed
        self.average = average
        self.weights = plain(prior)
        self.losses: list[float] = []
        self.drops: list[list[float]] = []
        self.law: list[list[float]] = []
        """Averaged over rounds; as `aioli_law` gives it."""
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
            self._learn(aioli_law(np.array(self.drops), focus=self.focus))
        self.place += 1
        if self.place == last + self.stretches:
            self.round, self.place = self.round + 1, 0

    def _learn(self, law: Floats) -> None:
        if self.average is None:
            self.weights = aioli_step(self.weights, law, eta=self.eta)
            return
        mean = self.average * np.array(self.law) + (1 - self.average) * law if self.law else law
        self.law = mean.tolist()
        self.weights = aioli_step(plain(uniform(self.names)), mean, eta=self.eta)


def aioli_law(drops: Floats, *, focus: float) -> Floats:
    """A, float64 (groups, sources): what a share of source j does for the loss of group i, in parts of the whole.

    It solves W A_i = drops_i for each group i, is shifted as a whole so that none of it is negative, and divided by its
    sum. Where no loss moved it is 0.

    Args:
        drops: float64 (groups, sources), row i and column j: how far the loss of group i fell on the probe of source
            j; sources in the order of their names.
        focus: share of the probed source in its probe: the diagonal of W, whose other entries are equal.
    """
    sources = drops.shape[1]
    probes = np.full((sources, sources), (1 - focus) / (sources - 1))
    np.fill_diagonal(probes, focus)
    law = np.linalg.solve(probes, drops.T).T
    law -= min(law.min(), 0.0)
    return np.asarray(law / (law.sum() or 1.0))


def aioli_step(weights: Mapping[str, float], law: Floats, *, eta: float) -> dict[str, float]:
    """One step of Aioli: p exp(eta sum_i A_ij), normalized.

    Args:
        weights: by source. law: A, as `aioli_law` gives it. eta: step size.
    """
    return tilt(weights, dict(zip(sorted(weights), (eta * law.sum(axis=0)).tolist(), strict=True)))
