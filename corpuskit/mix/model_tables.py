"""What existing models say of texts, as two tables: their losses on each text, and their errors on benchmarks.

In both a column is a model, named in the header; columns are joined by these names, never by their order. A row of the
first is a text (or a domain), of the second a benchmark, named in the first column. A model may have errors and no
losses: a table of a whole leaderboard serves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpuskit.errors import UsageError, did_you_mean
from corpuskit.mix.tables import Table, read_table

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
        UsageError: with file and line: a gap, a value that is not finite, a name twice, no model, an unknown
            benchmark, or a model of `losses` that has no error.
    """
    texts, benchmarks = _read(losses, exact=True), _read(errors, exact=False)
    models = texts.columns
    if benchmark not in benchmarks.rows:
        hint = did_you_mean(benchmark, benchmarks.rows) or f"its benchmarks: {', '.join(benchmarks.rows)}"
        raise UsageError(f"{errors}: no line for the benchmark `{benchmark}`", hint)
    for model in models:
        if model not in benchmarks.columns:
            near = did_you_mean(model, benchmarks.columns)
            hint = near or "remove its column, or add its errors: columns are joined by name"
            raise UsageError(f"{losses}:{texts.header}: the model `{model}` is not in {errors}", hint)
    found = _numbers(errors, benchmarks, benchmark, models)
    values = [_numbers(losses, texts, name, models) for name in texts.rows]
    return ModelLosses(tuple(texts.rows), models, np.array(values, np.float64), np.array(found, np.float64))


def _read(path: Path, *, exact: bool) -> Table:
    table = read_table(path, "a CSV file: a header that names the models, then a line a row", exact=exact)
    if not table.columns:
        raise UsageError(f"{path}:{table.header}: names no model", "a header that names the models, then a line a row")
    if not table.rows:
        raise UsageError(f"{path}: holds no values", "a header that names the models, then a line a row")
    return table


def _numbers(path: Path, table: Table, name: str, wanted: Sequence[str]) -> list[float]:
    """The values of a row for the wanted models, in their order."""
    row = table.rows[name]
    by_model = dict(zip(table.columns, row.cells, strict=True))
    values = []
    for model in wanted:
        cell = by_model[model]
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            what = f"is `{cell}`, not a finite number" if cell else "is empty"
            msg = f"{path}:{row.line}: `{model}` of `{name}` {what}"
            raise UsageError(msg, "leave out the line, or the column of that model")
        values.append(value)
    return values
