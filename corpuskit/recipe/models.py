"""The recipe's models: what keys there are, of what types, with what defaults; and the validated recipe itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import to_jsonable_python

from corpuskit.mix.methods import is_method
from corpuskit.recipe.numbers import Bytes
from corpuskit.step import Step

NAME = r"[A-Za-z0-9._-]+"
"""Names that become folders: of recipes, sources and domains."""


def _name(value: str) -> str:
    import re

    if not re.fullmatch(NAME, value) or value.strip(".") == "":
        msg = "is not a name: letters, digits, `.`, `_` and `-` only"
        raise ValueError(msg)
    return value


def _no_bool(value: Any) -> Any:
    # pydantic takes true for 1
    if isinstance(value, bool):
        msg = f"should be a number, not {str(value).lower()}"
        raise ValueError(msg)  # noqa: TRY004  (pydantic reports a ValueError with its place)
    return value


def _not_yet(value: Any) -> Any:
    del value
    raise ValueError("is not in this version yet")


Name = Annotated[str, AfterValidator(_name)]
Whole = Annotated[int, BeforeValidator(_no_bool)]
Number = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]
Share = Annotated[Number, Field(ge=0)]
NotYet = Annotated[None, BeforeValidator(_not_yet), WithJsonSchema({})]
Seed = Annotated[Whole, Field(ge=0, lt=2**63)]


class Keys(BaseModel):
    """A table of the recipe; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Shards(Keys):
    """How the mixture is packed into sequences."""

    seq_len: Annotated[Whole, Field(ge=1)] = 2048
    """Target tokens of a sequence."""
    seed: Seed = 42
    """Of the order of documents: another seed, another order."""
    packing: Literal["concat", "best_fit"] = "best_fit"
    """`concat` cuts the stream of documents; `best_fit` splits no document that fits a sequence."""


class TokenizerTraining(Keys):
    """A byte-level BPE trained on a sample of the corpus."""

    vocab_size: Annotated[Whole, Field(ge=257, lt=2**31)] = 32_000
    """Size of the vocabulary, special tokens included."""


class TrainedTokenizer(Keys):
    """A tokenizer that the recipe trains."""

    train: TokenizerTraining
    """How it is trained."""


def _method_or_table(weights: Any, table: ValidatorFunctionWrapHandler) -> Any:
    if is_method(weights):
        return weights  # its parameters are those of the method that it names: the loader checks them
    if weights == {}:
        raise ValueError("is empty; give each domain its share")
    return table(weights)


class Swarm(Keys):
    """Proxy runs: a small model on each of many mixtures, from which methods such as `regmix` learn."""

    runs: Annotated[Whole, Field(ge=1)] | None = None
    """How many mixtures are drawn; 3 (domains + 1) or more are advised (OLMix), RegMix takes 512 for 17 domains."""
    ratios: str | None = None
    """In place of `runs`: a table of your own, a mixture a line: `run,DOMAIN,DOMAIN,...`."""
    tokens: Annotated[Whole, Field(ge=1)]
    """Tokens of each run."""
    model: str = "1M"
    """A preset's name."""
    batch_tokens: Annotated[Whole, Field(ge=1)] | None = None
    """Tokens of an optimizer step; default: Step Law."""
    lr: Annotated[Number, Field(gt=0)] | None = None
    """Peak learning rate; default: Step Law."""
    validation_sequences: Annotated[Whole, Field(ge=1)] | None = 32
    """Held-out sequences of each domain that a run is measured on; null: all."""
    draw: Literal["dirichlet", "halving"] = "dirichlet"
    """`dirichlet`: around the tempered sizes, as RegMix; `halving`: proportions that halve, as Data Mixing Laws."""
    temperature: Annotated[Number, Field(gt=0)] = 2.0
    """Of `dirichlet`: above 1 it lifts small domains."""
    strength: Annotated[list[Annotated[Number, Field(gt=0)]], Field(min_length=2, max_length=2)] = [0.1, 5.0]
    """Of `dirichlet`: from mixtures of few domains to mixtures near the sizes."""
    max_epochs: Annotated[Number, Field(gt=0)] = 15
    """A domain is at most this many times its share of the corpus, and no run repeats it more often."""
    seed: Seed = 0
    """Of the draws, and of the models' initial parameters."""


Weights = Annotated[str | dict[str, Share], WrapValidator(_method_or_table)]
Bound = Annotated[Number, Field(ge=0, le=1)]


