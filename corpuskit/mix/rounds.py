"""DoReMi iterated: the mixture that a round finds is drawn by the next one's reference model.

Its proxies read the same in every round, so that what a round finds depends on its reference model alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from corpuskit.mix.problem import Mixture

TOLERANCE = 1e-3
"""Xie et al. 2023, arXiv:2305.10429, section 2: rounds end when no weight moves by as much."""


@dataclass(frozen=True)
class Round:
    """What a round found, and the largest difference of a weight to what its reference model was trained on."""

    mixture: Mixture
    change: float

    @property
    def settled(self) -> bool:
        """Whether another round would hardly differ."""
        return self.change < TOLERANCE


def rounds(proxy: Callable[[Mixture], Mixture], first: Mixture, most: int) -> Iterator[Round]:
    """Rounds until the weights settle, at most so many.

    Args:
        proxy: trains a reference model on a mixture, and a proxy on its excess; gives what that found.
        first: the mixture of the first reference model.
    """
    drawn = first
    for _ in range(most):
        found = proxy(drawn)
        made = Round(found, found.largest_change(drawn))
        yield made
        if made.settled:
            return
        drawn = found
