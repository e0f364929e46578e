"""Any causal language model of transformers under the same loop: `model: hf:PATH` of its `config.json`.

Its initial values are its own, from the seed; it sees across documents, and no activation is dropped (`eval` mode), so
that a resumed run has the same bits. A checkpoint keeps the configuration, and needs the file no more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody uses

from corpuskit.errors import UsageError, install
from corpuskit.train.data import IGNORE, Batch


class Foreign(nn.Module):
    """A model of transformers with the decoder's interface: tokens in, summed loss out."""

    def __init__(self, model: Any, z_loss: float) -> None:
        super().__init__()
        self.model, self.z_loss = model.eval(), z_loss

    @classmethod
    def make(cls, path: str, vocab_size: int, seed: int, z_loss: float = 0.0) -> Foreign:
        """By a `config.json` or the folder of one, with the vocabulary of the shards; on the CPU, in float32.

        Raises:
            UsageError: transformers is not installed, or makes no causal language model of the file.
        """
        if not Path(path).exists():
            raise UsageError(f"model hf:{path}: no such file", "give a config.json, or the folder that holds it")

        def read(configs: Any) -> Any:
            config = configs.from_pretrained(path)
            config.vocab_size, config.use_cache = vocab_size, False
            return config

        return cls(_made(f"model hf:{path}", read, seed), z_loss)

    @classmethod
    def again(cls, config: Mapping[str, Any], path: Path) -> Foreign:
        """By the `config` that a checkpoint keeps; its parameters are still to be filled in.

        Raises:
            UsageError: as of `make`; names the checkpoint's `path`.
        """
        return cls(_made(str(path), lambda configs: configs.for_model(**config), seed=0), z_loss=0.0)

    @property
    def config(self) -> dict[str, Any]:
        """All that it was made by, as JSON: what the file says, and the defaults of this version for the rest."""
        held: dict[str, Any] = json.loads(self.model.config.to_json_string(use_diff=False))
        return {key: value for key, value in held.items() if key not in ("_name_or_path", "transformers_version")}

    def forward(self, batch: Batch, weigh: None = None, *, each: bool = False) -> Tensor:
        """As that of `corpuskit.train.model.Decoder`, without weights; all logits of the batch are held."""
        assert weigh is None
        logits = self.logits(batch).flatten(0, 1).float()
        targets = batch.targets.flatten()
        losses = F.cross_entropy(logits, targets, reduction="none", ignore_index=IGNORE)
        if each:
            return losses.detach().view_as(batch.targets)
        total = losses.sum()
        if not self.z_loss:
            return total
        penalty = self.z_loss * torch.where(targets == IGNORE, 0.0, logits.logsumexp(1) ** 2).sum()
        return total + penalty - penalty.detach()  # of the value of the loss only the gradient

    def logits(self, batch: Batch) -> Tensor:
        """[rows, length, vocab]."""
        found: Tensor = self.model(input_ids=batch.inputs, use_cache=False).logits
        return found

    def blocks(self) -> nn.ModuleList:
        """Its layers: the longest list of modules."""
        return max(
            (each for each in self.modules() if isinstance(each, nn.ModuleList)), key=len, default=nn.ModuleList()
        )

    def non_embedding(self) -> int:
        """Parameters but those of the embedding of the input."""
        return sum(p.numel() for p in self.parameters()) - int(self.model.get_input_embeddings().weight.numel())

    def flops_per_token(self, seq_len: int) -> int:
        """6N + 12 layers x width x length, as if all layers were attention; N counts a tied embedding once."""
        config = self.model.config.get_text_config()
        output = self.model.get_output_embeddings()
        tied = output is not None and output.weight is self.model.get_input_embeddings().weight
        used = self.non_embedding() + (int(output.weight.numel()) if tied else 0)
        return 6 * used + 12 * int(config.num_hidden_layers) * int(config.hidden_size) * seq_len


def _made(what: str, configured: Callable[[Any], Any], seed: int) -> Any:
    """A causal language model of transformers by its configuration, which is made of `AutoConfig`."""
    try:
        from transformers import AutoConfig, AutoModelForCausalLM
    except ImportError:
        raise UsageError(f"{what} needs transformers", install("hf")) from None
    models: Any = AutoModelForCausalLM
    try:
        config = configured(AutoConfig)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return models.from_config(config, dtype=torch.float32)
    except Exception as error:  # noqa: BLE001 - a model's own code raises any kind for values that it cannot take
        raise UsageError(f"{what}: transformers makes no causal language model of it: {error}") from None
