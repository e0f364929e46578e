"""Modular data ablation (Na et al. 2024, arXiv:2410.15661): models of parts of a corpus, averaged, foretell a mixture.

A model is trained on each part; what a model trained on a mixture of parts would lose on held-out text is estimated by
that of the average of their parameters. As many trainings as parts then serve any number of mixtures.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import torch

from corpuskit.errors import UsageError
from corpuskit.train.config import from_dict
from corpuskit.train.data import Shards
from corpuskit.train.evaluate import evaluate
from corpuskit.train.hf import Foreign
from corpuskit.train.kept import fetched
from corpuskit.train.model import Decoder
from corpuskit.train.parallel import world
from corpuskit.train.trained import Trained


def merged(parts: Mapping[str, Trained], weights: Mapping[str, float]) -> Decoder | Foreign:
    """A model whose parameters are means of those of trained ones, by weights that sum to 1.

    Raises:
        UsageError: they differ in more than their data.
    """
    first = next(iter(parts.values()))
    for name, part in parts.items():
        if part.model != first.model or part.vocab_size != first.vocab_size:
            raise UsageError(f"the model of `{name}` is another than the others", "train all by one recipe")
    model = first.build()
    for name, parameter in model.named_parameters():
        mean = sum(share * parts[part].weights[name].double() for part, share in weights.items() if share)
        assert isinstance(mean, torch.Tensor)
        parameter.data = mean.to(parameter.dtype)  # not in place: it may be the tensor that `first` holds
    return model


def foretold(
    parts: Mapping[str, str | Path], weights: Mapping[str, float], shards: str | Path, limit: int | None = None
) -> dict[str, float]:
    """Held-out losses, in nats a token by domain, of the average of models; estimates of those of the mixture.

    Args:
        parts: the checkpoint of each part, a folder, also in a bucket. weights: the share of each part in the mixture.
        shards: whose held-out text is read. limit: so many sequences of each domain; None: all.
    """
    with ExitStack() as stack:
        trained = {name: Trained.open(stack.enter_context(fetched(path))) for name, path in parts.items()}
        model = merged(trained, weights)
    config = from_dict({"shards": str(shards), "out": str(shards), "device": "cpu"})
    mask = next(iter(trained.values())).state["identity"]["mask"]
    with closing(Shards(shards, mask)) as held_out, world(config) as group:
        found = evaluate(model, held_out, group, max(4096 // held_out.seq_len, 1), limit)
    return {name: held.score["loss"] for name, held in found.items() if held.score["loss"] is not None}
