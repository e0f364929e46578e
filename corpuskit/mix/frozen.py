"""A ratio that was found before, kept as it is: its domains stand as one while others are mixed anew.

OLMix reuses mixtures so: when a domain is added or rebuilt, the ratio among the untouched ones is frozen, which leaves
fewer domains and so fewer proxy runs; the answer is expanded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from corpuskit.errors import UsageError
from corpuskit.mix.problem import Bucket, Mixture


@dataclass(frozen=True)
class Frozen:
    """Some domains at a fixed ratio among themselves.

    Attributes:
        name: of the one domain that stands for them.
        inside: their ratio.
    """

    name: str
    inside: Mixture

    def collapse(self, buckets: Sequence[Bucket]) -> list[Bucket]:
        """The buckets with one in place of those inside.

        It holds as many tokens as can be drawn at the ratio in one epoch, the least tokens / weight, so that a limit
        in epochs on it is the same limit on each bucket inside.

        Raises:
            UsageError: a domain inside is missing, or the name is taken.
        """
        held = {bucket.name: bucket for bucket in buckets}
        names = [name for name, weight in self.inside.weights.items() if weight]
        missing = [name for name in names if name not in held]
        if missing or (self.name in held and self.name not in self.inside.weights):
            wrong = f"`{missing[0]}` is no bucket" if missing else "that name is another bucket's"
            raise UsageError(f"cannot freeze {', '.join(names)} as `{self.name}`: {wrong}")
        tokens = floor(min(Fraction(held[name].tokens) / self.inside.exact(name) for name in names))
        one = Bucket(self.name, tokens, sum(held[name].docs for name in names))
        return sorted([one, *(b for b in buckets if b.name not in self.inside.weights)], key=lambda b: b.name)

    def expand(self, mixture: Mixture) -> Mixture:
        """A mixture of the collapsed domains as one of all, in exact fractions.

        Raises:
            UsageError: the mixture has no domain of this name, or one that is inside too.
        """
        others = [name for name in mixture.weights if name != self.name]
        both = [name for name in others if name in self.inside.weights]
        if both or self.name not in mixture.weights:
            wrong = f"`{both[0]}` is frozen inside it" if both else "it is not in the mixture"
            raise UsageError(f"cannot expand `{self.name}`: {wrong}", f"it has: {', '.join(mixture.weights)}")
        share = mixture.exact(self.name)
        inside = {name: share * self.inside.exact(name) for name in self.inside.weights}
        return Mixture({name: mixture.exact(name) for name in others} | inside)
