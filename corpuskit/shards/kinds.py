"""The kinds of stages from the corpus to token shards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from corpuskit.core.kinds import TOKEN, Flow, StageKind
from corpuskit.core.plan import Stage
from corpuskit.core.spec import ASIDE, Spec

STAGES = "corpuskit.shards.stages"

FILE_TOKENS = 1 << 28
"""The most tokens of a train file."""


@dataclass(frozen=True, order=True)
class Source:
    """A source and its domain, by name."""

    source: str
    domain: str


@dataclass(frozen=True, kw_only=True)
class OverSources(Spec):
    """What a stage over all sources is told; they are sorted."""

    sources: tuple[Source, ...]


@dataclass(frozen=True, kw_only=True)
class Tokenizer(OverSources):
    """What `tokenizer` is told.

    Attributes:
        tokenizers: version of the library.
        tokenizer: {train: {vocab_size}}, or a file, folder or hub name, or the digest of one; `wanted`: the same with
            the path in place of the digest.
        fim: whether it must have, or gets, tokens for fill in the middle.
    """

    tokenizers: str
    tokenizer: Any
    wanted: Any = field(metadata=ASIDE)
    fim: bool = False


@dataclass(frozen=True)
class Tokens(Spec):
    """What `tokens` is told: the domain of its source; `fim`, if its documents are rearranged: see `shards.fim.Fim`."""

    domain: str
    fim: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Cut(OverSources):
    """What `blocks` is told: the length of a sequence, and how documents are packed into them.

    Attributes:
        publish: whether its indexes go to `shards/`, for a trainer that follows the plan over `tokens/`.
    """

    seq_len: int
    packing: str
    publish: bool = False


@dataclass(frozen=True, kw_only=True)
class Mixed(OverSources):
    """What `mixture` and `shards` are told.

    Attributes:
        mix: {weights, tokens (a number, or "max"), max_epochs, seq_len, seed, packing}, and, where the recipe has them,
            `lower` and `upper` bounds, and in place of the weights `phases`: [{until, weights, seq_len}], whose largest
            seq_len is that of `mix`.
        file_tokens: the most of a train file.
        write: `shards`, or `plan`: there are none, and the index says how the trainer reads the tokens themselves.
        weights: those of `mix`, or a list of those of its phases, with paths in place of the digests of files.
    """

    version: ClassVar[int] = 2
    mix: dict[str, Any]
    weights: Any = field(metadata=ASIDE, default=None)
    file_tokens: int = FILE_TOKENS
    write: str = "shards"


def _tokens(stage: Stage, flow: Flow) -> float:
    return flow.through(stage) / TOKEN * 2


def _shards(_stage: Stage, flow: Flow) -> float:
    return flow.text / TOKEN * 2


KINDS = (
    StageKind("tokenizer", f"{STAGES}:tokenizer", "shards", spec=Tokenizer, packages=("tokenizers",)),
    StageKind("tokens", f"{STAGES}:tokens", "shards", _tokens, spec=Tokens, packages=("tokenizers", "gigatoken")),
    StageKind("blocks", f"{STAGES}:blocks", "shards", spec=Cut),
    StageKind("mixture", f"{STAGES}:mixture", "shards", spec=Mixed),
    StageKind("shards", f"{STAGES}:shards", "shards", _shards, spec=Mixed),
)
