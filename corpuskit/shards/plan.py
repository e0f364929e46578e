"""How many blocks each phase of a mixture takes of each domain, and the files that its sequences are written to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from corpuskit.mix.problem import Mixture


def block_counts(
    phases: Sequence[tuple[Mixture, Fraction | int]],
    targets: Sequence[int],
    blocks: Sequence[int],
    names: Sequence[str],
    epochs: float,
) -> list[list[int]]:
    """Whole blocks that each phase of a feasible plan takes of each domain, by largest remainder.

    A domain with weight w needs w * tokens tokens, so w * tokens * blocks / targets blocks: weights are fractions of
    tokens, and a domain whose blocks are half padding needs twice as many of them. What the whole run takes is rounded
    first, and then shared out among the phases, each of which ends with what is due by then: errors do not add up, and
    phases of one mixture take together what one such phase would. Totals are rounded down; ties of remainders go to
    the first name; no domain gets more than `epochs` times its blocks.

    Args:
        phases: (mixture, tokens to predict) of each, in order.
        targets: predicted tokens of one epoch, per domain. blocks: of one epoch, per domain.
        names: of the domains.
        epochs: the most epochs of any domain, over all phases.
    """
    due, ends = [Fraction(0)] * len(names), []
    for mixture, budget in phases:
        due = [
            before + (mixture.exact(name) * budget * count / tokens if tokens else Fraction(0))
            for before, name, tokens, count in zip(due, names, targets, blocks, strict=True)
        ]
        ends.append(due)
    taken = [0] * len(names)
    limits = [int(Fraction(repr(float(epochs))) * count) for count in blocks]
    whole = _rounded(due, int(sum(due)), names, taken, limits)
    found = []
    for (mixture, _), so_far in zip(phases, ends, strict=True):
        most = [count if mixture.exact(name) else low for name, count, low in zip(names, whole, taken, strict=True)]
        shares = [
            count * part / last if count else Fraction(0) for count, part, last in zip(whole, so_far, due, strict=True)
        ]
        after = _rounded(shares, int(sum(so_far)), names, taken, most)
        found.append([end - begin for begin, end in zip(taken, after, strict=True)])
        taken = after
    return found


def _rounded(
    exact: Sequence[Fraction], total: int, names: Sequence[str], least: Sequence[int], most: Sequence[int]
) -> list[int]:
    """Each number rounded up or down, the largest remainders up, to sum to `total` where `least` and `most` allow."""
    counts = [max(low, min(int(share), high)) for share, low, high in zip(exact, least, most, strict=True)]
    missing = total - sum(counts)
    for k in sorted(range(len(names)), key=lambda k: (counts[k] - exact[k], names[k])):
        if missing > 0 and counts[k] < exact[k] and counts[k] < most[k]:
            counts[k] += 1
            missing -= 1
    return counts


def train_files(plan: Mapping[str, Any]) -> list[tuple[int, int, int]]:
    """(phase, first sequence of it, end) of each train file of the plan that `shards/plan.json` describes, in order."""
    found = []
    for number, phase in enumerate(plan.get("phases", [plan])):
        each, sequences = phase["sequences_per_file"], phase["sequences"]
        found += [(number, low, min(low + each, sequences)) for low in range(0, sequences, each)]
    return found
