"""The body of the document stages: read, apply steps and what barriers decided, write the corpus.

Signals are columns and are stored apart from what filters decide: a unit that runs again with other thresholds loads
the stored values and scores only documents that have none. Every row that leaves a stage is counted in its books.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpuskit.core.batch import Batch, ParquetPart, PartReader, PartWriter, set_column, split_batches
from corpuskit.core.step import NO_VALUE
from corpuskit.core.work import Work
from corpuskit.documents.applied import AppliedStep, join_signals
from corpuskit.documents.decisions import Decisions
from corpuskit.documents.dropped import DroppedWriter
from corpuskit.documents.findings import FindingsWriter
from corpuskit.documents.kinds import Segment
from corpuskit.documents.reading import read_documents

SAMPLE_OF_DROPPED = 64
"""One in this many dropped documents, by hash of its id, keeps its text in `dropped/` (all with `keep_dropped`)."""


def segment(work: Work[Segment]) -> None:
    """Body: documents of one unit through a stretch of steps; the last stretch writes the corpus."""
    base = Path(work.spec.base)
    applied = [AppliedStep(call, base, work) for call in work.spec.calls]
    join_signals(applied)
    with DroppedWriter(work, every=1 if work.spec.keep_dropped else SAMPLE_OF_DROPPED) as dropped:
        decide = Decisions(work, dropped)
        with Output(work) as write, FindingsWriter(work) as findings:
            for whole in _documents(work, base, dropped):
                for batch in split_batches(whole, work.batch_bytes):
                    left = decide(batch, write.held_out)
                    for place, one in enumerate(applied, start=1 + len(work.spec.apply)):
                        if left.num_rows:
                            left = _apply(one, left, dropped, findings, place)
                    if left.num_rows:
                        write.kept(left)
    for one in applied:
        one.check_identity()
    for one in applied:
        if one.store is not None:
            scored = one.store.save()
            work.facts.setdefault("scored", {})[one.name] = scored


def _documents(work: Work[Segment], base: Path, dropped: DroppedWriter) -> Iterator[Batch]:
    if work.spec.read is not None:
        yield from read_documents(work, base, dropped)
    else:
        yield from PartReader(work.receipt("docs").parts["docs"].local())


def _apply(one: AppliedStep, batch: Batch, dropped: DroppedWriter, findings: FindingsWriter, place: int) -> Batch:
    if one.step.kind == "signal":
        columns = one.store.columns(batch, one.columns) if one.store is not None else one.columns(batch)
        for name, values in columns.items():
            batch = set_column(batch, name, values)
        return batch
    if one.step.kind == "edit":
        batch, found = one.edited(batch)
        if found is not None:
            findings.write(place, one.name, batch, found)
        blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(batch.column("text"))), 0).to_numpy(
            zero_copy_only=False
        )
        if blank.any():
            dropped.write(place, batch, blank, np.full(batch.num_rows, "empty", object))
            batch = batch.filter(pa.array(~blank))
        return batch
    mask, reasons, found = one.mask(batch)
    if found is not None:
        findings.write(place, one.name, batch, found)
    if not mask.all():
        rules = np.full(batch.num_rows, f"rule: {one.name}", object)
        if one.step.origin is None and reasons is not None:
            rules[_unknown(reasons)] = f"rule: {one.name}: {NO_VALUE}"
        dropped.write(place, batch, ~mask, rules, reasons)
        batch = batch.filter(pa.array(mask))
    return batch


def _unknown(reasons: pa.Array) -> npt.NDArray[np.bool_]:
    """Rows that a filter drops because what it decides by is missing, bool[n]."""
    found = pc.fill_null(pc.equal(reasons, NO_VALUE), False)
    return np.asarray(found.to_numpy(zero_copy_only=False), bool)


class Output:
    """Where the documents of a segment go: one Arrow part, or, in the last segment, Parquet for the corpus."""

    def __init__(self, work: Work[Segment]) -> None:
        self.work = work
        self.final = work.spec.final
        self.writers: dict[str, PartWriter | ParquetPart] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self.final and not self.writers:
            self._writer("docs", pa.schema([("doc", pa.uint64()), ("text", pa.string())]))
        for name, writer in self.writers.items():
            writer.__exit__(kind, value, trace)
            self.work.facts[name] = {"rows": writer.rows, "bytes": writer.bytes}
            self.work.rows(name, writer.rows)

    def kept(self, batch: Batch) -> None:
        """Write documents that are alive at the end of the segment."""
        if not self.final:
            self._writer("docs", batch.schema).write(batch)
        else:
            self.work.count(self.work.spec.domain, "kept", batch.num_rows)
            self._publish("corpus", batch)

    def held_out(self, batch: Batch) -> None:
        """Write documents that are held out for validation."""
        self._publish("holdout", batch)

    def _publish(self, name: str, batch: Batch) -> None:
        # the domain is the folder's name, as Hive partitioning has it; a column of that name would clash with it
        if batch.num_rows:
            batch = batch.drop_columns(["domain"])
            batch = set_column(batch, "source", pa.array([self.work.spec.source] * batch.num_rows))
            self._writer(name, batch.schema).write(batch)

    def _writer(self, name: str, schema: pa.Schema) -> PartWriter | ParquetPart:
        if name not in self.writers:
            if name == "docs":
                self.writers[name] = PartWriter(self.work.put("docs", ".arrow"), schema)
            else:
                publish = f"{name}/domain={self.work.spec.domain}/{self.work.key}.parquet"
                self.writers[name] = ParquetPart(self.work.put(name, ".parquet", publish=publish), schema)
        return self.writers[name]
