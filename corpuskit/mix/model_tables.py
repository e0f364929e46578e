"""What existing models say of texts, as two tables: their losses on each text, and their errors on benchmarks.

In both a column is a model, named in the header; columns are joined by these names, never by their order. A row of the
first is a text (or a domain), of the second a benchmark, named in the first column. A model may have errors and no
losses: a table of a whole leaderboard serves.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpuskit.errors import UsageError, did_you_mean

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ModelLosses:
    """Losses of models on texts, and what the models are worth.

    Attributes:
        rows: names of texts or domains, in the order of the file.
        models: names of the columns.
        losses: float64 (rows, models), nats or bits per byte.
        errors: float64 (models,), of one benchmark; lower is better.
    """

    rows: tuple[str, ...]
    models: tuple[str, ...]
    losses: Floats
    errors: Floats


def read_model_losses(losses: Path, errors: Path, benchmark: str) -> ModelLosses:
    """Read both tables.

    Args:
        losses: a CSV file: a line a text, a column a model.
        errors: a CSV file: a line a benchmark, a column a model.
        benchmark: the line of `errors` to take.

    Raises:
        UsageError: with file and line: a gap, a value that is not finite, a name twice, an unknown benchmark, or a
            model of `losses` that has no error.
    """
    models, rows = _read(losses)
    names, lines = _read(errors)
    if benchmark not in lines:
        hint = did_you_mean(benchmark, lines) or f"its benchmarks: {', '.join(lines)}"
        raise UsageError(f"{errors}: no line for the benchmark `{benchmark}`", hint)
    place = {name: number for number, name in enumerate(names)}
    for model in models:
        if model not in place:
            hint = did_you_mean(model, names) or "remove its column, or add its errors: columns are joined by name"
            raise UsageError(f"{losses}:1: the model `{model}` is not in {errors}", hint)
    number, cells = lines[benchmark]
    found = _numbers(errors, names, benchmark, number, cells, wanted=models)
    table = [_numbers(losses, models, name, line, row, wanted=models) for name, (line, row) in rows.items()]
    return ModelLosses(tuple(rows), tuple(models), np.array(table, np.float64), np.array(found, np.float64))


def _read(path: Path) -> tuple[list[str], dict[str, tuple[int, list[str]]]]:
    """The models of the header; by the name in its first column, each line's number in the file and its other cells."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            lines, before = [], 0
            for cells in reader:  # a quoted name may hold line feeds: a row's number is that of its first line
                lines.append((before + 1, cells))
                before = reader.line_num
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read: {error}", "it must be a CSV file in UTF-8") from error
    lines = [(number, cells) for number, cells in lines if cells]
    if len(lines) < 2:
        raise UsageError(f"{path}: holds no values", "a header that names the models, then a line a row")
    first, header = lines[0]
    models = [cell.strip() for cell in header[1:]]
    for model in models:
        if models.count(model) > 1:
            raise UsageError(f"{path}:{first}: the model `{model}` stands twice in the header")
    rows: dict[str, tuple[int, list[str]]] = {}
    for number, (name, *cells) in lines[1:]:
        if name in rows:
            raise UsageError(f"{path}:{number}: `{name}` stands twice, first in line {rows[name][0]}")
        if len(cells) != len(models):
            raise UsageError(f"{path}:{number}: `{name}` has {len(cells)} values for {len(models)} models")
        rows[name] = (number, cells)
    return models, rows


def _numbers(
    path: Path, models: Sequence[str], name: str, line: int, cells: Sequence[str], *, wanted: Sequence[str]
) -> list[float]:
    """The values of a line for the wanted models, in their order."""
    by_model = dict(zip(models, cells, strict=True))
    values = []
    for model in wanted:
        cell = by_model[model].strip()
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            what = f"is `{cell}`, not a finite number" if cell else "is empty"
            msg = f"{path}:{line}: `{model}` of `{name}` {what}"
            raise UsageError(msg, "leave out the line, or the column of that model")
        values.append(value)
    return values