class Phase(Keys):
    """A stretch of training with weights, and perhaps a length of sequences, of its own."""

    until: Annotated[Number, Field(gt=0)]
    """Where it ends: a fraction of `mix.tokens` (0.8), or tokens (80B); the last phase ends with the run (1)."""
    weights: Weights = "proportional"
    """As `mix.weights`; a method sees the tokens of the phase, and what earlier phases leave of `max_epochs`."""
    seq_len: Annotated[Whole, Field(ge=1)] | None = None
    """Target tokens of a sequence; default: `mix.shards.seq_len`. It divides that of the longest phase, which is cut to
    make shorter ones: documents that fit the longest may be split where it is cut."""


class Mix(Keys):
    """From the corpus to token shards: which domains in which shares."""

    tokenizer: TrainedTokenizer | str
    """`{train: {vocab_size: N}}`, a path to a `tokenizer.json`, or a name on the hub."""
    weights: Weights = "proportional"
    """Shares of tokens: a preset's name, a table `{domain: number}`, or `{method: NAME, ...}` with its parameters."""
    tokens: Annotated[Whole, Field(ge=1)] | Literal["max"] = "max"
    """Tokens of the mixture, or the most that weights and epochs allow."""
    max_epochs: Annotated[Number, Field(gt=0)] = 4
    """A domain is repeated at most this often."""
    lower: dict[str, Bound] = {}
    """Smallest weight of a domain, as a fraction, over the whole run; a domain not named is free."""
    upper: dict[str, Bound] = {}
    """Largest weight of a domain, likewise."""
    shards: Shards = Shards()
    """How it is packed."""
    swarm: Swarm | None = None
    """Proxy runs to learn weights from: `{method: regmix}` and the like read their results."""
    phases: Annotated[list[Phase], Field(min_length=1)] | None = None
    """In place of `weights`: one mixture after the other, and shorter or longer sequences; `max_epochs` and the bounds
    hold over the whole run."""
    write: NotYet = None
    """Not yet."""

    @property
    def weighings(self) -> list[Any]:
        """`weights`, or those of each phase."""
        return [self.weights] if self.phases is None else [phase.weights for phase in self.phases]

    @property
    def longest(self) -> int:
        """Target tokens of the longest sequence: of a block."""
        return max([self.shards.seq_len] if self.phases is None else map(self.seq_len, self.phases))

    def seq_len(self, phase: Phase) -> int:
        """Target tokens of a sequence of a phase."""
        return phase.seq_len or self.shards.seq_len


class Train(Keys):
    """Train a model on the shards."""

    model: str
    """A preset's name, such as `20M`."""
    tokens: Annotated[Whole, Field(ge=1)]
    """Tokens to train on."""
    batch_tokens: Annotated[Whole, Field(ge=1)] | None = None
    """Tokens of an optimizer step; default: Step Law."""
    lr: Annotated[Number, Field(gt=0)] | None = None
    """Peak learning rate; default: Step Law."""
    seed: Seed = 0
    """Of the initial parameters."""
    activation_checkpointing: Literal["selective", "full"] | None = None
    """Compute activations again to save memory: those of SwiGLU, or all but the input of each block; null: keep all."""
    checkpoint_every: Annotated[Whole, Field(ge=1)] | None = None
    """Steps between checkpoints; default: a tenth of the run."""
    validation_sequences: Annotated[Whole, Field(ge=1)] | None = 32
    """Held-out sequences of each domain that a validation reads; null: all."""
    processes: Annotated[Whole, Field(ge=1)] = 1
    """Processes on this machine."""


class SourceKeys(Keys):
    """Where documents of a domain come from; all other keys are parameters of the reader."""

    read: str
    """The reader: a built-in name, `./file.py:function`, or `datatrove:Class`."""
    path: str | Annotated[list[str], Field(min_length=1)]
    """A file, folder, pattern or URL, or a list of such; relative to the recipe's folder."""
    domain: Name | None = None
    """The domain of its documents; default: the source's name."""
    on_error: Literal["fail", "drop"] = "fail"
    """What an unreadable record means: `fail` after all good units were committed, or `drop` it, counted."""


