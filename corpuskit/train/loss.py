"""Cross-entropy over a vocabulary, a few rows of logits at a time: those of a whole batch are never in memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from corpuskit.train.compiled import compiled
from corpuskit.train.data import IGNORE

LOGITS = 1 << 22  # at once on a CPU: 16 MB, measured best from 8,192 to 32,000 tokens of vocabulary
LOGITS_CUDA = 1 << 28  # 512 MB in bf16


def summed_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor, rows: int | None = None) -> Tensor:
    """Sum of the cross-entropies of `hidden` [places, width] against `weight` [vocab, width], float32 scalar, in nats.

    Args:
        targets: int64 [places]; IGNORE where there is no loss.
        rows: of logits at a time; None: as many as suit the device.
    """
    rows = rows or max((LOGITS_CUDA if hidden.is_cuda else LOGITS) // len(weight), 1)
    if not hidden.is_cuda:  # on CUDA the selection would wait for the device, and the shapes would not stay the same
        valid = targets != IGNORE
        hidden, targets = hidden[valid], targets[valid]
    loss: Tensor = _Summed.apply(hidden, weight, targets, rows, torch.is_grad_enabled())  # type: ignore[no-untyped-call]
    return loss


class _Summed(torch.autograd.Function):
    """The gradients are computed in the forward pass, while the logits are in the cache, as in Liger Kernel.

    Hsu et al. 2024, arXiv 2410.10989: the logits of a batch would be the largest tensor of a small model.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, rows: int, gradient: bool) -> Tensor:
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        d_hidden = torch.empty_like(hidden)
        d_weight = torch.zeros_like(weight, dtype=torch.float32)
        part_of = fused_kernels() if hidden.is_cuda else InPlace(min(rows, len(hidden)), weight)
        for start in range(0, len(hidden), rows):
            part = hidden[start : start + rows]
            loss, d_logits = part_of(part, weight, targets[start : start + rows], gradient)
            total += loss
            if gradient:
                torch.mm(d_logits, weight, out=d_hidden[start : start + rows])
                d_weight += d_logits.T @ part
        if gradient:
            ctx.save_for_backward(d_hidden, d_weight.to(weight.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, d_total: Tensor) -> tuple[Tensor | None, ...]:
        d_hidden, d_weight = ctx.saved_tensors
        return d_hidden * d_total.to(d_hidden.dtype), d_weight * d_total.to(d_weight.dtype), None, None, None


class InPlace:
    """Loss and gradient of the logits of a few rows, for a CPU; every row carries loss.

    The buffers are allocated once: fresh pages for every part would cost as much as the arithmetic.
    """

    def __init__(self, rows: int, weight: Tensor) -> None:
        self.logits = weight.new_empty(rows, len(weight))
        self.scores = weight.new_empty(rows, len(weight), dtype=torch.float32)

    def __call__(self, part: Tensor, weight: Tensor, targets: Tensor, gradient: bool) -> tuple[Tensor, Tensor]:
        """Summed loss, float32 scalar; gradient of the logits [rows, vocab], good until the next call."""
        target = targets[:, None]
        logits = torch.mm(part, weight.T, out=self.logits[: len(part)])
        scores = torch.log_softmax(logits, 1, dtype=torch.float32, out=self.scores[: len(part)])
        loss = -scores.gather(1, target).sum()
        if gradient:
            scores.exp_().scatter_add_(1, target, -torch.ones_like(target, dtype=torch.float32))
            logits.copy_(scores)
        return loss, logits


def fused(part: Tensor, weight: Tensor, targets: Tensor, gradient: bool) -> tuple[Tensor, Tensor]:
    """The same without buffers, for CUDA; rows whose target is IGNORE have neither loss nor gradient."""
    logits = part @ weight.T
    scores = torch.log_softmax(logits, 1, dtype=torch.float32)
    hit = torch.arange(len(weight), device=part.device) == targets[:, None]  # a scatter would not be fused
    loss = -torch.where(hit, scores, 0.0).sum()
    if not gradient:
        return loss, logits
    d_logits = torch.where(targets[:, None] == IGNORE, 0.0, scores.exp() - hit.float())
    return loss, d_logits.to(logits.dtype)


@functools.cache
def fused_kernels() -> Callable[[Tensor, Tensor, Tensor, bool], tuple[Tensor, Tensor]]:
    """`fused`, compiled: the logits are read a few times and their gradient is written once."""
    return compiled(fused)
