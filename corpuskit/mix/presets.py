"""Mixtures by name: published tables; and how `weights:` of a recipe becomes a mixture.

A preset or table is taken as it stands: a domain that the corpus lacks is an error, never shared out among the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from corpuskit.errors import UsageError, did_you_mean
from corpuskit.mix.methods import Method, as_method, builtin, called
from corpuskit.mix.problem import Bucket, Constraints, Infeasible, Mixture, Problem

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


def check_weights(weights: str | Mapping[str, Any], domains: Sequence[str]) -> None:
    """Validate a name or table of `weights:` against the domains of a recipe, before there is any document.

    Raises:
        UsageError: an unknown name, a table that is no mixture, or a domain with a weight that is not in `domains`.
    """
    named = as_method(weights)
    if named is None:
        _fixed(weights, domains)
    else:
        called(named)


def resolve_weights(
    weights: str | Mapping[str, Any],
    buckets: Sequence[Bucket],
    budget: int | None = None,
    constraints: Constraints | None = None,
) -> Mixture:
    """The mixture that `weights:` names, over the domains of a corpus.

    Args:
        weights: a preset, a method without parameters, a table of domains, or `{method: NAME, ...}`.
        buckets: the domains. budget: tokens to draw; None: as many as the limits allow.
        constraints: for the methods that keep them; a preset or table stands as it is.

    Raises:
        UsageError: as `check_weights`; or a method that needs a budget has none.
        Infeasible: a domain with a weight has no documents, or a method finds no mixture.
    """
    named = as_method(weights)
    if named is not None:
        method, params = called(named)
        check_budget(method, budget)
        return method.solve(Problem(buckets, budget, constraints or Constraints()), params)
    mixture = _fixed(weights, [bucket.name for bucket in buckets])
    documents = {bucket.name: bucket.docs for bucket in buckets}
    empty = [f"`{name}`" for name, weight in mixture.weights.items() if weight and not documents[name]]
    if empty:
        msg = f"the mixture gives weight to {', '.join(empty)}, but the corpus kept no document there"
        raise Infeasible(msg, "give it weight 0, or look with `corpuskit stats` at what dropped its documents")
    return mixture


def check_budget(method: Method, budget: int | None) -> None:
    """Refuse a method that cannot do with `tokens: max`.

    Raises:
        UsageError: it needs a number.
    """
    if method.budgeted and budget is None:
        msg = f"the weights of `{method.name}` depend on `mix.tokens`, which is `max`"
        raise UsageError(msg, "give a number, such as `tokens: 10B`")


def table_of(weights: str | Mapping[str, Any]) -> Mixture:
    """A preset, by name, or a table as a mixture.

    Raises:
        UsageError: an unknown name, or a table that is no mixture.
    """
    if not isinstance(weights, str):
        return Mixture(weights)
    if weights not in SLIMPAJAMA_DC:
        known = [*builtin(), *SLIMPAJAMA_DC]
        hint = did_you_mean(weights, known) or f"known: {', '.join(known)}"
        raise UsageError(f"unknown mixture `{weights}`", hint)
    return Mixture(SLIMPAJAMA_DC[weights])


def _fixed(weights: str | Mapping[str, Any], domains: Sequence[str]) -> Mixture:
    """A preset or table as a mixture whose domains all exist."""
    mixture = table_of(weights)
    source = f"mixture `{weights}`" if isinstance(weights, str) else "the table of weights"
    missing = [name for name, weight in mixture.weights.items() if weight and name not in domains]
    if missing:
        names = ", ".join(f"`{name}`" for name in missing)
        msg = f"{source} needs the domain{'s' * (len(missing) > 1)} {names}, which this corpus lacks"
        hint = did_you_mean(missing[0], domains) or f"its domains: {', '.join(sorted(domains))}"
        raise UsageError(msg, hint)
    return mixture
