"""Mixing by correlations: the domains on which low loss goes with a good benchmark, from models that others trained."""

from __future__ import annotations

from pathlib import Path

from corpuskit.core.identity import File
from corpuskit.errors import UsageError, did_you_mean
from corpuskit.mix.correlations import perplexity_correlations as estimates_of
from corpuskit.mix.methods import method
from corpuskit.mix.model_tables import read_model_losses
from corpuskit.mix.problem import Mixture, Problem
from corpuskit.mix.sized import proportional
from corpuskit.mix.solve import solve


@method(budgeted=True)
def perplexity_correlations(problem: Problem, *, bits: File, errors: File, benchmark: str) -> Mixture:
    """Domains where low bits per byte go with low error on a benchmark (Thrush et al. 2024, Perplexity Correlations).

    The best domain is read `max_epochs` times, then the next, until the budget is drawn; the paper's limit is 1.
    Equally good domains share by size. Nothing is trained.

    Args:
        bits: a CSV file: a line a domain, a column a model: its bits per byte on texts of that domain.
        errors: a CSV file: a line a benchmark, a column a model: 1 - accuracy.
        benchmark: the line of `errors` to take.
    """
    table = read_model_losses(Path(bits), Path(errors), benchmark)
    _same_domains(bits, table.rows, [bucket.name for bucket in problem.buckets])
    estimates = estimates_of(table.losses, table.errors)
    gains = dict(zip(table.rows, (-estimates).tolist(), strict=True))
    prior, limits = proportional.solve(problem, {}), problem.constraints
    return solve(gains, prior, kl=0, constraints=limits, buckets=problem.buckets, budget=problem.budget)


def _same_domains(path: str, rows: tuple[str, ...], domains: list[str]) -> None:
    for row in rows:
        if row not in domains:
            hint = did_you_mean(row, domains) or f"the corpus has: {', '.join(domains)}"
            raise UsageError(f"{path}: `{row}` is no domain of the corpus", hint)
    for domain in domains:
        if domain not in rows:
            hint = f"measure the bits per byte of each model on texts of `{domain}`"
            raise UsageError(f"{path}: no line for the domain `{domain}`", hint)
