"""A trained model out of its checkpoint: for export, for a look at what it writes, and for scoring documents."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load as load_tensors

from corpuskit.errors import UsageError
from corpuskit.train.checkpoint import STATE, latest
from corpuskit.train.data import Batch
from corpuskit.train.hf import Foreign
from corpuskit.train.model import Decoder
from corpuskit.train.shape import shape_of


@dataclass(frozen=True)
class Trained:
    """A checkpoint: its folder `step-N` and what its `state.json` says."""

    path: Path
    state: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> Trained:
        """By its folder, or by that of the run, whose last whole one is taken.

        Raises:
            UsageError: there is none. InputError: all are damaged.
        """
        if (path / STATE).is_file():
            return cls(path, json.loads((path / STATE).read_text(encoding="utf-8")))
        found = latest(path) if path.is_dir() else None
        if found is None:
            raise UsageError(
                f"{path} is no checkpoint, and holds none",
                "give a folder `step-N` of a training's `checkpoints/`, or the folder that holds them",
            )
        return cls(*found)

    @property
    def model(self) -> str | dict[str, Any]:
        """As `TrainConfig.model`."""
        found: str | dict[str, Any] = self.state["identity"]["model"]
        return found

    @property
    def tokenizer(self) -> Path | None:
        """The `tokenizer.json` of the run that it lies in, if it does."""
        for folder in self.path.resolve().parents:
            if (folder / "tokens/tokenizer.json").is_file():
                return folder / "tokens/tokenizer.json"
        return None

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """All parameters by name, whole, float32 on the CPU."""
        held = FileSystemReader(self.path).read_metadata().state_dict_metadata
        weights = {
            name.removeprefix("model."): torch.empty(about.size, dtype=about.properties.dtype)
            for name, about in held.items()
            if name.startswith("model.") and isinstance(about, TensorStorageMetadata)
        }
        with warnings.catch_warnings():  # that there are no other processes, which is as it should be
            warnings.simplefilter("ignore", UserWarning)
            load_tensors({"model": weights}, checkpoint_id=self.path, no_dist=True)
        return weights

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding."""
        found: int = self.state["vocab_size"]
        return found

    def build(self) -> Decoder | Foreign:
        """The model with its weights, on the CPU in float32."""
        if isinstance(self.model, str) and self.model.startswith("hf:"):
            foreign = Foreign.make(self.model.removeprefix("hf:"), self.vocab_size, 0)
            foreign.load_state_dict(self.weights, strict=False)  # a tied output layer is saved once
            return foreign
        with torch.device("meta"):
            model = Decoder(shape_of(self.model), self.vocab_size, self.state["identity"]["mask"])
        model.load_state_dict(self.weights, assign=True)
        return model


@torch.no_grad()
def generate(
    model: Decoder | Foreign, prompt: list[int], tokens: int, *, temperature: float, seed: int, context: int
) -> Iterator[int]:
    """Tokens that follow a prompt, one after the other; `temperature` 0 takes the likeliest each time.

    Each is computed from the last `context` tokens anew: for a look, not for service.
    """
    generator = torch.Generator().manual_seed(seed)
    held = list(prompt)
    for _ in range(tokens):
        inputs = torch.tensor([held[-context:]])
        one = torch.ones_like(inputs, dtype=torch.int32)
        logits = model.logits(Batch(inputs, inputs, one))[0, -1].float()
        if temperature:
            token = int(torch.multinomial((logits / temperature).softmax(0), 1, generator=generator))
        else:
            token = int(logits.argmax())
        held.append(token)
        yield token
