"""The swarm: mixtures for small proxy runs, spread around a prior, from which a mixing law is learned.

Two ways: `swarm` draws from Dirichlet distributions around a tempered prior (RegMix, Liu et al. 2024,
arXiv:2407.01492); `halving_swarm` takes proportions that halve from the largest possible one (Data Mixing Laws, Ye et
al. 2024, arXiv:2403.16952, algorithm 1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from corpuskit.errors import UsageError, did_you_mean
from corpuskit.mix.box import Box
from corpuskit.mix.laws import Floats
from corpuskit.mix.problem import Bucket, Constraints, Infeasible, Mixture
from corpuskit.mix.runs import Ratios

MINIMUM = 2e-4
"""A smaller weight is drawn as 0: a proxy run would see too few sequences of it to tell."""

_STRENGTHS = 15
_BATCH = 256
_TRIES = 1000
_MOST = 1_000_000


def swarm(
    prior: Mixture,
    n: int,
    *,
    temperature: float = 2.0,
    strength: tuple[float, float] = (0.1, 5.0),
    constraints: Constraints | None = None,
    seed: int = 0,
) -> Ratios:
    """Draw proxy mixtures from Dirichlet(s * prior^(1/temperature)).

    s is one of 15 values, log-spaced over `strength`, drawn anew for each mixture: small ones give mixtures of few
    domains, large ones mixtures near the prior. No mixture is drawn twice. The defaults are RegMix's, which writes the
    temperature as its reciprocal, 0.5.

    Args:
        prior: fractions of tokens that the domains have; a domain without weight gets none.
        n: number of mixtures.
        temperature: above 1 it lifts small domains.
        strength: smallest and largest s, above 0.
        constraints: a weight is at most `max_epochs` times that of the prior (epochs of a run over as many tokens as
            there are), and keeps `lower` and `upper`; draws that do not are rejected. Default: 15 epochs.
        seed: the same arguments and seed give the same table; a larger one begins with the rows of a smaller.

    Returns:
        A table of n mixtures; runs are named 1 to n.

    Raises:
        UsageError: an argument is out of its range.
        Infeasible: no mixture, or nearly none, keeps the constraints.
    """
    if n < 1 or temperature <= 0 or not 0 < strength[0] <= strength[1]:
        msg = f"swarm(n={n}, temperature={temperature:g}, strength={strength}): all above 0, strengths ascending"
        raise UsageError(msg)
    names = tuple(prior.weights)
    box = within_prior(prior, constraints or Constraints(max_epochs=15), *_as_sizes(prior))
    center = np.array(list(prior.weights.values())) ** (1 / temperature)
    center /= center.sum()
    generator = np.random.default_rng(seed)
    strengths = np.geomspace(*strength, _STRENGTHS)
    kept: dict[bytes, Floats] = {}
    for _ in range(_TRIES * -(-n // _BATCH)):
        drawn = within(dirichlet(generator, center, generator.choice(strengths, size=_BATCH)), box)
        # weak draws are often all one domain: a second run of a mixture would teach nothing
        for key, row in zip(np.rint(drawn / MINIMUM).astype(np.int32), drawn, strict=True):
            kept.setdefault(key.tobytes(), row)
        if len(kept) >= n:
            return Ratios(tuple(str(run) for run in range(1, n + 1)), names, np.array(list(kept.values())[:n]))
    drawn_in_all = _TRIES * -(-n // _BATCH) * _BATCH
    msg = f"only {len(kept)} different mixtures of {drawn_in_all:,} drawn keep the limits: {described(box)}"
    raise Infeasible(msg, "raise max_epochs, widen lower and upper, or raise the strength")


def halving_swarm(largest: Mapping[str, float], n: int, *, grid: float = 0.01, seed: int = 0) -> Ratios:
    """Mixtures whose proportions are the largest possible ones, halved again and again.

    Losses change with the logarithm of a proportion, so that halving spreads them evenly. The smallest domain takes
    what the others leave. A quarter of the mixtures leave a domain out, where there are such.

    Args:
        largest: highest proportion of each domain: its tokens, times the epochs allowed, over the budget.
        n: number of mixtures.
        grid: the first proportion of a domain is the largest multiple of it; one below it is 0.
        seed: of the choice among all such mixtures.

    Raises:
        Infeasible: there are fewer than n such mixtures, or over a million.
    """
    if len(largest) < 2 or n < 1 or not 0 < grid < 1 or min(largest.values()) <= 0:
        raise UsageError(f"halving_swarm(n={n}, grid={grid:g}): needs two domains or more and positive proportions")
    names = sorted(largest, key=lambda name: (-largest[name], name))
    mixtures: list[list[float]] = []
    for mixture in _halved([min(1.0, largest[name]) for name in names], grid):
        if len(mixtures) == _MOST:
            raise Infeasible(f"over {_MOST:,} mixtures of {len(names)} domains on a grid of {grid:g}", "raise the grid")
        mixtures.append(mixture)
    if len(mixtures) < n:
        raise Infeasible(
            f"the grid of {grid:g} holds {len(mixtures)} mixtures, fewer than {n}", "ask for fewer, or raise max_epochs"
        )
    generator = np.random.default_rng(seed)
    table = generator.permutation(np.array(mixtures))
    lacking = (table == 0).any(axis=1)
    few, whole = table[lacking], table[~lacking]
    sparse = min(len(few), max(n // 4, n - len(whole)))
    chosen = np.vstack([whole[: n - sparse], few[:sparse]])
    order = np.argsort(names)
    return Ratios(tuple(str(run) for run in range(1, n + 1)), tuple(sorted(names)), chosen[:, order])


def dirichlet(generator: np.random.Generator, center: Floats, strengths: Floats) -> Floats:
    """Draw [n, domains] from Dirichlet(s * center), s of [n]; weights below `MINIMUM` are 0, rows sum to 1."""
    # a Dirichlet draw is gamma draws over their sum; tiny shapes may give all zeros, which is no mixture
    drawn = generator.standard_gamma(strengths[:, None] * center[None, :])
    drawn = drawn[drawn.sum(axis=1) > 0]
    drawn /= drawn.sum(axis=1, keepdims=True)
    drawn[drawn < MINIMUM] = 0.0
    return np.asarray(drawn / drawn.sum(axis=1, keepdims=True))


def within_prior(prior: Mixture, constraints: Constraints | None, buckets: Sequence[Bucket], budget: int | None) -> Box:
    """The box of mixtures that are drawn around a prior.

    Raises:
        UsageError: a bound or a bucket names no domain of the prior.
        Infeasible: the box is empty.
    """
    names = tuple(prior.weights)
    bounds = {*constraints.lower, *constraints.upper} if constraints else set()
    unknown = sorted((bounds | {bucket.name for bucket in buckets}) - set(names))
    if unknown:
        hint = did_you_mean(unknown[0], names) or f"its domains: {', '.join(names)}"
        raise UsageError(f"the limits name `{unknown[0]}`, which is no domain of the prior", hint)
    return Box.of(names, prior, constraints, buckets, budget)


def within(drawn: Floats, box: Box) -> Floats:
    """The rows of [n, domains] that lie in the box."""
    return np.asarray(drawn[((drawn >= box.low) & (drawn <= box.high)).all(axis=1)])


def described(box: Box) -> str:
    """The bounds that bind, for an error."""
    bounds = zip(box.names, box.low, box.high, strict=True)
    return (
        ", ".join(f"{low:.4g} <= {name} <= {high:.4g}" for name, low, high in bounds if low > 0 or high < 1) or "none"
    )


def _as_sizes(prior: Mixture) -> tuple[list[Bucket], int]:
    """Buckets in the proportions of a prior, and their sum."""
    whole = math.lcm(*(prior.exact(name).denominator for name in prior.weights))
    return [Bucket(name, int(prior.exact(name) * whole), 0) for name in prior.weights], whole


def _halved(largest: list[float], grid: float) -> Iterator[list[float]]:
    """All mixtures in which each proportion, but the last, is 0 or a halving of the largest multiple of `grid`."""
    steps = []
    for most in largest[:-1]:
        top = grid * math.floor(most / grid + 1e-9)
        steps.append([top / 2**s for s in range(64) if top / 2**s >= grid * (1 - 1e-9)] + [0.0])

    def fill(chosen: list[float], left: float) -> Iterator[list[float]]:
        if len(chosen) == len(steps):
            if left <= largest[-1] + 1e-12:
                yield [*chosen, left]
            return
        for proportion in steps[len(chosen)]:
            if proportion <= left + 1e-12:
                yield from fill([*chosen, proportion], max(0.0, left - proportion))

    return fill([], 1.0)
