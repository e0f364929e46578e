"""What a stage dropped: one row a document with its rule, reason and signals, and for a sample its text."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpuskit.core.batch import Batch
from corpuskit.core.work import Work
from corpuskit.documents.kinds import Reading
from corpuskit.documents.spools import Spools

TEXT_LIMIT = 2000
"""Characters of a sampled text that are kept (with `keep_dropped` the whole text)."""


class DroppedWriter(Spools):
    """Collects dropped documents; those of one step have the signals of that place.

    Args:
        work: the unit at work.
        every: one in this many documents, by hash of its id, keeps its text; 1 keeps all texts whole.
    """

    def __init__(self, work: Work[Reading], every: int) -> None:
        super().__init__(work, "dropped")
        self.every = every

    def write(
        self,
        place: int,
        batch: Batch,
        out: npt.NDArray[np.bool_],
        rules: npt.NDArray[Any],
        reasons: pa.Array | None = None,
        *,
        name: str | None = None,
    ) -> None:
        """Add the rows where `out` is true, and count them in the books.

        Args:
            place: of the step in the stage; all its batches have one schema.
            batch: n documents. out: bool[n]. rules: object[n] of categories of the books. reasons: string[n].
            name: of the rule in the rows; default: that of the category.
        """
        chosen = pa.array(out)
        gone = batch.filter(chosen)
        reason = pa.nulls(gone.num_rows, pa.string()) if reasons is None else reasons.cast(pa.string()).filter(chosen)
        columns = {
            "doc": gone.column("doc"),
            "rule": pa.array([name or rule.removeprefix("rule: ") for rule in rules[out]], pa.string()),
            "reason": reason,
            "text": self._texts(gone),
        }
        # the domain is the name of the folder
        columns |= {name: gone.column(name) for name in gone.schema.names if name not in (*columns, "domain")}
        self.spool(place, pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns)))
        for rule in sorted(set(rules[out])):
            self.work.count(self.work.spec.domain, rule, int((rules[out] == rule).sum()))

    def write_unread(self, docs: list[int], rules: list[str], reasons: list[str | None]) -> None:
        """Add raw records that never became documents."""
        if docs:
            arrays = [pa.array(docs, pa.uint64()), pa.array(rules), pa.array(reasons, pa.string())]
            self.spool(0, pa.RecordBatch.from_arrays(arrays, names=["doc", "rule", "reason"]))

    def _texts(self, gone: Batch) -> pa.Array:
        text = gone.column("text")
        if self.every == 1:
            return text
        docs = gone.column("doc").to_numpy()
        mixed = (docs * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
        sampled = (mixed % np.uint64(self.every)) == 0
        kept = [value[:TEXT_LIMIT] if keep else None for value, keep in zip(text.to_pylist(), sampled, strict=True)]
        return pa.array(kept, pa.string())
