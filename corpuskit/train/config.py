"""The trainer's configuration: one flat JSON object, checked in full before anything runs; imports no torch.

Promises that every unknown or impossible key is reported at once, and that `identity` holds exactly the keys that
decide what is trained (not where, how fast, or how often it is saved).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from corpuskit.errors import UsageError, did_you_mean
from corpuskit.train.shape import Shape, shape_of, wrong_model

CHOICES = {
    "optimizer": ("adamw", "muon"),
    "mask": ("document", "causal"),
    "schedule": ("wsd", "cosine"),
    "precision": ("fp32", "bf16"),
    "device": ("cpu", "cuda"),
    "activation_checkpointing": ("selective", "full"),
}
FRACTIONS = ("warmup", "decay", "beta1", "beta2")
NOT_NEGATIVE = ("weight_decay", "seed", "z_loss")
LOGGERS = ("tensorboard", "wandb")
PRACTICAL = frozenset(
    (
        "shards",
        "out",
        "device",
        "threads",
        "micro_batch",
        "activation_checkpointing",
        "checkpoint_every",
        "validate_every",
        "validation_sequences",
        "hsdp",
        "async_save",
        "keep",
        "loggers",
        "bucket",
        "cache",
        "cache_bytes",
    )
)


@dataclass(frozen=True)
class TrainConfig:
    """What to train, on what, for how long. Null means: chosen by the rule given here.

    Attributes:
        shards: folder with `index.json`; or one in a bucket, `s3://bucket/run/shards`, of which a part is kept here.
        bucket: URL of a bucket that has the files to which the manifest of `shards` gives a `key`.
        cache: folder in which the part of a bucket that is kept here gets one; null: TMPDIR.
        cache_bytes: of that part, for all processes of a machine; null: half of what is free there.
        out: folder for checkpoints (`step-N`), `metrics.jsonl` and `result.json`.
        model: a preset's name; a shape, `{"width": .., "layers": .., "heads": ..}` and more (`corpuskit.train.shape`);
            or `hf:PATH`, a `config.json` of a causal language model of transformers, or the folder that holds it.
        mask: `document`: attention stays inside a document and its first token, which nothing predicts, carries no
            loss; `causal`: attention crosses documents and every token but padding carries loss.
        tokens: target tokens to train on (sequences x seq_len); null: all that the shards hold.
        batch_tokens: target tokens of an optimizer step, in whole sequences of its phase; null: Step Law.
        lr: peak learning rate; null: Step Law.
        schedule: `wsd` (linear warmup, constant, linear decay to 0) or `cosine` (to a tenth).
        warmup, decay: fractions of all steps; `decay` is for `wsd` only.
        optimizer: `adamw`, or `muon`: that for the matrices of the blocks, AdamW for the rest.
        weight_decay, beta1, beta2: AdamW; norms and biases are not decayed.
        z_loss: weight of log(Z)^2 in what is minimized; losses are reported without it.
        clip: largest global norm of the gradient.
        seed: of the parameters' initial values.
        tokenizer: SHA-256 that the shards must name; null: any.
        precision: null: `bf16` parameters and fp32 reduction on CUDA, `fp32` on CPU.
        device: null: `cuda` if there is one.
        threads: of each process on CPU; null: cores / processes. Another number may change the last bits.
        micro_batch: sequences of one forward pass of one process, of the longest phase (of shorter sequences as many
            more as are as many tokens); null: about 4,096 tokens on CPU, 32,768 on CUDA.
        activation_checkpointing: what the backward pass computes again to save memory: `selective`, inside SwiGLU;
            `full`, all but the input of each block; null: nothing. Another choice may change the last bits on CUDA.
        checkpoint_every: steps; null: a tenth of the run. validate_every: steps; null: at the end only.
        async_save: write checkpoints while training goes on. keep: as many checkpoints as stay.
        hsdp: processes that hold one copy of the model between them (a node's, say); null: all (FSDP).
        loggers: `tensorboard`, `wandb`: what to write beside `metrics.jsonl`; must be installed.
        validation_sequences: at most so many of every domain, the first ones; null: all.
    """

    shards: str
    out: str
    model: str | dict[str, Any] = "1M"
    mask: str = "document"
    tokens: int | None = None
    batch_tokens: int | None = None
    lr: float | None = None
    schedule: str = "wsd"
    warmup: float = 0.05
    decay: float = 0.2
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = 1.0
    optimizer: str = "adamw"
    z_loss: float = 0.0
    seed: int = 0
    tokenizer: str | None = None
    precision: str | None = None
    device: str | None = None
    threads: int | None = None
    micro_batch: int | None = None
    activation_checkpointing: str | None = None
    checkpoint_every: int | None = None
    validate_every: int | None = None
    validation_sequences: int | None = None
    async_save: bool = False
    keep: int = 2
    hsdp: int | None = None
    loggers: list[str] | None = None
    policy: dict[str, Any] | None = None
    loss_hook: dict[str, Any] | None = None
    bucket: str | None = None
    cache: str | None = None
    cache_bytes: int | None = None

    @property
    def shape(self) -> Shape:
        """The decoder's shape; there is none of `hf:`."""
        return shape_of(self.model)

    @property
    def foreign(self) -> bool:
        """Whether the model is one of transformers."""
        return isinstance(self.model, str) and self.model.startswith("hf:")

    def identity(self) -> dict[str, Any]:
        """The keys that decide what is trained; a checkpoint is resumed under the same ones only."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key not in PRACTICAL}


def from_dict(given: dict[str, Any]) -> TrainConfig:
    """Check `given` in full.

    Raises:
        UsageError: unknown keys, missing keys, wrong types and impossible values, all of them.
    """
    hints = get_type_hints(TrainConfig)
    problems = []
    for key, value in given.items():
        if key not in hints:
            problems.append(f"unknown key `{key}`" + (f": {near}" if (near := did_you_mean(key, hints)) else ""))
        else:
            problems += _check(key, value, hints[key])
    required = [field.name for field in dataclasses.fields(TrainConfig) if field.default is dataclasses.MISSING]
    problems += [f"`{key}` is missing" for key in required if key not in given]
    if str(given.get("model")).startswith("hf:"):
        problems += _check_foreign(given)
    if problems:
        raise UsageError(
            "the training configuration is wrong: " + "; ".join(problems), f"known keys: {', '.join(hints)}"
        )
    return TrainConfig(**given)


def read(path: Path) -> TrainConfig:
    """Read a JSON file.

    Raises:
        UsageError: no such file, no JSON object, or a wrong one; names the file (and the line of broken JSON).
    """
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path}: not JSON: {error}") from None
    if not isinstance(given, dict):
        raise UsageError(f"{path}: holds a {type(given).__name__}, not a JSON object of keys")
    try:
        return from_dict(given)
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", error.hint) from None


def _check(key: str, value: Any, hint: Any) -> list[str]:
    """What is wrong with one value."""
    if key == "model":
        return wrong_model(value)
    if key in ("policy", "loss_hook"):
        return _check_named(key, value)
    if key == "loggers":
        return _check_loggers(value)
    if key == "async_save":
        return [] if isinstance(value, bool) else [f"`{key}` is {value!r}, not true or false"]
    kinds = get_args(hint) or (hint,)
    if float in kinds:
        kinds += (int,)
    if not isinstance(value, kinds) or isinstance(value, bool):
        expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
        return [f"`{key}` is {value!r}, not {expected}"]
    if value is None:
        return []
    if key in CHOICES:
        return _check_choice(key, value, CHOICES[key])
    if key in FRACTIONS and not 0 <= value < 1:
        return [f"`{key}` is {value}, not in [0, 1)"]
    if key in NOT_NEGATIVE and not 0 <= value < math.inf:
        return [f"`{key}` is {value}, not a number from 0 on"]
    positive = isinstance(value, int | float) and key not in (*FRACTIONS, *NOT_NEGATIVE)
    if positive and not (value > 0 and math.isfinite(value)):
        return [f"`{key}` is {value}, not a positive number"]
    return []


def _check_choice(key: str, value: str, valid: tuple[str, ...]) -> list[str]:
    return [] if value in valid else [f"`{key}` is `{value}`, not one of {', '.join(valid)}"]


def _check_foreign(given: dict[str, Any]) -> list[str]:
    """What a model of transformers needs said: no law of ours knows its size, and it sees across documents."""
    problems = [
        f"`{key}` is missing: Step Law chooses it for models of corpuskit alone"
        for key in ("lr", "batch_tokens")
        if given.get(key) is None
    ]
    problems += (
        [] if given.get("mask") == "causal" else ["`mask` must be `causal`: models of transformers know no other"]
    )
    unfit = [key for key in ("activation_checkpointing", "policy", "loss_hook") if given.get(key) is not None]
    unfit += ["optimizer"] if given.get("optimizer") == "muon" else []
    return problems + [f"`{key}` is for models of corpuskit alone" for key in unfit]


def _check_named(key: str, value: Any) -> list[str]:
    """`{"name": .., more}`, which a policy or a loss hook is given by."""
    named = isinstance(value, dict) and isinstance(value.get("name"), str)
    return [] if value is None or named else [f'`{key}` is {value!r}, not {{"name": .., and its parameters}}']


def _check_loggers(value: Any) -> list[str]:
    right = value is None or (isinstance(value, list) and set(map(str, value)) <= set(LOGGERS))
    return [] if right else [f"`loggers` is {value!r}, not a list of {', '.join(LOGGERS)}"]


@dataclass(frozen=True)
class Stretch:
    """What a run trains of one phase of the shards: its first `sequences`, `batch` a step, `seq_len` targets each."""

    sequences: int
    batch: int
    seq_len: int

    @property
    def steps(self) -> int:
        """Optimizer steps; the last one takes what remains."""
        return -(-self.sequences // self.batch)


@dataclass(frozen=True)
class Step:
    """One optimizer step: `sequences` of a `phase`, by their numbers in it; `tokens` of the run at its end."""

    phase: int
    sequences: range
    tokens: int


@dataclass(frozen=True)
class Budget:
    """The length of a run, derived once: a stretch of each phase that it comes to, and the peak learning rate.

    `notes` says in words what was chosen or clamped, for the log.
    """

    stretches: tuple[Stretch, ...]
    lr: float
    notes: tuple[str, ...]

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return sum(stretch.steps for stretch in self.stretches)

    @property
    def tokens(self) -> int:
        """Target tokens in all."""
        return sum(stretch.sequences * stretch.seq_len for stretch in self.stretches)

    def step(self, number: int) -> Step:
        """A step by its number, counted from 1: a function of the number alone, so that resume needs no state."""
        first, tokens = 1, 0
        for phase, stretch in enumerate(self.stretches):
            if number < first + stretch.steps:
                start = (number - first) * stretch.batch
                stop = min(start + stretch.batch, stretch.sequences)
                return Step(phase, range(start, stop), tokens + stop * stretch.seq_len)
            first, tokens = first + stretch.steps, tokens + stretch.sequences * stretch.seq_len
        raise IndexError(number)

    def step_of(self, phase: int, sequence: int) -> int | None:
        """The step that reads a sequence of a phase, both numbered from 0; None if the run ends before it."""
        if phase >= len(self.stretches) or sequence >= self.stretches[phase].sequences:
            return None
        return 1 + sum(one.steps for one in self.stretches[:phase]) + sequence // self.stretches[phase].batch


def budget(config: TrainConfig, phases: Sequence[tuple[int, int]]) -> Budget:
    """Turn `tokens`, `batch_tokens` and `lr` into whole sequences and steps of each phase.

    Step Law (Li et al. 2025, arXiv 2503.04715): lr = 1.79 N^-0.713 D^0.307 and batch = 0.58 D^0.571 tokens, N the
    non-embedding parameters, D the tokens. It was fitted from 60M parameters and 2B tokens up; for tiny runs the rate
    is clamped to at most 1e-2, the batch to at least 2 sequences and at most a tenth of the run. A step has about the
    same tokens in each phase.

    Args:
        phases: sequences that the shards hold of each phase, and target tokens of one.

    Raises:
        UsageError: `tokens` exceeds the shards by a batch and by a longest sequence. Epochs are already in them, so
            nothing is repeated; a mixture of so many tokens may hold up to one such sequence less, for it holds whole
            ones.
    """
    available, longest = sum(count * seq_len for count, seq_len in phases), max(seq_len for _, seq_len in phases)
    asked = available if config.tokens is None else config.tokens
    notes = []
    law_lr = 0.0 if config.foreign else 1.79 * config.shape.non_embedding**-0.713 * asked**0.307
    law_batch = 0.58 * asked**0.571
    if config.batch_tokens is None:
        batch = min(max(round(law_batch / longest), 2), max(-(-asked // longest) // 10, 1))
        clamped = "" if batch == round(law_batch / longest) else f", clamped from the law's {law_batch:,.0f}"
        batch_tokens = batch * longest
        notes.append(f"batch_tokens: {batch_tokens:,} by Step Law{clamped}")
    else:
        batch_tokens = config.batch_tokens
    stretches, left = [], asked
    for count, seq_len in phases:
        sequences, batch = min(-(-left // seq_len), count), max(round(batch_tokens / seq_len), 1)
        if sequences:
            stretches.append(Stretch(sequences, batch, seq_len))
        left = max(left - sequences * seq_len, 0)
        if sequences and batch * seq_len != batch_tokens:
            notes.append(f"batch_tokens: {batch * seq_len:,}, whole sequences nearest to {batch_tokens:,}")
    lr = min(law_lr, 1e-2) if config.lr is None else config.lr
    if config.lr is None:
        notes.append(f"lr: {lr:.2e} by Step Law" + (f", clamped from {law_lr:.2e}" if lr != law_lr else ""))
    last_length = phases[-1][1]
    if left >= longest and -(-left // last_length) >= max(round(batch_tokens / last_length), 1):
        held = " and ".join(f"{count:,} sequences of {seq_len:,}" for count, seq_len in phases)
        raise UsageError(
            f"tokens: {asked:,} were asked for, but the shards in {config.shards} hold {available:,} "
            f"({held}); they are the whole mixture, so none is repeated",
            f"set train tokens to {available} or less, or raise the mixture's `tokens` or `max_epochs`",
        )
    if left:
        notes.append(f"tokens: {available:,} of the {asked:,} asked for: the shards hold no more whole sequences")
    if len(phases) > 1 and available - asked >= batch_tokens:
        reached = f"the run ends in phase {len(stretches)} of {len(phases)}"
        notes.append(f"tokens: {asked:,} of the {available:,} that the shards hold: {reached}")
    return Budget(tuple(stretches), lr, tuple(notes))
