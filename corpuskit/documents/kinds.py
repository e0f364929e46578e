"""The kinds of stages that documents flow through, and that summarize them for steps that have to have seen all."""

from __future__ import annotations

from corpuskit.core.kinds import STORED, Flow, StageKind
from corpuskit.core.plan import Stage


def _segment(stage: Stage, flow: Flow) -> float:
    return flow.through(stage) * STORED


def _model(stage: Stage, _flow: Flow) -> float:
    return float(stage.run["bytes"])


SUMMARIES = "corpuskit.documents.summaries"

KINDS = (
    StageKind("segment", "corpuskit.documents.segment:segment", disk=_segment),
    StageKind("summary", f"{SUMMARIES}:summary"),
    StageKind("state", f"{SUMMARIES}:state"),
    StageKind("model", f"{SUMMARIES}:model", disk=_model),
)
