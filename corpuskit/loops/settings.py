"""The table `train` of a recipe."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from corpuskit.core.numbers import Bytes, parse_count
from corpuskit.core.settings import Keys, Number, Seed, Whole


class ComputeClass(Keys):
    """A budget in hours of the machine that trains, as in the Languini Kitchen (Stanić et al. 2023, arXiv:2309.11197).

    Models are compared that were trained for as long on the same hardware: a faster one sees more tokens.
    """

    languini: str
    """The class: `6h`, `12h`, `24h`, `48h` or `96h` in the paper."""
    tokens_per_second: Annotated[Whole, Field(ge=1)]
    """Of this model on this machine, as the trainer says at the end of a short run."""


def _in_tokens(value: Any) -> Any:
    """The tokens of a compute class; other values as they are."""
    if not isinstance(value, dict):
        return value
    hours = re.fullmatch(r"(\d+(?:\.\d+)?)h", str(value.get("languini", "")))
    rate = parse_count(value.get("tokens_per_second"))
    if set(value) != set(ComputeClass.model_fields) or hours is None or type(rate) is not int or rate < 1:
        raise ValueError("a compute class is `{languini: 6h, tokens_per_second: 41000}`")
    return round(float(hours[1]) * 3600 * rate)


FOREIGN = "hf:"
"""What names a model of transformers, before the path of its configuration."""


class Train(Keys):
    """Train a model on the shards."""

    model: str | dict[str, Any]
    """A preset's name, such as `20M`; a shape, `{width: 512, layers: 8, heads: 8}` and more; or `hf:config.json`."""
    tokens: Annotated[Whole, Field(ge=1), BeforeValidator(_in_tokens, json_schema_input_type=Whole | ComputeClass)]
    """Tokens to train on; or a compute class, `{languini: 6h, tokens_per_second: 41k}`: hours of a measured speed."""
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
    mask: Literal["document", "causal"] | None = None
    """Whether attention crosses documents; default: `document`."""
    optimizer: Literal["adamw", "muon"] | None = None
    """Muon moves the matrices of the blocks, AdamW the rest; default: `adamw`."""
    schedule: Literal["wsd", "cosine"] | None = None
    """Of the learning rate; default: `wsd`: warmup, constant, linear decay to 0."""
    z_loss: Annotated[Number, Field(ge=0)] | None = None
    """Weight of log(Z)^2 in what is minimized; default: 0."""
    policy: dict[str, Any] | None = None
    """What is drawn while training: `{name: doremi, reference: CHECKPOINT}`, `doge`, `skill_it`, `aioli`, `ado`."""
    loss_hook: dict[str, Any] | None = None
    """Which tokens' losses count: `{name: eslm, alpha: 0.1}`."""
    async_save: bool | None = None
    """Write checkpoints while training goes on; default: no."""
    keep: Annotated[Whole, Field(ge=1)] | None = None
    """As many checkpoints as stay; default: 2."""
    cache_bytes: Annotated[Bytes, Field(ge=1)] | None = None
    """Of shards in a bucket, so much is kept on the disk of the machine; default: half of what is free in TMPDIR."""
    processes: Annotated[Whole, Field(ge=1)] = 1
    """Processes on this machine."""
