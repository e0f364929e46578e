"""Schedules: policies that are known before training, so that limits can be checked on the whole of it.

A source that fits within its cap in each phase may exceed it over all of them, and the other way round: a phase may
draw more than its share if the whole run does not.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

from corpuskit.errors import CorpuskitError, UsageError
from corpuskit.mix.policies import Policy
from corpuskit.mix.presets import resolve_weights
from corpuskit.mix.problem import Bucket, Constraints, Mixture, as_written, largest_budget


@dataclass(frozen=True)
class Phase:
    """A stretch of training.

    Attributes:
        until: tokens of training at its end.
        mixture: what it draws.
        seq_len: tokens of a sequence; None: that of the recipe. Short ones first are Shortformer's (Press et al. 2021),
            long ones last ProLong's (Gao et al. 2024).
    """

    until: int | Fraction
    mixture: Mixture
    seq_len: int | None = None


class Schedule(Policy):
    """A policy whose mixtures up to its end, `budget` tokens, are known beforehand."""

    budget: int | Fraction

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
            msg = f"the schedule ends at {_count(self.budget)} tokens and says nothing of {t:,}"
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
        start: int | Fraction = 0
        for number, phase in enumerate(phases, 1):
            if phase.until <= start:
                msg = f"phase {number} ends at {_count(phase.until)} tokens, and begins at {_count(start)}"
                raise UsageError(msg)
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
        tokens = defaultdict[str, Fraction](Fraction)
        for start, phase in self.stretches():
            for name in phase.mixture.weights:
                tokens[name] += phase.mixture.exact(name) * (phase.until - start)
        return dict(sorted(tokens.items()))

    def stretches(self) -> Iterator[tuple[int | Fraction, Phase]]:
        """Each phase with the tokens at its beginning."""
        return zip([0, *(phase.until for phase in self.phases)], self.phases, strict=False)


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


def phase_end(until: float, begin: Fraction, tokens: int | None) -> Fraction:
    """Where a phase of a recipe ends, as a fraction of the run.

    Args:
        until: at most 1: such a fraction; above: tokens.
        begin: where it begins, as a fraction of the run.
        tokens: of the run; None: as many as the limits allow (`tokens: max`).

    Raises:
        UsageError: it ends before it began or behind the run, or is a number of tokens where the run has none.
    """
    if until > 1 and tokens is None:
        msg = f"`until: {_count(until)}` is a number of tokens, and `tokens` is `max`"
        raise UsageError(msg, "give a fraction of the tokens, such as 0.8, or a number of `tokens`")
    if until > 1 and until != int(until):
        msg = f"`until: {until:g}` is neither a fraction of the tokens (at most 1) nor a whole number of them"
        raise UsageError(msg)
    end = as_written(until) if tokens is None or until <= 1 else Fraction(int(until), tokens)
    if end > 1:
        msg = f"a phase ends at {_count(until)} tokens, and `tokens` is {tokens:,}"
        raise UsageError(msg, "raise `tokens`, or end the phase there with `until: 1`")
    if end <= begin:
        msg = f"a phase ends at {float(end):g} of the tokens, and begins at {float(begin):g}"
        raise UsageError(msg, "`until` is where a phase ends, counted from the beginning of the run, and rises")
    return end


def resolve_schedule(mix: Mapping[str, Any], buckets: Sequence[Bucket]) -> tuple[Phased, int]:
    """The schedule that `mix:` of a recipe describes over the domains of a corpus, and the largest feasible budget.

    Args:
        mix: `tokens` (a number, or "max"), `max_epochs`, `seq_len` and, where there are any, `lower` and `upper`; and
            `weights`, which make a schedule of one phase, or `phases`: [{until, weights, seq_len}].
        buckets: the domains.

    Raises:
        UsageError: weights are not those of this corpus; an `until` is impossible.
        Infeasible: a limit is broken over the whole run, or a method finds no mixture.
    """
    asked = None if mix["tokens"] == "max" else int(mix["tokens"])
    limits = Constraints(mix["max_epochs"], mix.get("lower", {}), mix.get("upper", {}))
    if "phases" in mix:
        phases = _resolved(mix["phases"], buckets, asked, limits.max_epochs)
    else:
        phases = [Phase(1, resolve_weights(mix["weights"], buckets, asked, limits), mix["seq_len"])]
    shares = Phased(phases).shares()
    largest = largest_budget(shares, buckets, limits.max_epochs)
    budget = largest if asked is None else asked
    limits.check(shares, buckets, budget)
    return Phased([Phase(phase.until * budget, phase.mixture, phase.seq_len) for phase in phases]), int(largest)


def _resolved(
    given: Sequence[Mapping[str, Any]], buckets: Sequence[Bucket], asked: int | None, max_epochs: float
) -> list[Phase]:
    """The phases of a recipe, ending at fractions of the run.

    A method sees the tokens of its phase, what the phases before leave of `max_epochs`, and no bounds of the recipe:
    these are of the whole run.
    """
    phases, begin = list[Phase](), Fraction(0)
    for number, one in enumerate(given, 1):
        left: dict[str, float] = {}
        try:
            end = phase_end(one["until"], begin, asked)
            tokens = None if asked is None else int((end - begin) * asked)
            if phases and asked is not None:
                left = _left(phases, buckets, asked, (end - begin) * asked, max_epochs)
            mixture = resolve_weights(one["weights"], buckets, tokens, Constraints(max_epochs, upper=left))
            phases.append(Phase(end, mixture, one["seq_len"]))
        except CorpuskitError as error:
            used_up = "the bounds are what the phases before leave of `max_epochs`: raise it, or upsample less there"
            raise type(error)(f"phase {number}: {error.message}", error.hint or (used_up if left else None)) from None
        begin = end
    if begin != 1:
        msg = f"the last phase ends at {float(begin):g} of the tokens"
        raise UsageError(msg, "let it end with the run: `until: 1`")
    return phases


def _left(
    phases: Sequence[Phase], buckets: Sequence[Bucket], asked: int, tokens: Fraction, max_epochs: float
) -> dict[str, float]:
    """The largest weights in a next phase of so many tokens that keep `max_epochs` over these phases and that one.

    Args:
        phases: those before it, ending at fractions of the `asked` tokens; a domain that they do not draw has no bound
            but its cap.
    """
    sizes = {bucket.name: as_written(max_epochs) * bucket.tokens for bucket in buckets}
    drawn = {name: part * asked for name, part in Phased(phases).drawn().items() if part and name in sizes}
    bounds = {name: min(max((sizes[name] - part) / tokens, Fraction(0)), Fraction(1)) for name, part in drawn.items()}
    # rounded down: the whole run is checked exactly
    return {name: math.nextafter(float(bound), 0) for name, bound in bounds.items()}


def _count(tokens: float | Fraction) -> str:
    """A number of tokens for people; beyond 15 digits it is rounded."""
    return f"{float(tokens):,.15g}"
