"""What edits and filters found in documents, beside what they do: rows of `findings/`, and sums in the receipt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from corpuskit.core.batch import Batch
from corpuskit.core.findings import CHOICE, GIVEN
from corpuskit.core.work import Work
from corpuskit.documents.kinds import Segment
from corpuskit.documents.spools import Spools
from corpuskit.errors import UsageError

SCHEMA = pa.schema([("doc", pa.uint64()), ("step", pa.string()), *list(GIVEN)[1:], *((n, pa.string()) for n in CHOICE)])


def checked(found: Any, rows: int, what: str) -> pa.RecordBatch:
    """Findings of a step on a batch of `rows` documents, in the order and types of `GIVEN` and `CHOICE`.

    Raises:
        UsageError: columns are missing or others, or `row` is not rising or outside the batch.
    """
    names = set(found.schema.names) if isinstance(found, pa.RecordBatch) else set()
    if not set(GIVEN.names) <= names <= {*GIVEN.names, *CHOICE}:
        raise UsageError(
            f"{what} gave findings of the columns {', '.join(sorted(names)) or 'none'}",
            f"a RecordBatch of {', '.join(GIVEN.names)}, and of {' and '.join(CHOICE)} if it has them",
        )
    row = found.column("row").cast(pa.int64()).to_numpy(zero_copy_only=False)
    if len(row) and (row[0] < 0 or row[-1] >= rows or (np.diff(row) < 0).any()):
        raise UsageError(f"{what} gave findings whose `row` does not rise from 0 to at most {rows - 1}")
    columns = [found.column(name).cast(GIVEN.field(name).type) for name in GIVEN.names]
    extra = [
        found.column(name).cast(pa.string()) if name in names else pa.nulls(len(row), pa.string()) for name in CHOICE
    ]
    return pa.RecordBatch.from_arrays([*columns, *extra], names=[*GIVEN.names, *CHOICE])


class FindingsWriter(Spools):
    """Collects the findings of the steps of a unit and sums them up.

    Sums, of rows of documents and times, are in the fact `findings`:
    {step: {what: {documents, times}}}.
    """

    def __init__(self, work: Work[Segment]) -> None:
        super().__init__(work, "findings")

    def write(self, place: int, name: str, batch: Batch, found: pa.RecordBatch) -> None:
        """Add what a step found in a batch, as `checked` gives it.

        Args:
            place: of the step in the stage. name: of the step.
        """
        if not found.num_rows:
            return
        self._sum(name, found)
        columns = {"doc": batch.column("doc").take(found.column("row")), "step": pa.array([name] * found.num_rows)}
        columns |= {one: found.column(one) for one in SCHEMA.names if one not in columns}
        self.spool(place, pa.RecordBatch.from_arrays(list(columns.values()), schema=SCHEMA))

    def _sum(self, name: str, found: pa.RecordBatch) -> None:
        sums = self.work.facts.setdefault("findings", {}).setdefault(name, {})
        table = pa.Table.from_batches([found]).group_by("what").aggregate([("row", "count_distinct"), ("times", "sum")])
        for entry in table.to_pylist():
            one = sums.setdefault(entry["what"], {"documents": 0, "times": 0})
            one["documents"] += entry["row_count_distinct"]
            one["times"] += entry["times_sum"]


def said(found: pa.RecordBatch | None) -> str:
    """The findings in words, for one document: `email 2, iban 1`."""
    if found is None or not found.num_rows:
        return ""
    table = pa.Table.from_batches([found]).group_by("what", use_threads=False).aggregate([("times", "sum")])
    return ", ".join(f"{one['what']} {one['times_sum']}" for one in table.to_pylist())
