"""AdamW and the learning rate of every step; the rate is a function of the step alone, so resume needs no state."""

from __future__ import annotations

import math

import torch
from torch import nn

from corpuskit.train.config import Budget, TrainConfig


def adamw(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101); matrices decay, norms do not."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    fused = True if parameters[0].is_cuda else None
    return torch.optim.AdamW(groups, lr=0.0, betas=(config.beta1, config.beta2), eps=1e-8, fused=fused)


def learning_rate(step: int, plan: Budget, config: TrainConfig) -> float:
    """The rate of `step`, counted from 1.

    `wsd`: linear warmup, constant, linear decay to 0 (Hu et al. 2024, arXiv 2404.06395; linear: Hägele et al. 2024,
    arXiv 2405.18392). `cosine`: the same warmup, then half a cosine down to a tenth of the peak.
    """
    warmup = math.ceil(config.warmup * plan.steps)
    if step <= warmup:
        return plan.lr * step / warmup
    if config.schedule == "cosine":
        progress = (step - warmup) / max(plan.steps - warmup, 1)
        return plan.lr * (0.1 + 0.45 * (1 + math.cos(math.pi * progress)))
    decay = max(math.ceil(config.decay * plan.steps), 1)
    return plan.lr * min(1.0, (plan.steps + 1 - step) / decay)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The same rate for all groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate
