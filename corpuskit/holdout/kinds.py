"""The kinds of stages of `holdout`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from corpuskit.core.kinds import Barrier, StageKind, constant
from corpuskit.core.spec import Spec
from corpuskit.documents.kinds import Reading

STAGES = "corpuskit.holdout.stages"


@dataclass(frozen=True, kw_only=True)
class Candidates(Reading):
    """What `candidates` is told: the step's parameters."""

    version: ClassVar[int] = 2
    holdout: dict[str, Any]


@dataclass(frozen=True)
class Chosen(Spec):
    """What `holdout` is told: the step's parameters, and the domain of each source."""

    version: ClassVar[int] = 2
    holdout: dict[str, Any]
    sources: dict[str, str]


KINDS = (
    StageKind("candidates", f"{STAGES}:candidates", holds=constant(80), spec=Candidates),
    StageKind("holdout", f"{STAGES}:holdout", holds=constant(80), spec=Chosen),
    StageKind("decide_holdout", f"{STAGES}:decide_holdout", holds=constant(80), spec=Reading),
)

BARRIERS = (Barrier("holdout", "corpuskit.holdout.planning:hold_out", "corpuskit.holdout.applied:HeldOut"),)
