"""The kinds of stages that documents flow through, and that summarize them for steps that have to have seen all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from corpuskit.core.flow import Flow
from corpuskit.core.kinds import StageKind, spec_of
from corpuskit.core.plan import Stage
from corpuskit.core.spec import ASIDE, Spec


@dataclass(frozen=True)
class Call:
    """A reader or step, as it is made again where it runs: its reference, and its parameters as JSON."""

    reference: str
    params: dict[str, Any]


@dataclass(frozen=True)
class StepCall(Call):
    """A step that a segment applies.

    Attributes:
        name: of the rule. identity: its fingerprint, which it must still have where it runs.
        hidden: signal columns that it is not shown.
        signal: the key that a signal's columns are stored under.
        state: label of the stage whose state or model it gets.
    """

    name: str
    identity: dict[str, Any]
    hidden: list[str] = field(default_factory=list)
    signal: str | None = None
    state: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reading(Spec):
    """What a stage is told that reads documents of a source.

    Attributes:
        apply: what barriers above decided of them, see `corpuskit.documents.decisions`.
    """

    domain: str
    apply: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Segment(Reading):
    """What a stretch of steps is told.

    Attributes:
        steps: identity and rule of each step; `calls`: the steps themselves.
        reader: identity of the reader of the source, and `read` the reader; None if documents come from a stage `docs`.
        keep_dropped: whether the text of every dropped document and duplicate is kept; else of a sample of the first.
        final: whether what is left is the corpus.
        base: the folder that references start from.
    """

    version: ClassVar[int] = 2
    source: str
    steps: list[dict[str, Any]]
    keep_dropped: bool
    base: str = field(metadata=ASIDE)
    on_error: str = field(metadata=ASIDE)
    calls: tuple[StepCall, ...] = field(metadata=ASIDE)
    reader: dict[str, Any] | None = None
    read: Call | None = field(metadata=ASIDE, default=None)
    final: bool = False

    @property
    def hidden(self) -> list[list[str]]:
        """Which columns are signals shows in no document, but steps are not shown them."""
        return [call.hidden for call in self.calls]

    @property
    def reads(self) -> bool:
        """The first segment of a source reads its files."""
        return self.read is not None

    @property
    def strict(self) -> bool:
        """A unit with unreadable records stands under `on_error: drop` only."""
        return self.on_error == "fail"


@dataclass(frozen=True)
class Seen(Spec):
    """What a stage is told that runs code of a step: its identity, and the step."""

    version: ClassVar[int] = 2
    step: dict[str, Any]
    base: str = field(metadata=ASIDE)
    call: Call = field(metadata=ASIDE)


@dataclass(frozen=True)
class State(Seen):
    """What merges summaries: labels of the stages that made them."""

    sources: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Model(Seen):
    """What makes a model of files: its least size; or of documents: labels of the stages that hold them."""

    version: ClassVar[int] = 1
    bytes: int = field(metadata=ASIDE, default=0)
    sources: list[str] = field(metadata=ASIDE, default_factory=list)


def _segment(stage: Stage, flow: Flow) -> float:
    return flow.through(stage) * flow.stored(stage, published=spec_of(stage, Segment).final)


def _batches(stage: Stage, flow: Flow, _memory: int) -> float:
    # batches in steps and writers; the last segment fills row groups of 32 MiB of text
    groups = 3 * flow.through(stage) / len(stage.units) if spec_of(stage, Segment).final else 0.0
    return (100 << 20) + min(100 << 20, groups)


ARPA = 12.0
"""Bytes of an n-gram model for a byte of its text: 18 of order 5, 8 of order 3, fewer where it is pruned."""


def _model(stage: Stage, flow: Flow) -> float:
    spec = spec_of(stage, Model)
    return flow.through(stage) * ARPA if spec.sources else float(spec.bytes)


SUMMARIES = "corpuskit.documents.summaries"

KINDS = (
    StageKind("segment", "corpuskit.documents.segment:segment", disk=_segment, holds=_batches, spec=Segment),
    StageKind("summary", f"{SUMMARIES}:summary", spec=Seen),
    StageKind("state", f"{SUMMARIES}:state", spec=State),
    StageKind("model", f"{SUMMARIES}:model", disk=_model, spec=Model),
)
