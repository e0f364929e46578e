"""Methods that learn from proxy runs: RegMix, Data Mixing Laws and OLMix.

Each reads the two tables of a swarm, refuses a law that predicts held-out runs no better than their mean, and minimizes
the mean of the metrics within the limits of the recipe.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated

from pydantic import Field

from corpuskit.mix.held_out import fit_laws, require_better_than_mean
from corpuskit.mix.laws import LightGBM, LogLinear, mean_loss
from corpuskit.mix.methods import method
from corpuskit.mix.problem import Infeasible, Mixture, Problem
from corpuskit.mix.regmix import simulate
from corpuskit.mix.runs import Runs, read_runs
from corpuskit.mix.solve import solve
from corpuskit.step import File


@method
def regmix(problem: Problem, *, runs: File, losses: File, metrics: list[str] | None = None, seed: int = 0) -> Mixture:
    """Boosted trees on proxy runs; the best 128 of 100,000 simulated mixtures are averaged (Liu et al. 2024, RegMix).

    Args:
        runs: ratios.csv: a proxy run a line, fractions of tokens a domain.
        losses: metrics.csv, a line a run.
        metrics: columns of `losses` whose mean is to be low; default: all.
        seed: of the simulation.
    """
    table = _runs(problem, runs, losses, metrics)
    fits = fit_laws(LightGBM(), table)
    require_better_than_mean(fits)
    limits = problem.constraints
    laws = [fit.law for fit in fits]
    return simulate(
        laws, _natural(problem), constraints=limits, buckets=problem.buckets, budget=problem.budget, seed=seed
    )


@method
def mixing_law(
    problem: Problem,
    *,
    runs: File,
    losses: File,
    metrics: list[str] | None = None,
    kl: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0,
    terms: Annotated[int, Field(ge=1)] = 1,
) -> Mixture:
    """Log-linear laws on proxy runs, and the mixture of the least mean loss (Ye et al. 2024, Data Mixing Laws).

    Args:
        runs: ratios.csv: a proxy run a line, fractions of tokens a domain.
        losses: metrics.csv, a line a run.
        metrics: columns of `losses` whose mean is to be low; default: all.
        kl: weight of the divergence from the mixture by size; 0.05 is OLMix.
        terms: how many domains the validation text of a metric is thought to have.
    """
    fits = fit_laws(LogLinear(terms=terms), _runs(problem, runs, losses, metrics))
    require_better_than_mean(fits)
    laws = [fit.law for fit in fits]
    limits = problem.constraints
    return solve(
        mean_loss(laws), _natural(problem), kl=kl, constraints=limits, buckets=problem.buckets, budget=problem.budget
    )


@method
def olmix(problem: Problem, *, runs: File, losses: File, metrics: list[str] | None = None) -> Mixture:
    """Log-linear laws on proxy runs, kept near the mixture by size by 0.05 KL (OLMix).

    Args:
        runs: ratios.csv: a proxy run a line, fractions of tokens a domain.
        losses: metrics.csv, a line a run.
        metrics: columns of `losses` whose mean is to be low; default: all.
    """
    found: Mixture = mixing_law.solve(problem, {"runs": runs, "losses": losses, "metrics": metrics, "kl": 0.05})
    return found


def _runs(problem: Problem, runs: str, losses: str, metrics: list[str] | None) -> Runs:
    return read_runs(Path(runs), Path(losses), domains=[bucket.name for bucket in problem.buckets], metrics=metrics)


def _natural(problem: Problem) -> Mixture:
    """Domains by their tokens."""
    total = sum(bucket.tokens for bucket in problem.buckets)
    if not total:
        raise Infeasible("the corpus holds no document to mix", "`corpuskit stats` shows what dropped them")
    return Mixture({bucket.name: Fraction(bucket.tokens, total) for bucket in problem.buckets})
