"""Validation: mean loss and bits per byte of every domain, the same for any number of processes."""

from __future__ import annotations

import math
from typing import TypedDict

import torch
from torch import nn

from corpuskit.train.checked import check
from corpuskit.train.data import Shards, share
from corpuskit.train.parallel import World


class Score(TypedDict):
    """A domain's result; None where no target of it carries loss."""

    loss: float | None
    bits_per_byte: float | None


def evaluate(model: nn.Module, shards: Shards, group: World, micro_batch: int, limit: int | None) -> dict[str, Score]:
    """Score the first `limit` sequences (None: all) of every domain; every process calls it and gets the result.

    `loss` is nats per target that carries loss. `bits_per_byte` = loss / ln 2 x tokens / bytes over the domain's whole
    validation file, so it compares across tokenizers; tokens that nothing predicts count as average ones.
    """
    return {name: _score(model, shards, name, group, micro_batch, limit) for name in shards.validation}


@torch.no_grad()
def _score(model: nn.Module, shards: Shards, name: str, group: World, micro_batch: int, limit: int | None) -> Score:
    split = shards.validation[name]
    check(split.source, 0, len(split), group)  # bits per byte count all of its tokens
    count = min(len(split), len(split) if limit is None else limit)
    summed, valid = torch.zeros((), dtype=torch.float64, device=group.device), 0
    for start in range(0, count, micro_batch * group.size):
        mine, rows = share(start, min(start + micro_batch * group.size, count), group.rank, group.size)
        batch = split.batch(mine, rows)
        for part in batch.micro_batches(rows, group.device):
            summed += model(part.to(group.device))
        valid += batch.valid
    loss, total = group.total(summed.item(), valid)
    if not total:
        return {"loss": None, "bits_per_byte": None}
    mean = loss / total
    return {"loss": mean, "bits_per_byte": mean / math.log(2) * split.tokens / shards.bytes[name]}
