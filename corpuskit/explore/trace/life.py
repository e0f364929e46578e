"""What the steps of a run did with one document: each step's decision, with the values it was made by.

Only the parts of the one unit that the document goes through are read, and the evidence of dedup.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpuskit.core.batch import PartReader
from corpuskit.core.kinds import spec_of
from corpuskit.core.plan import Plan, Stage
from corpuskit.core.sql import columns_of
from corpuskit.core.work import Receipt
from corpuskit.dedup.lines import ROW
from corpuskit.documents.kinds import Segment, StepCall
from corpuskit.documents.lookup import Lookup, mapped
from corpuskit.explore.trace.origin import Origin
from corpuskit.store.root import Root

Row = dict[str, Any]

OWN = ("doc", "text", "rule", "reason", "source", "domain", "meta")
"""Columns of stored documents that no reader and no signal gave."""


class Life:
    """One document on its way through the steps.

    Attributes:
        fate: `kept`, `held_out`, `exact`, `near`, the rule that dropped it, or None: its unit is not complete.
        reason: of that rule, if it gave one.
        steps: [{step, outcome}], up to the one that took it out; with `kind`, the `values` that a signal gave or a rule
            reads, a rule's `expr`, `found` by an edit or a filter, and `lines` that were cut.
        columns: what its reader gave beside the text, of a document that is stored somewhere.
        text: as it is stored last, or None.
        stored: {file, row} in `corpus/`, `holdout/` or `dropped/`, or None.
    """

    def __init__(self, root: Root, plan: Plan, origin: Origin) -> None:
        self._root, self._plan, self._origin = root, plan, origin
        self._doc = pa.scalar(origin.doc, pa.uint64())
        self.fate: str | None = None
        self.reason: str | None = None
        self.steps: list[Row] = []
        self.columns: Row = {}
        self.text: str | None = None
        self.stored: Row | None = None
        self._values: Row = {}
        self._signals: set[str] = set()
        self._through()
        for step in self.steps:
            if "expr" in step:  # what a reader gave is known once the document was found
                read = {name.lower() for name in columns_of(step["expr"])}
                given = {name: value for name, value in self._values.items() if name.lower() in read}
                step["values"] = given | step["values"]

    @property
    def chain(self) -> list[Stage]:
        """The segments of the document's source, in order."""
        stages = self._plan.stages.values()
        return [one for one in stages if one.kind == "segment" and spec_of(one, Segment).source == self._origin.source]

    def as_json(self) -> Row:
        """All attributes."""
        names = ("fate", "reason", "steps", "columns", "text", "stored")
        return {name: getattr(self, name) for name in names}

    def _through(self) -> None:
        for stage in self.chain:
            receipt = self._root.receipt(stage, self._origin.unit)
            if receipt is None:
                self.steps.append({"step": stage.name, "outcome": "not complete"})
                return
            if self._segment(stage, receipt):
                return

    def _segment(self, stage: Stage, receipt: Receipt) -> bool:
        """Whether the document ends here."""
        spec = spec_of(stage, Segment)
        gone = self._stored(receipt, "dropped")
        rule = None if gone is None else gone["rule"]
        for decision in spec.apply:
            if self._decided(stage, decision, receipt, gone):
                return True
        names = [call.name for call in spec.calls]
        if rule is not None and not any(_by(name, rule) for name in names):  # its reader's, or nothing was left of it
            return self._end(rule, rule, gone)
        found = self._found(receipt)
        for call, identity in zip(spec.calls, spec.steps, strict=True):
            said = self._said(call, identity, found.get(call.name, []))
            if rule is not None and _by(call.name, rule):
                return self._end(call.name, rule, gone, said)
            self.steps.append({"step": call.name, "outcome": "passed", **said})
        if not spec.final:
            return False
        self._stored(receipt, "corpus")
        self.fate = "kept"
        return True

    def _decided(self, stage: Stage, decision: Row, receipt: Receipt, gone: Row | None) -> bool:
        barrier = decision["barrier"]
        if barrier == "holdout":
            if self._stored(receipt, "holdout") is not None:
                self.steps.append({"step": barrier, "outcome": "held out"})
                self.fate = "held_out"
                return True
            if gone is not None and gone["rule"] == "contaminated":
                return self._end(barrier, "contaminated", gone)
        elif barrier == "lines":
            self.steps.append({"step": decision["name"], "outcome": "passed", "lines": self._cut(stage, decision)})
            return False
        else:
            parts = self._needed(stage, f"decide:{barrier}").parts
            found, places = Lookup(parts["removed_docs"].local())(pa.array([self._doc]))
            if found[0]:
                exact = mapped(parts["removed_exact"].local(), "u1")[places[0]]
                self._last_text(stage)
                return self._end(barrier, "exact" if exact else "near", None)
        self.steps.append({"step": barrier, "outcome": "passed"})
        return False

    def _end(self, step: str, rule: str, gone: Row | None, said: Row | None = None) -> bool:
        self.fate, self.reason = rule, None if gone is None else gone["reason"]
        self.steps.append({"step": step, "outcome": "dropped", "rule": rule, "reason": self.reason, **(said or {})})
        return True

    def _needed(self, stage: Stage, label: str) -> Receipt:
        found = self._root.receipt(self._plan.stages[stage.needs[label].stage], self._origin.unit)
        assert found is not None, f"{stage.name} is complete without {label}"
        return found

    def _cut(self, stage: Stage, decision: Row) -> int:
        """Lines that `lines` cut from the document."""
        where = _in_part(self._needed(stage, "docs").parts["docs"].local(), self._doc)
        if where is None:
            return 0
        cut = mapped(self._needed(stage, decision["repeats"]).parts["cut"].local(), "<u8")
        low, high = np.searchsorted(cut, np.array([where[0], where[0] + 1], np.uint64) << np.uint64(ROW))
        return int(high - low)

    def _last_text(self, stage: Stage) -> None:
        """Take what the stage before stored of a document that dedup removed."""
        where = _in_part(self._needed(stage, "docs").parts["docs"].local(), self._doc)
        if where is not None:
            self._take(where[1])

    def _stored(self, receipt: Receipt, name: str) -> Row | None:
        part = receipt.parts.get(name)
        where = in_parquet(part.local(), self._doc) if part is not None else None
        if part is None or where is None:
            return None
        self.stored = {"file": part.publish, "row": where[0]}
        self._take(where[1])
        return where[1]

    def _take(self, row: Row) -> None:
        self.text = row.get("text")
        self._values |= {name: value for name, value in row.items() if name not in OWN}
        self.columns = {n: v for n, v in row.items() if n not in (*OWN, *self._signals) and v is not None}

    def _found(self, receipt: Receipt) -> dict[str, list[Row]]:
        """What steps of a segment found in the document, by step."""
        found: dict[str, list[Row]] = {}
        if "findings" in receipt.parts:
            table = pq.read_table(receipt.parts["findings"].local(), filters=pc.field("doc") == self._doc)
            for row in table.to_pylist():
                said = {name: row[name] for name in ("what", "times", "item", "text") if row[name] is not None}
                found.setdefault(row["step"], []).append(said)
        return found

    def _said(self, call: StepCall, identity: Row, found: list[Row]) -> Row:
        said: Row = {"kind": identity["kind"]}
        if call.signal is not None:
            said["values"] = self._signal(f"signal-{identity['step'].replace(':', '-')}-{call.signal}")
            self._values |= said["values"]
            self._signals |= set(said["values"])
            self.columns = {name: value for name, value in self.columns.items() if name not in self._signals}
        elif identity["step"] == "where":
            said["expr"] = call.params["expr"]
            read = {name.lower() for name in columns_of(call.params["expr"])}
            said["values"] = {name: value for name, value in self._values.items() if name.lower() in read}
        return said | ({"found": found} if found else {})

    def _signal(self, folder: str) -> Row:
        """What is stored of a signal for the document; nothing if it was scored by no run or was removed."""
        origin = self._plan.stages[self.chain[0].name].units[self._origin.unit].origin
        for key in self._root.store.list(f"stages/{folder}/columns/{origin}"):
            where = _in_part(self._root.store.local(key), self._doc) if key.endswith(".arrow") else None
            if where is not None:
                return {name: value for name, value in where[1].items() if name != "doc"}
        return {}


def _by(step: str, rule: str) -> bool:
    """Whether a rule of `dropped/` is that of a step."""
    return rule == step or rule.startswith(f"{step}: ")


def in_parquet(path: Path, doc: pa.Scalar) -> tuple[int, Row] | None:
    """The number and the content of a document's row in a Parquet file."""
    file, first = pq.ParquetFile(path), 0
    for group in range(file.num_row_groups):
        docs = file.read_row_group(group, columns=["doc"]).column("doc")
        place = pc.index(docs, doc).as_py()
        if place >= 0:
            return first + place, file.read_row_group(group).slice(place, 1).to_pylist()[0]
        first += len(docs)
    return None


def _in_part(path: Path, doc: pa.Scalar) -> tuple[int, Row] | None:
    """The same in an Arrow part."""
    first = 0
    for number, docs in enumerate(_docs(path)):
        place = pc.index(docs, doc).as_py()
        if place >= 0:
            return first + place, PartReader(path).batch(number).slice(place, 1).to_pylist()[0]
        first += len(docs)
    return None


def _docs(path: Path) -> Iterator[pa.Array]:
    for batch in PartReader(path, ["doc"]).each():
        yield batch.column(0)
