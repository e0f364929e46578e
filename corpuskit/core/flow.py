"""What flows through a plan, before it has: text and documents, by source.

They are known from sizes of files and averages; better, from a look at some; best, from units that are done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from corpuskit.core.plan import Plan, Stage

EXPANSION = {".gz": 3.5, ".tgz": 3.5, ".zst": 3.5, ".bz2": 4.0, ".xz": 4.5}
"""Bytes of text for a byte of a raw file that was not looked at, by its suffix; 1 for those that are not compressed."""

DOCUMENT = 5000
"""Bytes of text in a document, on average."""

PART, CORPUS = 0.6, 0.4
"""Bytes on disk for a byte of text, in a part (lz4) and in Parquet (zstd)."""


@dataclass(frozen=True)
class Amount:
    """Bytes of text, and documents."""

    text: float
    documents: float


@dataclass(frozen=True)
class Done:
    """What is known of a stage some or all of whose units are done.

    Attributes:
        units: how many. raw: bytes of raw files that these descend from. disk: bytes of their parts. left: what left
            them, if they give documents.
    """

    units: int
    raw: int
    disk: int
    left: Amount | None = None


Amounts = dict[str, Amount]
"""By source."""

Looked = Mapping[str, Mapping[str, float]]
"""By source, what a look at its files has told: `text`, bytes for a raw byte; `document`, bytes of text in one;
`part` and `corpus`, bytes on disk for a byte of text in a part and in the corpus."""


@dataclass(frozen=True)
class Flow:
    """What goes into each stage.

    Attributes:
        plan: the plan. done: by stage. looked: by source. into: by stage and source.
        at_most: stages that get less, but nobody knows how much: what filters and dedup leave is known when some units
            are done.
    """

    plan: Plan
    done: Mapping[str, Done]
    looked: Looked
    into: dict[str, Amounts] = field(default_factory=dict)
    at_most: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, plan: Plan, done: Mapping[str, Done] | None = None, looked: Looked | None = None) -> Flow:
        """From the sizes of files, what a look at them told, and what is done."""
        told = {name: one for name, one in (done or {}).items() if one.raw}
        flow, left = cls(plan, told, looked or {}), dict[str, Amounts]()
        for name, stage in plan.stages.items():
            needs = list(stage.needs.values())
            own = [need.stage for need in needs if need.how == "each"] or [need.stage for need in needs]
            into: Amounts = {}
            for amounts in [*map(left.__getitem__, own), flow._read(stage)]:
                for source, amount in amounts.items():
                    known = into.get(source, amount)
                    into[source] = min(known, amount, key=lambda one: one.text)
            flow.into[name] = into
            left[name] = measured = flow._measured(stage, into)
            if measured is into and (_takes(stage) or any(need.stage in flow.at_most for need in needs)):
                flow.at_most.add(name)
        return flow

    def _read(self, stage: Stage) -> Amounts:
        """What a stage reads of files."""
        entries = [entry for unit in stage.units for entry in unit.inputs]
        if not entries:
            return {}
        if "source" not in stage.spec:  # Parquet files of a finished corpus
            text = sum(unit.bytes for unit in stage.units) / CORPUS
            return {stage.name: Amount(text, text / DOCUMENT)}
        source = str(stage.spec["source"])
        looked = self.looked.get(source, {})
        text = 0.0
        for entry in entries:
            size = entry["size"] if entry["start"] is None else entry["end"] - entry["start"]
            packed = entry["start"] is None
            text += size * looked.get("text", EXPANSION.get(Path(entry["path"]).suffix, 1.0) if packed else 1.0)
        return {source: Amount(text, text / looked.get("document", DOCUMENT))}

    def _measured(self, stage: Stage, into: Amounts) -> Amounts:
        """What is to be expected to leave a stage some of whose units are done; of another `into`, at most that."""
        done = self.done.get(stage.name)
        if done is None or done.left is None:
            return into
        more = self.raw(stage) / done.raw
        return {next(iter(into)): Amount(done.left.text * more, done.left.documents * more)}

    def raw(self, stage: Stage) -> int:
        """Bytes of raw files that the units of a stage descend from."""
        return sum(unit.bytes for unit in stage.units)

    def through(self, stage: Stage) -> float:
        """Bytes of text that go into a stage."""
        return sum(amount.text for amount in self.into[stage.name].values())

    def documents(self, stage: Stage) -> float:
        """Documents that go into a stage."""
        return sum(amount.documents for amount in self.into[stage.name].values())

    def stored(self, stage: Stage, *, published: bool) -> float:
        """Bytes on disk for a byte of the text of a stage of one source, in the corpus or in a part."""
        name, otherwise = ("corpus", CORPUS) if published else ("part", PART)
        return max((self.looked.get(source, {}).get(name, otherwise) for source in self.into[stage.name]), default=0)

    def guessed(self, stage: Stage) -> bool:
        """Whether averages say what goes into a stage: nothing looked at a source of it, and no unit of it is done."""
        done = {name for name, one in self.done.items() if one.left is not None}
        read = {one.spec["source"] for name, one in self.plan.stages.items() if "source" in one.spec and name in done}
        return stage.name not in self.done and not self.into[stage.name].keys() <= read | self.looked.keys()

    @property
    def text(self) -> float:
        """Bytes of text of all files that are read."""
        reading = [stage for stage in self.plan.stages.values() if "source" in stage.spec]
        return sum(amount.text for stage in reading for amount in self._read(stage).values())


def _takes(stage: Stage) -> bool:
    """Whether filters or dedup may take of what goes into a stage."""
    return bool(stage.spec.get("steps") or stage.spec.get("apply"))
