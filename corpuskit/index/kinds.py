"""The kind of the stage that indexes the corpus."""

from __future__ import annotations

from dataclasses import dataclass

from corpuskit.core.flow import Flow
from corpuskit.core.kinds import StageKind
from corpuskit.core.plan import Stage
from corpuskit.core.spec import Spec


@dataclass(frozen=True)
class Spans(Spec):
    """What `spans` is told: whose documents they are. That is in the key, and so a file has one source and domain."""

    source: str
    domain: str


def _spans(stage: Stage, flow: Flow) -> float:
    # the text, a suffix of 4 bytes for each of its bytes; id, begin and separator of each document
    return flow.through(stage) * 5 + flow.documents(stage) * 21


KINDS = (
    # the corpus is published without it: it says nothing about what is kept
    StageKind("spans", "corpuskit.index.stages:spans", seals=None, disk=_spans, packages=("pydivsufsort",), spec=Spans),
)
