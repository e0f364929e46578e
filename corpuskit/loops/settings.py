"""The table `train` of a recipe."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from corpuskit.core.settings import Keys, Number, Seed, Whole


class Train(Keys):
    """Train a model on the shards."""

    model: str | dict[str, Any]
    """A preset's name, such as `20M`; a shape, `{width: 512, layers: 8, heads: 8}` and more; or `hf:config.json`."""
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
    processes: Annotated[Whole, Field(ge=1)] = 1
    """Processes on this machine."""
