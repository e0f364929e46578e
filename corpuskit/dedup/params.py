"""Parameters of `minhash`, and the theory of its bands.

A pair of Jaccard similarity J shares a bucket with probability 1 - (1 - J^rows)^bands (Indyk and Motwani 1998;
Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4). Bands and rows are chosen so that `recall` is reached
at J = `threshold`, never by a trade-off that nobody sees.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from corpuskit.errors import UsageError

MISS = 1e-6
"""Probability that the sketch filter rules out a pair at the threshold."""


@dataclass(frozen=True)
class Minhash:
    """The parameters that results depend on.

    Attributes:
        unit, n: what a shingle is made of, and how many of them.
        permutations: of a signature.
        threshold: exact Jaccard similarity from which a pair is a near duplicate.
        bands, rows: of the signature; bands * rows <= permutations.
        scope: `global`, or `domain`: only documents of one domain are compared.
    """

    unit: Literal["char", "word"]
    n: int
    permutations: int
    threshold: float
    bands: int
    rows: int
    scope: Literal["global", "domain"]

    @classmethod
    def parse(cls, spec: Mapping[str, Any]) -> Minhash:
        """From what the step `minhash` returned; what concerns the order of documents is left aside."""
        names = cls.__dataclass_fields__
        return cls(**{name: value for name, value in spec.items() if name in names})

    def dump(self) -> dict[str, Any]:
        """As a JSON table, which `parse` reads."""
        return asdict(self)

    @property
    def least_matches(self) -> int:
        """Pairs whose signatures agree in fewer places than this are ruled out without looking at their texts."""
        return least_matches(self.permutations, self.threshold)

    @property
    def sure_matches(self) -> int:
        """Signatures that agree in this many places estimate a similarity of at least the threshold."""
        return math.ceil(self.permutations * self.threshold)


def caught(bands: int, rows: int, similarity: float) -> float:
    """Probability that a pair of this Jaccard similarity shares a bucket."""
    return 1.0 - (1.0 - similarity**rows) ** bands


def s_curve(bands: int, rows: int, similarities: Iterable[float]) -> list[float]:
    """Share of pairs caught at each Jaccard similarity."""
    return [caught(bands, rows, similarity) for similarity in similarities]


def choose_bands(permutations: int, threshold: float, recall: float) -> tuple[int, int]:
    """(bands, rows): the most rows for which some number of bands reaches `recall`, and the fewest such bands.

    Raises:
        UsageError: no banding of so few permutations reaches it.
    """
    for rows in range(permutations, 0, -1):
        for bands in range(1, permutations // rows + 1):
            if caught(bands, rows, threshold) >= recall:
                return bands, rows
    msg = f"no bands of {permutations} permutations catch {recall:g} of the pairs at Jaccard similarity {threshold:g}"
    raise UsageError(
        msg, f"raise `permutations`, or ask for a `recall` of at most {caught(permutations, 1, threshold):g}"
    )


def least_matches(permutations: int, threshold: float, miss: float = MISS) -> int:
    """The most matches m such that a pair at the threshold has fewer than m with probability below `miss`.

    Exact: matches of two signatures follow the binomial distribution of `permutations` draws of probability J.
    """
    below = 0.0
    for matches in range(permutations + 1):
        ways = math.comb(permutations, matches)
        below += ways * threshold**matches * (1.0 - threshold) ** (permutations - matches)
        if below >= miss:
            return matches
    return permutations
