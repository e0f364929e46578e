"""Proxy runs as two tables: ratios.csv, what each run was trained on, and metrics.csv, the losses it came to.

In both the first column is `run` (or `index`, as RegMix writes it); the others are domains in ratios.csv and losses in
metrics.csv. Rows are joined by the name of the run, never by their order. A table with a gap is refused: a law fitted
around missing runs is a law of other mixtures than the swarm was drawn for.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpuskit.errors import UsageError, did_you_mean
from corpuskit.mix.problem import TOLERANCE, Mixture
from corpuskit.mix.tables import Row, Table, read_table

Floats = npt.NDArray[np.float64]

_KEYS = ("run", "index")
_SHOWN = 5


@dataclass(frozen=True)
class Ratios:
    """Mixtures of a swarm.

    Attributes:
        runs: names of the rows.
        domains: names of the columns, sorted.
        values: float64 [runs, domains], fractions of tokens; each row sums to 1 within `TOLERANCE`.
    """

    runs: tuple[str, ...]
    domains: tuple[str, ...]
    values: Floats

    def mixture(self, run: str) -> Mixture:
        """The mixture that a run trains on."""
        row = self.values[self.runs.index(run)]
        return Mixture({domain: float(weight) for domain, weight in zip(self.domains, row, strict=True)})


@dataclass(frozen=True)
class Runs:
    """A swarm with its results.

    Attributes:
        ratios: what each run was trained on; domains that have a weight in some run.
        metrics: names of the losses, as metrics.csv has them.
        losses: float64 [runs, metrics], nats or bits per byte; lower is better.
    """

    ratios: Ratios
    metrics: tuple[str, ...]
    losses: Floats


def write_ratios(path: Path, ratios: Ratios) -> None:
    """Write ratios.csv; numbers are written so that reading gives the same float64."""
    _write(path, ratios.runs, ratios.domains, ratios.values)


def write_metrics(path: Path, runs: Sequence[str], metrics: Sequence[str], losses: Floats) -> None:
    """Write metrics.csv: losses float64 [runs, metrics]; likewise."""
    _write(path, runs, metrics, losses)


def _write(path: Path, runs: Sequence[str], columns: Sequence[str], values: Floats) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["run", *columns])
        for run, row in zip(runs, values.tolist(), strict=True):
            writer.writerow([run, *row])


def read_ratios(path: Path, domains: Sequence[str] | None = None) -> Ratios:
    """Read ratios.csv.

    Args:
        path: the table.
        domains: those of the corpus; None takes the columns as they are.

    Raises:
        UsageError: a gap, a number that is no fraction, a row that does not sum to 1, a run twice, or a column that is
            no domain of the corpus; with file and line.
    """
    table, values = _read(path, _fraction)
    columns = table.columns
    if domains is not None:
        _same_domains(path, table, domains)
    for (run, row), total in zip(table.rows.items(), values.sum(axis=1), strict=True):
        if abs(total - 1) > TOLERANCE:
            msg = f"{path}:{row.line}: the ratios of run `{run}` sum to {total:.4g}, not to 1"
            raise UsageError(msg, "ratios are fractions of tokens that sum to 1 in each line")
    order = sorted(range(len(columns)), key=lambda column: columns[column])
    return Ratios(tuple(table.rows), tuple(columns[column] for column in order), values[:, order])


def read_runs(
    ratios: Path, losses: Path, *, domains: Sequence[str] | None = None, metrics: Sequence[str] | None = None
) -> Runs:
    """Read a swarm and its results.

    Args:
        ratios: path of ratios.csv.
        losses: path of metrics.csv.
        domains: those of the corpus; None takes the columns of `ratios` as they are.
        metrics: the columns of `losses` that are wanted, in this order; None wants all.

    Raises:
        UsageError: as `read_ratios`; a loss that is missing, NaN or infinite; runs that only one table has; a wanted
            metric that metrics.csv lacks.
    """
    table = read_ratios(ratios, domains)
    measured, values = _read(losses, _loss)
    runs, columns = tuple(measured.rows), measured.columns
    _same_runs(ratios, table.runs, losses, runs)
    wanted = list(columns if metrics is None else metrics)
    for metric in wanted:
        if metric not in columns:
            hint = did_you_mean(metric, columns) or f"its columns: {', '.join(columns)}"
            raise UsageError(f"{losses}: no column `{metric}`", hint)
    row = {run: number for number, run in enumerate(runs)}
    rows = [row[run] for run in table.runs]
    # of a domain that is in no run nothing can be learned: a mixture gives it nothing
    used = np.flatnonzero(table.values.any(axis=0))
    table = Ratios(table.runs, tuple(table.domains[column] for column in used), table.values[:, used])
    return Runs(table, tuple(wanted), values[np.ix_(rows, [columns.index(metric) for metric in wanted])])


def _read(path: Path, number: Callable[[str, str], float]) -> tuple[Table, Floats]:
    """A table, and its values [rows, columns]; `number` makes one of a cell and the name of its run."""
    table = read_table(path, "ratios.csv and metrics.csv hold a line for each proxy run")
    if table.corner not in _KEYS or not table.columns:
        msg = f"{path}:{table.header}: the first column is `{table.corner}`"
        raise UsageError(msg, "it must be `run`, the name of a proxy run; the others hold numbers")
    if not table.rows:
        raise UsageError(f"{path}: holds no run", "a header line, then one line a run")
    values = [list(_numbers(path, run, row, table.columns, number)) for run, row in table.rows.items()]
    return table, np.array(values, np.float64)


def _numbers(
    path: Path, run: str, row: Row, columns: Sequence[str], number: Callable[[str, str], float]
) -> Iterator[float]:
    for column, cell in zip(columns, row.cells, strict=True):
        try:
            yield number(cell, run)
        except UsageError as error:
            what = f"is {cell!r}, {error.message}" if cell else "is empty"
            raise UsageError(f"{path}:{row.line}: `{column}` of run `{run}` {what}", error.hint) from None


def _fraction(cell: str, _run: str) -> float:
    value = _float(cell)
    if value is None or not 0 <= value <= 1:
        what = "not a number" if value is None else "not a fraction from 0 to 1"
        raise UsageError(what, "ratios are fractions of tokens, not percent: 0.25 is a quarter, 0 leaves a domain out")
    return value


def _loss(cell: str, run: str) -> float:
    value = _float(cell)
    if value is None or not math.isfinite(value):
        what = "not a number" if value is None else "not a loss: the run diverged or was not evaluated"
        raise UsageError(what, f"finish run `{run}`, or leave its line out of both tables")
    return value


def _float(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _same_domains(path: Path, table: Table, domains: Sequence[str]) -> None:
    unknown = sorted(set(table.columns) - set(domains))
    if unknown:
        hint = did_you_mean(unknown[0], domains) or f"the corpus has: {', '.join(sorted(domains))}"
        raise UsageError(f"{path}:{table.header}: {_listed(unknown)} is no domain of the corpus", hint)
    missing = sorted(set(domains) - set(table.columns))
    if missing:
        msg = f"{path}:{table.header}: no column for the domain {_listed(missing)}"
        raise UsageError(msg, "a domain left out is a column of 0")


def _same_runs(ratios: Path, planned: Sequence[str], losses: Path, measured: Sequence[str]) -> None:
    unmeasured, unplanned = set(planned) - set(measured), set(measured) - set(planned)
    for path, lacking, other in ((losses, unmeasured, ratios), (ratios, unplanned, losses)):
        if lacking:
            msg = f"{path}: no line for {_listed(sorted(lacking))}, which {other} has"
            raise UsageError(msg, "rows are joined by the first column; finish these runs, or leave them out of both")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
