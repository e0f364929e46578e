"""The kinds of stages from the corpus to token shards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from corpuskit.core.kinds import STORED, TOKEN, Flow, Holds, StageKind, constant, spec_of
from corpuskit.core.plan import Stage
from corpuskit.core.spec import ASIDE, Spec

STAGES = "corpuskit.shards.stages"

SAMPLE_BYTES = 64_000_000
"""Of text that a tokenizer is trained on."""

DRAWN = 1.5
"""How many times its share of that is drawn from a domain, for documents are of unequal length."""

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
    """What `tokenizer` is told. One that is trained needs the stages `shares` and `sample-SOURCE`.

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
class Sampled(Spec):
    """What `sample` is told: the domain of its source."""

    domain: str


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


def _sample(stage: Stage, flow: Flow) -> float:
    return min(flow.through(stage), DRAWN * SAMPLE_BYTES * flow.through(stage) / max(1.0, flow.text)) * STORED


def _shards(_stage: Stage, flow: Flow) -> float:
    return flow.text / TOKEN * 2


LIBRARIES = 80 << 20
"""Bytes of memory of `tokenizers`, gigatoken and a vocabulary, which a worker keeps."""

TRAINED = 7.0
"""Bytes of memory for a byte of the sample that a tokenizer is trained on."""


def _with_libraries(mib: int) -> Holds:
    return lambda _stage, _flow, _memory: float(LIBRARIES + (mib << 20))


def _training(stage: Stage, flow: Flow, _memory: int) -> float:
    trained = not isinstance(spec_of(stage, Tokenizer).wanted, str)
    return LIBRARIES + trained * TRAINED * min(float(SAMPLE_BYTES), flow.text)


def _encoding(_stage: Stage, _flow: Flow, memory: int) -> float:
    return LIBRARIES + memory / 16


KINDS = (
    StageKind("shares", f"{STAGES}:shares", "shards", spec=OverSources),
    StageKind("sample", f"{STAGES}:sample", "shards", _sample, constant(130), spec=Sampled),
    StageKind("tokenizer", f"{STAGES}:tokenizer", "shards", holds=_training, spec=Tokenizer, packages=("tokenizers",)),
    StageKind(
        "tokens", f"{STAGES}:tokens", "shards", _tokens, _encoding, spec=Tokens, packages=("tokenizers", "gigatoken")
    ),
    StageKind("blocks", f"{STAGES}:blocks", "shards", holds=_with_libraries(40), spec=Cut),
    StageKind("mixture", f"{STAGES}:mixture", "shards", holds=_with_libraries(40), spec=Mixed),
    StageKind("shards", f"{STAGES}:shards", "shards", _shards, _with_libraries(60), spec=Mixed),
)
