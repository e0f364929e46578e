"""Mixtures by name: published tables, and `proportional`; and how `weights:` of a recipe becomes a mixture.

A preset or table is taken as it stands: a domain that the corpus lacks is an error, never shared out among the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from corpuskit.errors import UsageError, did_you_mean
from corpuskit.mix.problem import Bucket, Infeasible, Mixture

SLIMPAJAMA_DC: Mapping[str, Mapping[str, float]] = {
    "slimpajama-dc-1": {"commoncrawl": 100},
    "slimpajama-dc-2": {"commoncrawl": 90.9, "github": 9.1},
    "slimpajama-dc-3": {"commoncrawl": 75.8, "github": 24.2},
    "slimpajama-dc-4": {"commoncrawl": 75.8, "wikipedia": 24.2},
    "slimpajama-dc-5": {"commoncrawl": 75.8, "github": 9.1, "books": 7.9, "wikipedia": 7.3},
    "slimpajama-dc-6": {
        "commoncrawl": 52.2,
        "c4": 26.7,
        "github": 5.2,
        "books": 4.2,
        "arxiv": 4.6,
        "wikipedia": 3.8,
        "stackexchange": 3.3,
    },
    "slimpajama-dc-7": {"refinedweb": 100},
}
"""Percent of 330B tokens: SlimPajama-DC (Shen et al. 2023, arXiv:2309.10818); DC-5 sums to 100.1 by rounding."""

PROPORTIONAL = "proportional"


def check_weights(weights: str | Mapping[str, float], domains: Sequence[str]) -> None:
    """Validate `weights:` against the domains of a recipe, before there is any document.

    Raises:
        UsageError: an unknown preset, a table that is no mixture, or a domain with a weight that is not in `domains`.
    """
    if weights != PROPORTIONAL:
        _fixed(weights, domains)


def resolve_weights(weights: str | Mapping[str, float], buckets: Sequence[Bucket]) -> Mixture:
    """The mixture that `weights:` names, over the domains of a corpus.

    Raises:
        UsageError: as `check_weights`.
        Infeasible: a domain with a weight has no documents.
    """
    if weights == PROPORTIONAL:
        total = sum(bucket.tokens for bucket in buckets)
        if not total:
            raise Infeasible("the corpus holds no document to mix", "`corpuskit stats` shows what dropped them")
        return Mixture({bucket.name: Fraction(bucket.tokens, total) for bucket in buckets})
    mixture = _fixed(weights, [bucket.name for bucket in buckets])
    documents = {bucket.name: bucket.docs for bucket in buckets}
    empty = [f"`{name}`" for name, weight in mixture.weights.items() if weight and not documents[name]]
    if empty:
        msg = f"the mixture gives weight to {', '.join(empty)}, but the corpus kept no document there"
        raise Infeasible(msg, "give it weight 0, or look with `corpuskit stats` at what dropped its documents")
    return mixture


def _fixed(weights: str | Mapping[str, float], domains: Sequence[str]) -> Mixture:
    """A preset or table as a mixture whose domains all exist."""
    if isinstance(weights, str):
        if weights not in SLIMPAJAMA_DC:
            known = [PROPORTIONAL, *SLIMPAJAMA_DC]
            hint = did_you_mean(weights, known) or f"known: {', '.join(known)}"
            raise UsageError(f"unknown mixture `{weights}`", hint)
        source, table = f"mixture `{weights}`", SLIMPAJAMA_DC[weights]
    else:
        source, table = "the table of weights", weights
    mixture = Mixture(table)
    missing = [name for name, weight in mixture.weights.items() if weight and name not in domains]
    if missing:
        names = ", ".join(f"`{name}`" for name in missing)
        msg = f"{source} needs the domain{'s' * (len(missing) > 1)} {names}, which this corpus lacks"
        hint = did_you_mean(missing[0], domains) or f"its domains: {', '.join(sorted(domains))}"
        raise UsageError(msg, hint)
    return mixture
