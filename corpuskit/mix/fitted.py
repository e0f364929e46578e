"""Methods that learn from proxy runs: RegMix, Data Mixing Laws and OLMix.

Each reads the two tables of a swarm (files, or those of the recipe's own `swarm`), refuses a law that predicts held-out
runs no better than their mean, and minimizes the mean of the metrics within the limits of the recipe and of the runs: a
law says nothing of ratios below or above all that it was fitted to. A domain that is in no run gets no weight.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from corpuskit.core.identity import File
from corpuskit.errors import UsageError
from corpuskit.mix.held_out import fit_laws, require_better_than_mean
from corpuskit.mix.laws import LightGBM, LogLinear, mean_loss
from corpuskit.mix.methods import method
from corpuskit.mix.problem import Bucket, Constraints, Infeasible, Mixture, Problem
from corpuskit.mix.regmix import simulate
from corpuskit.mix.runs import Ratios, Runs, read_runs
from corpuskit.mix.sized import proportional
from corpuskit.mix.solve import solve


# with fewer than 50, a fold leaves less than two leaves of 20 runs: the trees are the mean
@method(version=2, least_runs=50, libraries=("lightgbm", "numpy"))
def regmix(
    problem: Problem,
    *,
    runs: File | None = None,
    losses: File | None = None,
    metrics: list[str] | None = None,
    seed: int = 0,
) -> Mixture:
    """Boosted trees on proxy runs; the best 128 of 100,000 simulated mixtures are averaged (Liu et al. 2024, RegMix).

    Args:
        runs: ratios.csv: a proxy run a line, fractions of tokens a domain. Default: the swarm of the recipe.
        losses: metrics.csv, a line a run.
        metrics: columns of `losses` whose mean is to be low; default: all.
        seed: of the simulation.
    """
    table, buckets, limits = _learnable(problem, runs, losses, metrics)
    fits = fit_laws(LightGBM(), table)
    require_better_than_mean(fits)
    laws = [fit.law for fit in fits]
    return simulate(
        laws, proportional(Problem(buckets)), constraints=limits, buckets=buckets, budget=problem.budget, seed=seed
    )


@method(version=2, libraries=("numpy", "scipy"))
def mixing_law(
    problem: Problem,
    *,
    runs: File | None = None,
    losses: File | None = None,
    metrics: list[str] | None = None,
    kl: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0,
    terms: Annotated[int, Field(ge=1)] = 1,
) -> Mixture:
    """Log-linear laws on proxy runs, and the mixture of the least mean loss (Ye et al. 2024, Data Mixing Laws).

    Args:
        runs: ratios.csv: a proxy run a line, fractions of tokens a domain. Default: the swarm of the recipe.
        losses: metrics.csv, a line a run.
        metrics: columns of `losses` whose mean is to be low; default: all.
        kl: weight of the divergence from the mixture by size; 0.05 is OLMix.
        terms: how many domains the validation text of a metric is thought to have.
    """
    table, buckets, limits = _learnable(problem, runs, losses, metrics)
    fits = fit_laws(LogLinear(terms=terms), table)
    require_better_than_mean(fits)
    objective = mean_loss([fit.law for fit in fits])
    return solve(
        objective, proportional(Problem(buckets)), kl=kl, constraints=limits, buckets=buckets, budget=problem.budget
    )


@method(version=2, libraries=("numpy", "scipy"))
def olmix(
    problem: Problem, *, runs: File | None = None, losses: File | None = None, metrics: list[str] | None = None
) -> Mixture:
    """Log-linear laws on proxy runs, kept near the mixture by size by 0.05 KL (OLMix).

    Args:
        runs: ratios.csv: a proxy run a line, fractions of tokens a domain. Default: the swarm of the recipe.
        losses: metrics.csv, a line a run.
        metrics: columns of `losses` whose mean is to be low; default: all.
    """
    found: Mixture = mixing_law.solve(problem, {"runs": runs, "losses": losses, "metrics": metrics, "kl": 0.05})
    return found


def _learnable(
    problem: Problem, runs: str | None, losses: str | None, metrics: list[str] | None
) -> tuple[Runs, list[Bucket], Constraints]:
    """The tables, the buckets that are in some run, and the limits of the problem within the range of the runs."""
    if runs is None or losses is None:
        hint = "give `runs: ratios.csv` and `losses: metrics.csv`, or let the recipe train them: `mix: {swarm: ...}`"
        raise UsageError("there are no proxy runs to learn from", hint)
    names = [bucket.name for bucket in problem.buckets]
    table = read_runs(Path(runs), Path(losses), domains=names, metrics=metrics)
    limits = _within(problem.constraints, table.ratios)
    return table, [bucket for bucket in problem.buckets if bucket.name in table.ratios.domains], limits


def _within(given: Constraints, ratios: Ratios) -> Constraints:
    """The limits, and the range of the runs' ratios, for the domains that are in some run.

    Raises:
        Infeasible: a domain must have a weight that no run had.
    """
    unseen = [name for name, bound in given.lower.items() if bound and name not in ratios.domains]
    if unseen:
        msg = f"`{unseen[0]}` has a lower bound, but is in no proxy run: of it nothing was learned"
        raise Infeasible(msg, "give it ratios in the runs, or leave the bound out")
    lower, upper = {}, {}
    for name, column in zip(ratios.domains, ratios.values.T.tolist(), strict=True):
        lower[name] = max(given.lower.get(name, 0.0), min(column))
        upper[name] = min(given.upper.get(name, 1.0), max(column))
        if lower[name] > upper[name]:
            msg = f"`{name}` had ratios from {min(column):.4g} to {max(column):.4g} in the runs; its bounds allow none"
            raise Infeasible(msg, "widen the bounds, or train runs with such ratios")
    return replace(given, lower=lower, upper=upper)
