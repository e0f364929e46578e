"""RegMix: the mixture that a law which cannot be differentiated finds best, by simulation.

Many mixtures are drawn around the prior, the laws predict their losses, and the best are averaged, which evens out the
steps of boosted trees (Liu et al. 2024, arXiv:2407.01492, section 3.3).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from corpuskit.errors import UsageError
from corpuskit.mix.laws import MixingLaw
from corpuskit.mix.problem import Bucket, Constraints, Infeasible, Mixture
from corpuskit.mix.swarm import described, dirichlet, within, within_prior

_BATCH = 10_000
_LEAST_DRAWN, _LEAST_KEPT = 100_000, 0.01
"""After so many draws at least this share must have kept the limits: less would take minutes, and more."""


def simulate(
    laws: Sequence[MixingLaw],
    prior: Mixture,
    *,
    samples: int = 100_000,
    best: int = 128,
    constraints: Constraints | None = None,
    buckets: Sequence[Bucket] = (),
    budget: int | None = None,
    seed: int = 0,
) -> Mixture:
    """Average the `best` of `samples` mixtures drawn from Dirichlet(prior) by the mean of the laws' predictions.

    The constraints hold for the result, since they hold for each mixture that is averaged. What is left over lower
    bounds is drawn, so that these cost no draw; draws above upper bounds are rejected.

    Args:
        laws: fitted, one a target metric; their domains are those of the prior, sorted by name.
        prior: fractions of tokens that the domains have.
        samples: how many mixtures are simulated.
        best: how many of them are averaged.
        constraints, buckets, budget: the limits, as `solve` takes them. Default: none, as RegMix does here.
        seed: the same arguments and seed give the same mixture.

    Raises:
        UsageError: no law, `best` is not from 1 to `samples`, or a limit names no domain.
        Infeasible: fewer than one in 100 mixtures that are drawn keeps the constraints.
    """
    if not laws or not 1 <= best <= samples:
        msg = (
            f"simulation averages the best {best} of {samples:,} mixtures by {len(laws)} laws; each must be at least 1"
        )
        raise UsageError(msg)
    names = tuple(prior.weights)
    box = within_prior(prior, constraints, buckets, budget)
    center, free = np.array(list(prior.weights.values())), 1 - box.low.sum()
    generator = np.random.default_rng(seed)
    kept, ratios, losses = 0, np.empty((0, len(names))), np.empty(0)
    for batch in itertools.count(1):
        drawn = box.low + free * dirichlet(generator, center, np.ones(_BATCH))
        drawn = within(drawn, box)[: samples - kept]
        kept += len(drawn)
        if batch * _BATCH >= _LEAST_DRAWN and kept < _LEAST_KEPT * batch * _BATCH:
            msg = f"of {batch * _BATCH:,} mixtures drawn {kept:,} keep the limits: {described(box)}"
            raise Infeasible(msg, "widen them, or use the method `mixing_law`, which finds its minimum without drawing")
        if len(drawn):
            predicted = np.mean([law.predict(drawn) for law in laws], axis=0)
            ratios, losses = np.vstack([ratios, drawn]), np.concatenate([losses, predicted])
            lowest = np.argsort(losses, kind="stable")[:best]
            ratios, losses = ratios[lowest], losses[lowest]
        if kept == samples:
            break
    return box.mixture(ratios.mean(axis=0))
