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


@dataclass(frozen=True)
class Shape:
    """The size of the decoder: `width` of the residual stream, `layers`, attention `heads`."""

    width: int
    layers: int
    heads: int

    @property
    def inner(self) -> int:
        """Width of SwiGLU: 8/3 of `width` (Shazeer 2020, arXiv 2002.05202), rounded up to a multiple of 64."""
        return math.ceil(self.width * 8 / 3 / 64) * 64

    @property
    def non_embedding(self) -> int:
        """Parameters without the (tied) embedding: attention, SwiGLU and norms."""
        block = 4 * self.width**2 + 3 * self.width * self.inner + 2 * self.width
        return self.layers * block + self.width

    def flops_per_token(self, vocab_size: int, seq_len: int) -> int:
        """Training FLOP a token: 6N + 12 layers x width x length; N counts the tied embedding once, as the output.

        Appendix B of PaLM (Chowdhery et al. 2022, arXiv 2204.02311); no discount for causal or document masks.
        """
        return 6 * (self.non_embedding + vocab_size * self.width) + 12 * self.layers * self.width * seq_len


PRESETS = {  # named by their non-embedding parameters
    "1M": Shape(width=128, layers=5, heads=2),
    "5M": Shape(width=256, layers=6, heads=4),
    "20M": Shape(width=384, layers=11, heads=6),
    "160M": Shape(width=1024, layers=13, heads=16),
    "410M": Shape(width=1280, layers=21, heads=20),
    "1B": Shape(width=2048, layers=20, heads=16),
}

NOT_YET = ("optimizer", "compile", "hsdp", "mup", "policy", "async_save", "export")
CHOICES = {
    "mask": ("document", "causal"),
    "schedule": ("wsd", "cosine"),
    "precision": ("fp32", "bf16"),
    "device": ("cpu", "cuda"),
    "activation_checkpointing": ("selective", "full"),
}
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
    )
)


@dataclass(frozen=True)
class TrainConfig:
    """What to train, on what, for how long. Null means: chosen by the rule given here.

    Attributes:
        shards: folder with `index.json`.
        out: folder for checkpoints (`step-N`), `metrics.jsonl` and `result.json`.
        model: a preset's name, or `{"width": .., "layers": .., "heads": ..}`.
        mask: `document`: attention stays inside a document and its first token, which nothing predicts, carries no
            loss; `causal`: attention crosses documents and every token but padding carries loss.
        tokens: target tokens to train on (sequences x seq_len); null: all that the shards hold.
        batch_tokens: target tokens of an optimizer step, in whole sequences of its phase; null: Step Law.
        lr: peak learning rate; null: Step Law.
        schedule: `wsd` (linear warmup, constant, linear decay to 0) or `cosine` (to a tenth).
        warmup, decay: fractions of all steps; `decay` is for `wsd` only.
        weight_decay, beta1, beta2: AdamW; norms are not decayed.
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
        validation_sequences: at most so many of every domain, the first ones; null: all.
    """

    shards: str
    out: str
    model: str | dict[str, int] = "1M"
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

    @property
    def shape(self) -> Shape:
        """The decoder's size."""
        return Shape(**self.model) if isinstance(self.model, dict) else PRESETS[self.model]

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
        if key in NOT_YET:
            problems.append(f"`{key}` is not supported yet; leave it out")
        elif key not in hints:
            problems.append(f"unknown key `{key}`" + (f": {near}" if (near := did_you_mean(key, hints)) else ""))
        else:
            problems += _check(key, value, hints[key])
    required = [field.name for field in dataclasses.fields(TrainConfig) if field.default is dataclasses.MISSING]
    problems += [f"`{key}` is missing" for key in required if key not in given]
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
        return _check_model(value)
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
    if key in ("warmup", "decay", "beta1", "beta2") and not 0 <= value < 1:
        return [f"`{key}` is {value}, not in [0, 1)"]
    if key in ("weight_decay", "seed") and value < 0:
        return [f"`{key}` is {value}, less than 0"]
    positive = isinstance(value, int | float) and key not in (
        "warmup",
        "decay",
        "beta1",
        "beta2",
        "weight_decay",
        "seed",
    )
    if positive and not (value > 0 and math.isfinite(value)):
        return [f"`{key}` is {value}, not a positive number"]
    return []


def _check_choice(key: str, value: str, valid: tuple[str, ...]) -> list[str]:
    return [] if value in valid else [f"`{key}` is `{value}`, not one of {', '.join(valid)}"]


def _check_model(value: Any) -> list[str]:
    """A preset that exists, or a shape whose heads divide its width into even parts."""
    if isinstance(value, str):
        if value.startswith("hf:") or value == "slimpajama-dc-1.3b":
            return [f"model `{value}` is not supported yet; presets: {', '.join(PRESETS)}"]
        near = did_you_mean(value, PRESETS)
        wrong = f"model `{value}` is not a preset ({', '.join(PRESETS)})" + (f": {near}" if near else "")
        return [] if value in PRESETS else [wrong]
    if not isinstance(value, dict) or set(value) != {"width", "layers", "heads"}:
        return [f'`model` is {value!r}, not a preset\'s name or {{"width": .., "layers": .., "heads": ..}}']
    if not all(type(number) is int and number > 0 for number in value.values()):
        return [f"`model` is {value!r}: width, layers and heads are positive whole numbers"]
    if value["width"] % (2 * value["heads"]):
        return [
            f"`model`: a width of {value['width']} is not a multiple of 2 x {value['heads']} heads (RoPE turns pairs)"
        ]
    return []


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
    law_lr = 1.79 * config.shape.non_embedding**-0.713 * asked**0.307
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
