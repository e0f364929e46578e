"""Schedules: policies that are known before training, so that limits can be checked on the whole of it.

A source that fits within its cap in each phase may exceed it over all of them, and the other way round: a phase may
draw more than its share if the whole run does not.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from corpuskit.errors import UsageError
from corpuskit.mix.policies import Policy
from corpuskit.mix.problem import Bucket, Constraints, Mixture


@dataclass(frozen=True)
class Phase:
    """A stretch of training.

    Attributes:
        until: tokens of training at its end.
        mixture: what it draws.
        seq_len: tokens of a sequence; None: that of the recipe. Short ones first are Shortformer's (Press et al. 2021),
            long ones last ProLong's (Gao et al. 2024).
    """

    until: int
    mixture: Mixture
    seq_len: int | None = None


class Schedule(Policy):
    """A policy whose mixtures up to its end, `budget` tokens, are known beforehand."""

    budget: int

    @abstractmethod
    def drawn(self) -> dict[str, Fraction]:
        """Tokens of each source in the whole run, exactly."""

    def shares(self) -> Mixture:
        """Shares of the sources in the whole run."""
        return Mixture({name: tokens / self.budget for name, tokens in self.drawn().items()})

    def inside(self, t: int) -> int:
        """`t`, if it is a point of the schedule.

        Raises:
            UsageError: it lies before or beyond.
        """
        if not 0 <= t < self.budget:
            msg = f"the schedule ends at {self.budget:,} tokens and says nothing of {t:,}"
            raise UsageError(msg, "let the last phase end where training does")
        return t


class Phased(Schedule):
    """One phase after the other.

    Args:
        phases: in order; the last one ends where training ends.

    Raises:
        UsageError: there is none, or one does not end after it began.
    """

    def __init__(self, phases: Sequence[Phase]) -> None:
        if not phases:
            raise UsageError("a schedule without phases says nothing", "give at least one phase with `until`")
        super().__init__({name for phase in phases for name in phase.mixture.weights})
        start = 0
        for number, phase in enumerate(phases, 1):
            if phase.until <= start:
                raise UsageError(f"phase {number} ends at {phase.until:,} tokens, and begins at {start:,}")
            if phase.seq_len is not None and phase.seq_len < 1:
                raise UsageError(f"`seq_len` of phase {number} is {phase.seq_len}; it must be 1 or more")
            start = phase.until
        self.phases, self.budget = tuple(phases), start

    def phase(self, t: int) -> Phase:
        """The phase at `t`; a phase begins at the `until` of the one before."""
        return next(phase for phase in self.phases if self.inside(t) < phase.until)

    def mixture(self, t: int) -> Mixture:
        """What the phase at `t` draws."""
        return self.phase(t).mixture

    def drawn(self) -> dict[str, Fraction]:
        """The sum of weight * length over phases."""
        tokens, start = defaultdict[str, Fraction](Fraction), 0
        for phase in self.phases:
            for name in phase.mixture.weights:
                tokens[name] += phase.mixture.exact(name) * (phase.until - start)
            start = phase.until
        return dict(sorted(tokens.items()))


class Interpolated(Schedule):
    """Mixtures that change linearly with the tokens from one point to the next.

    Args:
        points: (tokens, mixture) in order; the first at 0, the last where training ends.

    Raises:
        UsageError: there are fewer than two, the first is not at 0, or one is not after the one before.
    """

    def __init__(self, points: Sequence[tuple[int, Mixture]]) -> None:
        at = [tokens for tokens, _ in points]
        if len(at) < 2 or at[0] != 0 or any(after <= before for before, after in pairwise(at)):
            raise UsageError(f"points at {at} tokens cannot be interpolated", "two or more, rising, the first at 0")
        super().__init__({name for _, mixture in points for name in mixture.weights})
        self.points, self.budget = tuple(points), at[-1]

    def mixture(self, t: int) -> Mixture:
        """The mixture on the line between the points around `t`."""
        for (start, first), (end, last) in pairwise(self.points):
            if self.inside(t) < end:
                done = Fraction(t - start, end - start)
                return Mixture({n: (1 - done) * first.exact(n) + done * last.exact(n) for n in self.names})
        raise AssertionError  # `inside` has refused what is beyond the last point

    def drawn(self) -> dict[str, Fraction]:
        """The integral of the weights: trapezoids."""
        pairs = list(pairwise(self.points))
        return {
            name: sum(
                ((first.exact(name) + last.exact(name)) / 2 * (end - start) for (start, first), (end, last) in pairs),
                Fraction(0),
            )
            for name in self.names
        }


@dataclass(frozen=True)
class Whole:
    """A schedule as a whole: shares of all tokens, and epochs, by source."""

    shares: Mixture
    epochs: dict[str, float]


def check_schedule(schedule: Schedule, buckets: Sequence[Bucket], constraints: Constraints) -> Whole:
    """Check limits on the whole of a schedule.

    Raises:
        Infeasible: a source exceeds `max_epochs` or a bound over the whole run, or holds nothing; names the sources
            and the largest budget at these shares.
    """
    shares = schedule.shares()
    constraints.check(shares, buckets, schedule.budget)
    return Whole(shares, shares.epochs(buckets, schedule.budget))
