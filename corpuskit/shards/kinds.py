"""The kinds of stages from the corpus to token shards."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from corpuskit.core.flow import Flow
from corpuskit.core.kinds import Holds, StageKind, constant, spec_of
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


TOKEN = {256: 1.0, 1 << 10: 2.4, 1 << 13: 3.6, 1 << 15: 4.2, 1 << 17: 4.6}
"""Bytes of text in a token, by the size of a vocabulary that is trained on such text."""

VOCABULARY = 1 << 15
"""Of a tokenizer that is given, which is not opened."""


def _vocabulary(flow: Flow) -> int:
    wanted = spec_of(flow.plan.stages["tokenizer"], Tokenizer).wanted
    return VOCABULARY if isinstance(wanted, str) else int(wanted["train"]["vocab_size"])


def _width(flow: Flow) -> int:
    return 2 if _vocabulary(flow) <= 1 << 16 else 4


def _token_bytes(flow: Flow, text: float) -> float:
    """Bytes of the tokens of some bytes of text."""
    size = _vocabulary(flow)
    near = min(TOKEN, key=lambda one: abs(math.log2(one / size)))
    return text / TOKEN[near] * _width(flow)


def _tokens(stage: Stage, flow: Flow) -> float:
    # an index of 12 bytes a document, and a table of about 14
    return _token_bytes(flow, flow.through(stage)) + flow.documents(stage) * 26


def _tokenizer(_stage: Stage, flow: Flow) -> float:
    return _vocabulary(flow) * 35.0


def _cut(stage: Stage, flow: Flow) -> float:
    packed = spec_of(stage, Cut).packing == "best_fit"
    pieces = _token_bytes(flow, flow.through(stage)) / 2 / spec_of(stage, Cut).seq_len
    return flow.documents(stage) * (28 if packed else 16) + pieces * 20 * packed


def _sample(stage: Stage, flow: Flow) -> float:
    ratio = flow.stored(stage, published=False)
    every = sum(flow.through(one) for one in flow.plan.stages.values() if one.kind == "sample")
    return min(flow.through(stage), DRAWN * SAMPLE_BYTES * flow.through(stage) / max(1.0, every)) * ratio


def _shards(stage: Stage, flow: Flow) -> float:
    spec = spec_of(stage, Mixed)
    mix, domains = spec.mix, dict.fromkeys((one.domain for one in spec.sources), 0.0)
    for one in spec.sources:
        once = _token_bytes(flow, flow.into[stage.name][one.source].text)
        domains[one.domain] += once * float(mix["max_epochs"])
    largest = sum(domains.values())
    weights = mix.get("weights")
    if isinstance(weights, dict) and weights.keys() <= domains.keys():
        # a domain is read `max_epochs` times at most: the first to be so ends the mixture
        largest = min(domains[name] / share * sum(weights.values()) for name, share in weights.items() if share)
    asked = math.inf if mix["tokens"] == "max" else float(mix["tokens"]) * _width(flow)
    return min(largest, asked)


LIBRARIES = 80 << 20
"""Bytes of memory of `tokenizers`, gigatoken and a vocabulary, which a worker keeps."""

TRAINED = 7.0
"""Bytes of memory for a byte of the sample that a tokenizer is trained on."""


def _with_libraries(mib: int) -> Holds:
    return lambda _stage, _flow, _memory: float(LIBRARIES + (mib << 20))


def _training(stage: Stage, flow: Flow, _memory: int) -> float:
    trained = not isinstance(spec_of(stage, Tokenizer).wanted, str)
    return LIBRARIES + trained * TRAINED * min(float(SAMPLE_BYTES), flow.through(stage))


def _encoding(_stage: Stage, _flow: Flow, memory: int) -> float:
    return LIBRARIES + memory / 16


KINDS = (
    StageKind("shares", f"{STAGES}:shares", "shards", spec=OverSources),
    StageKind("sample", f"{STAGES}:sample", "shards", _sample, constant(130), spec=Sampled),
    StageKind(
        "tokenizer", f"{STAGES}:tokenizer", "shards", _tokenizer, _training, spec=Tokenizer, packages=("tokenizers",)
    ),
    StageKind(
        "tokens", f"{STAGES}:tokens", "shards", _tokens, _encoding, spec=Tokens, packages=("tokenizers", "gigatoken")
    ),
    StageKind("blocks", f"{STAGES}:blocks", "shards", _cut, _with_libraries(40), spec=Cut),
    StageKind("mixture", f"{STAGES}:mixture", "shards", holds=_with_libraries(40), spec=Mixed),
    StageKind("shards", f"{STAGES}:shards", "shards", _shards, _with_libraries(60), spec=Mixed),
)
