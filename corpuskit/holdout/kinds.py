"""The kinds of stages of `holdout`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from corpuskit.core.flow import Flow
from corpuskit.core.kinds import Barrier, StageKind, constant, spec_of
from corpuskit.core.plan import Stage
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


INDEXED = 13.0
"""Bytes of the index of held-out texts for a token of them."""

TOKEN_BYTES = 4.0
"""Bytes of text for each of those."""


def _index(stage: Stage, flow: Flow) -> float:
    told, into = spec_of(stage, Chosen), flow.into[stage.name]
    held_out = 0.0
    for domain in sorted({*told.sources.values()}):
        amounts = [into[source] for source, of in told.sources.items() if of == domain]
        text, documents = sum(one.text for one in amounts), sum(one.documents for one in amounts)
        # a twentieth of the domain at most, and a document at least
        asked = min(float(told.holdout["tokens"]), text / TOKEN_BYTES / 20)
        held_out += max(asked, text / max(1.0, documents) / TOKEN_BYTES)
    return held_out * INDEXED if told.holdout["dedup_train"] else 0.0


KINDS = (
    StageKind("candidates", f"{STAGES}:candidates", holds=constant(80), spec=Candidates),
    StageKind("holdout", f"{STAGES}:holdout", disk=_index, holds=constant(80), spec=Chosen),
    StageKind("decide_holdout", f"{STAGES}:decide_holdout", holds=constant(80), spec=Reading),
)

BARRIERS = (Barrier("holdout", "corpuskit.holdout.planning:hold_out", "corpuskit.holdout.applied:HeldOut"),)