class Settings(Keys):
    """The recipe: what to read, what to do with it, how to mix it, and what to train."""

    name: Name | None = None
    """Name of the run's folder; default: the file's name."""
    memory: Annotated[Bytes, Field(ge=512 << 20)] = 2 << 30
    """What a worker may use, such as `4GiB`; at least `512MiB`."""
    batch_bytes: Annotated[Bytes, Field(ge=1)] = 8 << 20
    """Text of a batch to work on; changes no output."""
    max_doc_bytes: Annotated[Bytes, Field(ge=1)] = 64 << 20
    """A larger record is unreadable, and counted so."""
    keep_dropped: bool = False
    """Keep the texts of all dropped documents, not of a sample."""
    salt: str = ""
    """Any text; another one gives all documents other ids."""
    sources: Annotated[dict[Name, Any], Field(min_length=1)]
    """Sources by name."""
    steps: list[Any] = []
    """What is done to the documents, in order."""
    mix: Mix | None = None
    """Without it the run ends at the corpus."""
    train: Train | None = None
    """Without it the run ends at the shards."""
    expect: list[str] = []
    """What must hold at the end, such as `docs('books') > 10`."""


@dataclass(frozen=True)
class Source:
    """A source; `read` is its reader's reference, `params` are the reader's, `line` counts from 1."""

    name: str
    read: str
    step: Step
    params: Mapping[str, Any]
    path: list[str]
    domain: str
    on_error: Literal["fail", "drop"]
    line: int


@dataclass(frozen=True)
class StepCall:
    """A step with validated parameters; `name` is unique, `only` are domains (None: all), `line` counts from 1."""

    reference: str
    step: Step
    params: Mapping[str, Any]
    name: str
    only: list[str] | None
    line: int


@dataclass(frozen=True)
class Recipe:
    """A validated recipe; presets are expanded, defaults filled in. Keys as in `Settings`.

    `path` is the recipe's file and `base` its folder, from which relative paths start. `memory`, `batch_bytes` and
    `max_doc_bytes` are bytes. `warnings` are what is allowed but seldom meant.
    """

    name: str
    path: Path
    base: Path
    memory: int
    batch_bytes: int
    max_doc_bytes: int
    keep_dropped: bool
    salt: str
    sources: dict[str, Source]
    steps: list[StepCall]
    mix: Mix | None
    train: Train | None
    expect: list[str]
    warnings: list[str]

    def resolved(self) -> dict[str, Any]:
        """The recipe as plain data, everything filled in and paths absolute: it loads to the same recipe anywhere."""
        plain = {
            key: getattr(self, key)
            for key in ("name", "memory", "batch_bytes", "max_doc_bytes", "keep_dropped", "salt")
        }
        plain["sources"] = {name: self._source(source) for name, source in self.sources.items()}
        plain["steps"] = [self._step(call) for call in self.steps]
        if self.mix is not None:
            if not any(call.step.name == "holdout" for call in self.steps):
                plain["steps"].append({"holdout": "none"})
            plain["mix"] = to_jsonable_python(self.mix, exclude={"phases", "write", "weights"})
            if self.mix.phases is None:
                plain["mix"]["weights"] = _weights(self.mix.weights)
            else:
                plain["mix"]["phases"] = [
                    {"until": phase.until, "weights": _weights(phase.weights), "seq_len": phase.seq_len}
                    for phase in self.mix.phases
                ]
        if self.train is not None:
            plain["train"] = to_jsonable_python(self.train)
        return {**plain, "expect": list(self.expect)}

    def _source(self, source: Source) -> dict[str, Any]:
        return {
            "read": absolute_reference(source.read, self.base),
            "path": [absolute(path, self.base) for path in source.path],
            "domain": source.domain,
            "on_error": source.on_error,
            **_params(source.params),
        }

    def _step(self, call: StepCall) -> dict[str, Any]:
        plain = {absolute_reference(call.reference, self.base): _params(call.params), "name": call.name}
        return plain if call.only is None else {**plain, "only": call.only}


def _params(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name.rstrip("_"): to_jsonable_python(value, by_alias=True) for name, value in params.items()}


def _weights(weights: str | Mapping[str, Any]) -> Any:
    return weights if isinstance(weights, str) else _params(weights)


def absolute(path: str, base: Path) -> str:
    """A path or pattern against a folder; URLs stay as they are."""
    return path if "://" in path else str(base / path)


def absolute_reference(reference: str, base: Path) -> str:
    """A step's reference with its file, if it has one, against a folder."""
    file, colon, name = reference.rpartition(":")
    return f"{base / file}:{name}" if colon and file.endswith(".py") else reference
