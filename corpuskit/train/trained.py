"""A trained model out of its checkpoint: for export, for a look at what it writes, and for scoring documents."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load as load_tensors

from corpuskit.errors import InputError
from corpuskit.train.checkpoint import Planner, Reader
from corpuskit.train.data import Batch
from corpuskit.train.hf import Foreign
from corpuskit.train.model import Decoder
from corpuskit.train.saved import Saved
from corpuskit.train.shape import shape_of


class Trained(Saved):
    """A checkpoint whose tensors are read."""

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """All parameters by name, whole, float32 on the CPU.

        Raises:
            InputError: the checkpoint is damaged, or holds something else than tensors and what they are called.
        """
        try:
            return self._weights()
        except (CheckpointException, OSError, pickle.UnpicklingError) as error:
            fault = next(iter(error.failures.values()))[0] if isinstance(error, CheckpointException) else error
            raise InputError(f"{self.path} is damaged: {fault}", "take an earlier one, or train it again") from None

    def _weights(self) -> dict[str, Tensor]:
        reader = Reader(self.path)
        held = reader.read_metadata().state_dict_metadata
        weights = {
            name.removeprefix("model."): torch.empty(about.size, dtype=about.properties.dtype)
            for name, about in held.items()
            if name.startswith("model.") and isinstance(about, TensorStorageMetadata)
        }
        with warnings.catch_warnings():  # that there are no other processes, which is as it should be
            warnings.simplefilter("ignore", UserWarning)
            load_tensors({"model": weights}, storage_reader=reader, planner=Planner(), no_dist=True)
        return weights

    def build(self) -> Decoder | Foreign:
        """The model with its weights, on the CPU in float32.

        Raises:
            InputError: a tensor is missing, is one too many or has another size; it is damaged (see `weights`).
            UsageError: the model is one of transformers, which is not installed or cannot make it.
        """
        if self.foreign:
            if not isinstance(self.model, dict):
                raise InputError(f"{self.path} was saved without the configuration of its model", "train it again")
            foreign = Foreign.again(self.model["hf"], self.path)
            self._compare(foreign)
            foreign.load_state_dict(self.weights, strict=False)  # a tied tensor may lack one of its names
            return foreign
        with torch.device("meta"):
            model = Decoder(shape_of(self.model), self.vocab_size, self.state["identity"]["mask"])
        self._compare(model)
        model.load_state_dict(self.weights, assign=True)
        return model

    def _compare(self, model: nn.Module) -> None:
        """Raise InputError unless each tensor of a model is here by one of its names, and nothing else is."""
        own, held = model.state_dict(keep_vars=True), self.weights
        found = {id(own[name]) for name in own.keys() & held.keys()}  # tied ones are one tensor with several names
        wrong = [f"`{name}` is missing" for name, tensor in own.items() if id(tensor) not in found]
        wrong += [f"`{name}` is none of the model's" for name in held if name not in own]
        wrong += [
            f"`{name}` is {list(held[name].shape)} and not {list(own[name].shape)}"
            for name in sorted(own.keys() & held.keys())
            if held[name].shape != own[name].shape
        ]
        if wrong:
            more = f" and {len(wrong) - 3:,} more" if len(wrong) > 3 else ""
            raise InputError(
                f"{self.path} does not fit its model: {'; '.join(wrong[:3])}{more}",
                "its `state.json` is of another model, or it is damaged: take another checkpoint, or train it again",
            )


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
