"""The table `train` of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from corpuskit.core.settings import Keys, Number, Seed, Whole


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
