"""Methods that need nothing but sizes: proportional, temperature, UniMax, and the nearest mixture within the caps."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Annotated

from pydantic import Field

from corpuskit.mix.methods import method
from corpuskit.mix.problem import Infeasible, Mixture, Problem
from corpuskit.mix.solve import solve


@method
def proportional(problem: Problem) -> Mixture:
    """Every domain by its tokens: all are read equally often."""
    return _shares(problem, {bucket.name: Fraction(bucket.tokens) for bucket in problem.buckets})


@method
def temperature(
    problem: Problem,
    *,
    T: Annotated[float, Field(ge=1, allow_inf_nan=False)],  # noqa: N803  (the paper's name, and a recipe's)
    size_limit: Annotated[int, Field(ge=1)] | None = None,
) -> Mixture:
    """Sizes to the power of 1 / T: small domains are read more often (Raffel et al. 2020, T5, section 3.5.2).

    Args:
        T: 1 is proportional, a large one nearly uniform. Others write the reciprocal: `p ** 0.5` is T = 2.
        size_limit: a domain counts as at most this many tokens (the paper's K); before the root is taken.
    """
    sizes = {b.name: Fraction(min(b.tokens, size_limit or b.tokens)) for b in problem.buckets}
    largest = max(sizes.values(), default=Fraction(0))
    if T != 1 and largest:
        sizes = {name: Fraction(float(tokens / largest) ** (1 / T)) for name, tokens in sizes.items()}
    return _shares(problem, sizes)


@method(budgeted=True)
def unimax(
    problem: Problem, *, max_epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
) -> Mixture:
    """As uniform as epochs allow: small domains are read to their cap, the others equally (Chung et al. 2023, UniMax).

    Args:
        max_epochs: most epochs of a domain; default: that of `mix`.
    """
    full = [bucket.name for bucket in problem.buckets if bucket.tokens]
    prior = _shares(problem, {bucket.name: Fraction(bucket.name in full) for bucket in problem.buckets})
    limits = problem.constraints if max_epochs is None else replace(problem.constraints, max_epochs=max_epochs)
    return solve(None, prior, constraints=limits, buckets=problem.buckets, budget=problem.budget)


@method(budgeted=True)
def nearest(problem: Problem, *, to: str | dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]) -> Mixture:
    """A preset or table as far as epochs allow: what a domain lacks goes to the others in proportion to their weights.

    It is the mixture of least Kullback-Leibler divergence from the one given among those within the caps.

    Args:
        to: a preset's name, or a table of domains as in `weights`.
    """
    from corpuskit.mix.presets import resolve_weights

    prior = resolve_weights(to, problem.buckets)
    return solve(None, prior, constraints=problem.constraints, buckets=problem.buckets, budget=problem.budget)


def _shares(problem: Problem, sizes: dict[str, Fraction]) -> Mixture:
    total = sum(sizes.values(), Fraction(0))
    if not total or not problem.buckets:
        raise Infeasible("the corpus holds no document to mix", "`corpuskit stats` shows what dropped them")
    return Mixture({name: size / total for name, size in sizes.items()})
