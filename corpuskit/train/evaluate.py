"""Validation: mean loss and bits per byte of every domain, the same for any number of processes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import nn

from corpuskit.train.checked import check
from corpuskit.train.data import IGNORE, Shards, share
from corpuskit.train.parallel import World


class Score(TypedDict):
    """A domain's result; None where no target of it carries loss."""

    loss: float | None
    bits_per_byte: float | None


@dataclass(frozen=True)
class Held:
    """A domain's held-out text: its `score`, and of each sequence the sum of its losses and the targets with loss."""

    score: Score
    losses: list[float]
    targets: list[int]


def evaluate(model: nn.Module, shards: Shards, group: World, micro_batch: int, limit: int | None) -> dict[str, Held]:
    """Score the first `limit` sequences (None: all) of every domain; every process calls it and gets the result.

    `loss` is nats per target that carries loss. `bits_per_byte` = loss / ln 2 x tokens / bytes over the domain's whole
    validation file, so it compares across tokenizers; tokens that nothing predicts count as average ones.
    """
    return {name: _score(model, shards, name, group, micro_batch, limit) for name in shards.validation}


@torch.no_grad()
def _score(model: nn.Module, shards: Shards, name: str, group: World, micro_batch: int, limit: int | None) -> Held:
    split = shards.validation[name]
    check(split.source, 0, len(split), group)  # bits per byte count all of its tokens
    count = min(len(split), len(split) if limit is None else limit)
    found = torch.zeros(2, count, dtype=torch.float64, device=group.device)
    for start in range(0, count, micro_batch * group.size):
        mine, rows = share(start, min(start + micro_batch * group.size, count), group.rank, group.size)
        rows, _ = group.even(rows, micro_batch, micro_batch * group.size)
        batch = split.batch(mine, rows)
        for part in batch.micro_batches(rows, group.device):
            losses = model(part.to(group.device), each=True)[: len(mine)].double().sum(1)
            found[0, mine.start : mine.stop : mine.step] = losses
        valid = (batch.targets != IGNORE).sum(1)[: len(mine)]
        found[1, mine.start : mine.stop : mine.step] = valid.double().to(group.device)
    summed, targets = group.sum(found).tolist()
    total = sum(targets)
    score: Score = {"loss": None, "bits_per_byte": None}
    if total:
        mean = sum(summed) / total
        score = {"loss": mean, "bits_per_byte": mean / math.log(2) * split.tokens / shards.bytes[name]}
    return Held(score, summed, [int(each) for each in targets])
