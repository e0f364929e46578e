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
        bands, rows: of the signature; bands * rows <= permutations. With no bands, only copies of equal normalized
            text are found, and `permutations` is 0: there is no signature.
        scope: `global`, or `domain`: only documents of one domain are compared.
        hash: whose signatures: `corpuskit`, or `datasketch`: those of `corpuskit.dedup.reference`.
        verify: what makes a pair of one bucket similar: `exact`: the Jaccard similarity of its shingle sets; `sketch`:
            at least `sure_matches` equal places of its signatures; `none`: the bucket.
        choose: which of the similar go: `priority`: a document goes if and only if a kept one of higher priority is
            similar; `component`: all but the first of each connected component.
    """

    unit: Literal["char", "word"]
    n: int
    permutations: int
    threshold: float
    bands: int
    rows: int
    scope: Literal["global", "domain"]
    hash: Literal["corpuskit", "datasketch"]
    verify: Literal["exact", "sketch", "none"]
    choose: Literal["priority", "component"]

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
        return sure_matches(self.permutations, self.threshold)


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
    reached = caught(permutations, 1, threshold)
    most = math.floor(reached * 1e6) / 1e6
    if most > reached:  # the product was rounded up: what the error offers must be possible
        most -= 1e-6
    msg = f"no bands of {permutations} permutations catch {recall:g} of the pairs at Jaccard similarity {threshold:g}"
    raise UsageError(msg, f"raise `permutations`, or ask for a `recall` of at most {most:g}")


def least_matches(permutations: int, threshold: float, miss: float = MISS) -> int:
    """The most matches m such that a pair at the threshold has fewer than m with probability below `miss`.

    Exact: matches of two signatures follow the binomial distribution of `permutations` draws of probability J.
    """
    if threshold == 1.0:
        return permutations
    below = 0.0
    for matches in range(permutations + 1):
        # by logarithms: the binomial coefficients of 1,100 permutations are beyond the largest float
        ways = math.lgamma(permutations + 1) - math.lgamma(matches + 1) - math.lgamma(permutations - matches + 1)
        below += math.exp(ways + matches * math.log(threshold) + (permutations - matches) * math.log1p(-threshold))
        if below >= miss:
            return matches
    return permutations


def sure_matches(permutations: int, threshold: float) -> int:
    """The fewest matches m with m / permutations >= threshold; 0 where there are no permutations."""
    matches = math.ceil(permutations * threshold)
    # the product may be rounded up past a whole number: 100 * 0.55 is above 55, and yet 55 / 100 is 0.55
    return matches - 1 if matches and (matches - 1) / permutations >= threshold else matches
