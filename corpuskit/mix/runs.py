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
    runs, columns, values = _read(path, _fraction)
    if domains is not None:
        _same_domains(path, columns, domains)
    for number, total in enumerate(values.sum(axis=1), 2):
        if abs(total - 1) > TOLERANCE:
            msg = f"{path}:{number}: the ratios of run `{runs[number - 2]}` sum to {total:.4g}, not to 1"
            raise UsageError(msg, "ratios are fractions of tokens that sum to 1 in each line")
    order = sorted(range(len(columns)), key=lambda column: columns[column])
    return Ratios(runs, tuple(columns[column] for column in order), values[:, order])


def read_runs(
    ratios: Path, losses: Path, *, domains: Sequence[str] | None = None, metrics: Sequence[str] | None = None
) -> Runs:
    """Read a swarm and what came of it.

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
    runs, columns, values = _read(losses, _loss)
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


def _read(path: Path, number: Callable[[str], float]) -> tuple[tuple[str, ...], tuple[str, ...], Floats]:
    """Names of rows, names of columns and values [rows, columns] of a table."""
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except OSError as error:
        hint = "ratios.csv and metrics.csv hold a line for each proxy run"
        raise UsageError(f"{path}: cannot be read ({error.strerror})", hint) from error
    lines = [line for line in lines if line]
    if len(lines) < 2:
        raise UsageError(f"{path}: holds no run", "a header line, then one line a run")
    head, *columns = (cell.strip() for cell in lines[0])
    if head not in _KEYS or not columns:
        raise UsageError(f"{path}:1: the first column is `{head}`", "it must be `run`, the name of a proxy run")
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise UsageError(f"{path}:1: {_listed(twice)} stands twice in the header")
    runs: dict[str, int] = {}
    values = []
    for line, (run, *cells) in enumerate(lines[1:], 2):
        if run in runs:
            raise UsageError(f"{path}:{line}: run `{run}` stands twice, first in line {runs[run]}")
        runs[run] = line
        if len(cells) != len(columns):
            msg = f"{path}:{line}: run `{run}` has {len(cells)} values for {len(columns)} columns"
            raise UsageError(msg)
        values.append(list(_numbers(path, line, run, columns, cells, number)))
    return tuple(runs), tuple(columns), np.array(values, np.float64)


def _numbers(
    path: Path, line: int, run: str, columns: Sequence[str], cells: Sequence[str], number: Callable[[str], float]
) -> Iterator[float]:
    for column, cell in zip(columns, cells, strict=True):
        try:
            yield number(cell)
        except ValueError as error:
            what = f"is {cell.strip()!r}, {error}" if cell.strip() else "is empty"
            msg = f"{path}:{line}: `{column}` of run `{run}` {what}"
            hint = f"finish run `{run}`, or leave its line out of both tables"
            raise UsageError(msg, hint) from None


def _fraction(cell: str) -> float:
    value = _float(cell)
    if not 0 <= value <= 1:
        raise ValueError("not a fraction from 0 to 1")
    return value


def _loss(cell: str) -> float:
    value = _float(cell)
    if not math.isfinite(value):
        raise ValueError("not a loss: the run diverged or was not evaluated")
    return value


def _float(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise ValueError("not a number") from None


def _same_domains(path: Path, columns: Sequence[str], domains: Sequence[str]) -> None:
    unknown = sorted(set(columns) - set(domains))
    if unknown:
        hint = did_you_mean(unknown[0], domains) or f"the corpus has: {', '.join(sorted(domains))}"
        raise UsageError(f"{path}:1: {_listed(unknown)} is no domain of the corpus", hint)
    missing = sorted(set(domains) - set(columns))
    if missing:
        raise UsageError(f"{path}:1: no column for the domain {_listed(missing)}", "a domain left out is a column of 0")


def _same_runs(ratios: Path, planned: Sequence[str], losses: Path, measured: Sequence[str]) -> None:
    unmeasured, unplanned = set(planned) - set(measured), set(measured) - set(planned)
    for path, lacking, other in ((losses, unmeasured, ratios), (ratios, unplanned, losses)):
        if lacking:
            msg = f"{path}: no line for {_listed(sorted(lacking))}, which {other} has"
            raise UsageError(msg, "rows are joined by the first column; finish these runs, or leave them out of both")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
