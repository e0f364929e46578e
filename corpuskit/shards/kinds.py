"""The kinds of stages from the corpus to token shards."""

from __future__ import annotations

from corpuskit.core.kinds import TOKEN, Flow, StageKind
from corpuskit.core.plan import Stage

STAGES = "corpuskit.shards.stages"


def _tokens(stage: Stage, flow: Flow) -> float:
    return flow.through(stage) / TOKEN * 2


def _shards(_stage: Stage, flow: Flow) -> float:
    return flow.text / TOKEN * 2


KINDS = (
    StageKind("tokenizer", f"{STAGES}:tokenizer", "shards", packages=("tokenizers",)),
    StageKind("tokens", f"{STAGES}:tokens", "shards", _tokens, packages=("tokenizers",)),
    StageKind("blocks", f"{STAGES}:blocks", "shards"),
    StageKind("mixture", f"{STAGES}:mixture", "shards"),
    StageKind("shards", f"{STAGES}:shards", "shards", _shards),
)
