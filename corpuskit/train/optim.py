"""AdamW and the learning rate of every step; the rate is a function of the step alone, so resume needs no state."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from corpuskit.train.config import Budget, TrainConfig


def optimizer_of(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), or Muon for matrices of blocks; norms do not decay.

    Each group has a `scale` of the learning rate: that of muP (Yang et al. 2022, arXiv 2203.03466, table 8) for the
    matrices of blocks, 1 for the rest.
    """
    shape = None if config.foreign else config.shape
    grouped: dict[tuple[Any, ...], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        matrix = parameter.ndim >= 2
        hidden = matrix and name.startswith("blocks.") and shape is not None
        parts: tuple[int, ...] = ()
        if hidden and config.optimizer == "muon" and shape is not None:
            parts = {"qkv": shape.qkv, "gate_up": (shape.inner,) * 2}.get(name.split(".")[-2], (parameter.shape[0],))
        scale = shape.width_scale if hidden and shape is not None else 1.0
        grouped.setdefault((config.weight_decay if matrix else 0.0, scale, parts), []).append(parameter)
    groups = [
        {"params": parameters, "weight_decay": decay, "scale": scale, "parts": parts}
        for (decay, scale, parts), parameters in grouped.items()
    ]
    fused = True if next(model.parameters()).is_cuda else None
    settings: dict[str, Any] = {"lr": 0.0, "betas": (config.beta1, config.beta2), "eps": 1e-8, "fused": fused}
    if config.optimizer == "muon":
        from corpuskit.train.muon import Muon

        return Muon(groups, **settings)
    return torch.optim.AdamW(groups, **settings)


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
    """The same rate for all groups, times the scale of each."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
