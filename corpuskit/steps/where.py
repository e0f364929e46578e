"""`where`: keeps the documents for which an expression in SQL is true."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from corpuskit.core import step
from corpuskit.core.batch import Batch
from corpuskit.core.sql import evaluate
from corpuskit.core.step import NO_VALUE


@step.filter(libraries=("duckdb",))
def where(batch: Batch, *, expr: str) -> tuple[pa.Array, pa.Array]:
    """Keep the documents for which a DuckDB scalar expression over the columns is true.

    A null drops, with the reason "no value", so that it is counted apart. Dates and hours of a timestamp with a time
    zone are those of UTC, to the microsecond; a string without a zone is read as UTC.

    Args:
        batch: n documents with the columns that `columns_of(expr)` names.
        expr: the expression.

    Returns:
        Masks, bool[n] without nulls, and reasons, string[n]: "no value" where the expression is null, else null.

    Raises:
        UsageError: see `columns_of` and `check_types`; or a value cannot be converted.
    """
    keep = evaluate(expr, batch)
    reasons = pc.if_else(keep.is_null(), pa.scalar(NO_VALUE), pa.scalar(None, pa.string()))
    return keep.fill_null(False), reasons
