"""The kinds of stages of `holdout`."""

from __future__ import annotations

from corpuskit.core.kinds import StageKind

STAGES = "corpuskit.holdout.stages"

KINDS = (
    StageKind("candidates", f"{STAGES}:candidates"),
    StageKind("holdout", f"{STAGES}:holdout"),
    StageKind(
        "decide_holdout",
        f"{STAGES}:decide_holdout",
        barriers=("holdout",),
        applied="corpuskit.holdout.applied:HeldOut",
    ),
)
