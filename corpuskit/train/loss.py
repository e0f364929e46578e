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


def summed_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    weights: Tensor | None = None,
    z_loss: float = 0.0,
    rows: int | None = None,
) -> Tensor:
    """Sum of the cross-entropies of `hidden` [places, width] against `weight` [vocab, width], float32 scalar, in nats.

    Args:
        targets: int64 [places]; IGNORE where there is no loss.
        weights: float32 [places], of each target in the sum; None: 1.
        z_loss: the gradient, not the value, is that of the sum plus so many times log(Z)^2 of each target (Chowdhery et
            al. 2022, arXiv 2204.02311, section 5).
        rows: of logits at a time; None: as many as suit the device.
    """
    if not hidden.is_cuda:  # on CUDA the selection would wait for the device, and the shapes would not stay the same
        valid = targets != IGNORE
        hidden, targets = hidden[valid], targets[valid]
        weights = weights if weights is None else weights[valid]
    at_once, gradient = rows or _rows(weight), torch.is_grad_enabled()
    loss: Tensor = _Summed.apply(hidden, weight, targets, weights, z_loss, at_once, gradient)  # type: ignore[no-untyped-call]
    return loss


@torch.no_grad()
def token_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor, rows: int | None = None) -> Tensor:
    """The same for each place: float32 [places] in nats, 0 where the target is IGNORE; without gradient."""
    rows, where = rows or _rows(weight), None
    found = torch.zeros(len(targets), dtype=torch.float32, device=hidden.device)
    if not hidden.is_cuda:
        where = targets != IGNORE
        hidden, targets = hidden[where], targets[where]
    part_of = fused_kernels() if hidden.is_cuda else InPlace(min(rows, len(hidden)), weight)
    parts = []
    for start in range(0, len(hidden), rows):
        part, target = hidden[start : start + rows], targets[start : start + rows]
        parts.append(part_of(part, weight, target, None, 0.0, False)[0])
    if not parts:
        return found
    if where is None:
        return torch.cat(parts)
    found[where] = torch.cat(parts)
    return found


def _rows(weight: Tensor) -> int:
    return max((LOGITS_CUDA if weight.is_cuda else LOGITS) // len(weight), 1)


class _Summed(torch.autograd.Function):
    """The gradients are computed in the forward pass, while the logits are in the cache, as in Liger Kernel.

    Hsu et al. 2024, arXiv 2410.10989: the logits of a batch would be the largest tensor of a small model.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        weights: Tensor | None,
        z_loss: float,
        rows: int,
        gradient: bool,
    ) -> Tensor:
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        d_hidden = torch.empty_like(hidden)
        d_weight = torch.zeros_like(weight, dtype=torch.float32)
        part_of = fused_kernels() if hidden.is_cuda else InPlace(min(rows, len(hidden)), weight)
        for start in range(0, len(hidden), rows):
            part, factors = hidden[start : start + rows], None if weights is None else weights[start : start + rows]
            losses, d_logits = part_of(part, weight, targets[start : start + rows], factors, z_loss, gradient)
            total += (losses if factors is None else losses * factors).sum()
            if gradient:
                torch.mm(d_logits, weight, out=d_hidden[start : start + rows])
                d_weight += d_logits.T @ part
        if gradient:
            ctx.save_for_backward(d_hidden, d_weight.to(weight.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, d_total: Tensor) -> tuple[Tensor | None, ...]:
        d_hidden, d_weight = ctx.saved_tensors
        moved = d_hidden * d_total.to(d_hidden.dtype), d_weight * d_total.to(d_weight.dtype)
        return *moved, None, None, None, None, None


class InPlace:
    """Losses and gradient of the logits of a few rows, for a CPU; every row carries loss.

    The buffers are allocated once: fresh pages for every part would cost as much as the arithmetic.
    """

    def __init__(self, rows: int, weight: Tensor) -> None:
        self.logits = weight.new_empty(rows, len(weight))
        self.scores = weight.new_empty(rows, len(weight), dtype=torch.float32)

    def __call__(
        self, part: Tensor, weight: Tensor, targets: Tensor, weights: Tensor | None, z_loss: float, gradient: bool
    ) -> tuple[Tensor, Tensor]:
        """Losses, float32 [rows]; gradient of the logits [rows, vocab], good until the next call."""
        target = targets[:, None]
        logits = torch.mm(part, weight.T, out=self.logits[: len(part)])
        log_z = logits.float().logsumexp(1, keepdim=True) if z_loss and gradient else None
        scores = torch.log_softmax(logits, 1, dtype=torch.float32, out=self.scores[: len(part)])
        losses = -scores.gather(1, target)[:, 0]
        if gradient:
            scores.exp_()
            if log_z is not None:
                scores.mul_(1 + 2 * z_loss * log_z)
            scores.scatter_add_(1, target, -torch.ones_like(target, dtype=torch.float32))
            if weights is not None:
                scores.mul_(weights[:, None])
            logits.copy_(scores)
        return losses, logits


def fused(
    part: Tensor, weight: Tensor, targets: Tensor, weights: Tensor | None, z_loss: float, gradient: bool
) -> tuple[Tensor, Tensor]:
    """The same without buffers, for CUDA; rows whose target is IGNORE have neither loss nor gradient."""
    logits = part @ weight.T
    scores = torch.log_softmax(logits, 1, dtype=torch.float32)
    hit = torch.arange(len(weight), device=part.device) == targets[:, None]  # a scatter would not be fused
    losses = -torch.where(hit, scores, 0.0).sum(1)
    if not gradient:
        return losses, logits
    probabilities = scores.exp()
    if z_loss:
        probabilities = probabilities * (1 + 2 * z_loss * logits.float().logsumexp(1, keepdim=True))
    d_logits = torch.where(targets[:, None] == IGNORE, 0.0, probabilities - hit.float())
    if weights is not None:
        d_logits = d_logits * weights[:, None]
    return losses, d_logits.to(logits.dtype)


@functools.cache
def fused_kernels() -> Callable[..., tuple[Tensor, Tensor]]:
    """`fused`, compiled: the logits are read a few times and their gradient is written once."""
    return compiled(fused)
