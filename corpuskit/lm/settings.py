"""What is estimated, and the errors of what cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corpuskit.errors import UsageError

HIGHEST = 6
"""kenlm reads orders 2 to 6."""

Discounts = tuple[float, float, float, float]
"""What is taken from an n-gram of count 0, 1, 2, and 3 or more."""

FALLBACK: Discounts = (0.0, 0.5, 1.0, 1.5)
"""Discounts of `discount_fallback`, as lmplz has them."""


@dataclass(frozen=True)
class Settings:
    """A model to estimate.

    Attributes:
        order: words of the longest n-grams, 1 to 6.
        prune: for each order from 1 on, the count up to which its n-grams are left out; the last holds for the orders
            that are not named.
        interpolate_unigrams: whether words share their mass with `<unk>` evenly; otherwise `<unk>` gets all that is
            left.
        discount_fallback: take discounts of 0.5, 1 and 1.5 in orders where there is too little text to estimate them.

    Raises:
        UsageError: the order is none of these, or `prune` has too many counts, or they fall.
    """

    order: int
    prune: tuple[int, ...] = ()
    interpolate_unigrams: bool = True
    discount_fallback: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.order <= HIGHEST:
            raise UsageError(f"a model of order {self.order} cannot be: kenlm reads orders up to {HIGHEST}")
        shown = " ".join(map(str, self.prune))
        if len(self.prune) > self.order:
            raise UsageError(f"`prune` has {len(self.prune)} counts ({shown}) for a model of order {self.order}")
        if any(count < 0 for count in self.prune) or list(self.prune) != sorted(self.prune):
            raise UsageError(
                f"`prune` {shown}: counts start at 0 and do not fall",
                "an n-gram can be left out only with the longer ones that end in it",
            )

    @property
    def thresholds(self) -> list[int]:
        """The count up to which n-grams are left out, for each order."""
        return [*self.prune, *[self.prune[-1] if self.prune else 0] * (self.order - len(self.prune))]


def discounts_of(counted: Sequence[int], order: int, *, fallback: bool) -> Discounts:
    """Discounts of one order by the counts of counts (Chen and Goodman 1998, equation 26).

    Args:
        counted: how many n-grams have the adjusted counts 0, 1, 2, 3 and 4.
        fallback: give `FALLBACK` where there are none.

    Raises:
        UsageError: they cannot be estimated, and there is no fallback.
    """
    missing = next((count for count in (1, 2, 3) if not counted[count]), None)
    if missing is not None:
        reason = f"none has the adjusted count {missing}"
    else:
        y = counted[1] / (counted[1] + 2 * counted[2])
        found = [count - (count + 1) * y * counted[count + 1] / counted[count] for count in (1, 2, 3)]
        wrong = next((count for count, one in enumerate(found, start=1) if not 0 <= one <= count), None)
        if wrong is None:
            return 0.0, *found  # type: ignore[return-value]
        reason = f"that of the adjusted count {wrong} comes out as {found[wrong - 1]:.4g}"
    if fallback:
        return FALLBACK
    raise UsageError(
        f"the discounts of {order}-grams cannot be estimated: {reason}; this is little or artificial text",
        "estimate on more text, at a lower order, or with `discount_fallback`, which takes 0.5, 1 and 1.5",
    )
