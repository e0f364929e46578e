"""One decoder: RoPE, RMSNorm, SwiGLU, tied embeddings, attention that stays inside documents.

Promises that the initial values depend on the seed and the parameter's name alone (not on order, world size or device),
and that the logits of a whole batch are never held in memory.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody uses

from corpuskit.train.config import Shape
from corpuskit.train.data import IGNORE, Batch

LOGITS = 1 << 22  # at once on a CPU: 16 MB, measured best from 8,192 to 32,000 tokens of vocabulary
LOGITS_CUDA = 1 << 28
QUERIES = 256  # of one attention call on a CPU

Span = tuple[slice, slice, Tensor]


class Decoder(nn.Module):
    """Tokens in, summed loss out; LLaMA's block (Touvron et al. 2023, arXiv 2302.13971)."""

    def __init__(self, shape: Shape, vocab_size: int, mask: str) -> None:
        super().__init__()
        self.mask = mask
        self.head_width = shape.width // shape.heads
        self.embedding = nn.Embedding(vocab_size, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=1e-5)

    def forward(self, batch: Batch) -> Tensor:
        """Sum of the cross-entropies, in nats, over the targets that carry loss; float32 scalar."""
        x = self.embedding(batch.inputs)
        turns = rotations(batch.inputs.shape[1], self.head_width, x.device)
        spans = attended(batch.documents) if self.mask == "document" else None
        for block in self.blocks:
            x = block(x, turns, spans)
        valid = batch.targets != IGNORE
        rows = max((LOGITS_CUDA if x.is_cuda else LOGITS) // self.embedding.num_embeddings, 1)
        loss: Tensor = SummedLoss.apply(  # type: ignore[no-untyped-call]
            self.norm(x)[valid], self.embedding.weight, batch.targets[valid], rows, torch.is_grad_enabled()
        )
        return loss


class Block(nn.Module):
    """Attention, then SwiGLU (Shazeer 2020, arXiv 2002.05202), each on the normalized stream (RMSNorm)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, inner = shape.width, shape.inner
        self.heads = shape.heads
        self.attention_norm = nn.RMSNorm(width, eps=1e-5)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.mlp_norm = nn.RMSNorm(width, eps=1e-5)
        self.gate_up = nn.Linear(width, 2 * inner, bias=False)
        self.mlp_out = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor, turns: Tensor, spans: list[Span] | None) -> Tensor:
        """[rows, length, width] -> the same."""
        rows, length, width = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(rows, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = attention(rotate(q, turns), rotate(k, turns), v, spans)
        x = x + self.attention_out(mixed.transpose(1, 2).reshape(rows, length, width))
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=-1)
        out: Tensor = x + self.mlp_out(F.silu(gate) * up)
        return out


def rotations(length: int, head_width: int, device: torch.device) -> Tensor:
    """Cosines and sines of RoPE (Su et al. 2021, arXiv 2104.09864), base 10,000: float32 [2, length, head_width / 2].

    Positions count from the start of the sequence: only distances matter, and attention stays inside documents.
    """
    frequencies = 10_000.0 ** (-torch.arange(0, head_width, 2, device=device) / head_width)
    angles = torch.arange(length, device=device)[:, None] * frequencies
    return torch.stack((angles.cos(), angles.sin()))


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the pairs (i, i + head_width / 2) of `x` [rows, heads, length, head_width] by their position."""
    cos, sin = turns.to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


def attended(documents: Tensor) -> list[Span]:
    """Which keys the queries see: earlier ones of their own document, never another's.

    Returns spans (queries, keys, bool mask [rows, 1, queries, keys]); on a CPU short ones, because whole blocks before
    the first document of a span and after its end need not be computed. Padding (document 0) sees padding, so that no
    row of a mask is empty; it carries no loss.
    """
    length = documents.shape[1]
    places = torch.arange(length, device=documents.device)
    step = length if documents.is_cuda else QUERIES
    spans = []
    for start in range(0, length, step):
        stop = min(start + step, length)
        # Runs are contiguous: the first key of the first query's document bounds all of the span's.
        first = (
            0 if documents.is_cuda else int((documents[:, :stop] == documents[:, start, None]).int().argmax(1).min())
        )
        queries, keys = slice(start, stop), slice(first, stop)
        same = documents[:, None, queries, None] == documents[:, None, None, keys]
        spans.append((queries, keys, same & (places[queries, None] >= places[None, keys])))
    return spans


def attention(q: Tensor, k: Tensor, v: Tensor, spans: list[Span] | None) -> Tensor:
    """Attention of [rows, heads, length, head_width] over `spans`, or causal over everything (None)."""
    if spans is None:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    parts = [
        F.scaled_dot_product_attention(q[:, :, queries], k[:, :, keys], v[:, :, keys], attn_mask=mask)
        for queries, keys, mask in spans
    ]
    return torch.cat(parts, dim=2)


class SummedLoss(torch.autograd.Function):
    """Cross-entropy of `states` against a tied embedding, a few rows of logits at a time.

    The gradients are computed in the forward pass, while the logits are in the cache, as in Liger Kernel (Hsu et al.
    2024, arXiv 2410.10989): the logits of a batch would be the largest tensor of a small model.
    """

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, states: Tensor, weight: Tensor, targets: Tensor, rows: int, gradient: bool
    ) -> Tensor:
        total = torch.zeros((), dtype=torch.float32, device=states.device)
        d_states = torch.empty_like(states)
        d_weight = torch.zeros_like(weight, dtype=torch.float32)
        room = min(rows, len(states)), len(weight)
        # Allocated once: fresh pages for every part would cost as much as the arithmetic.
        all_logits, all_scores = states.new_empty(room), states.new_empty(room, dtype=torch.float32)
        for start in range(0, len(states), rows):
            part, target = states[start : start + rows], targets[start : start + rows, None]
            logits, scores = all_logits[: len(part)], all_scores[: len(part)]
            torch.mm(part, weight.T, out=logits)
            torch.log_softmax(logits, 1, dtype=torch.float32, out=scores)
            total -= scores.gather(1, target).sum()
            if gradient:
                scores.exp_().scatter_add_(1, target, -torch.ones_like(target, dtype=torch.float32))
                d_logits = logits.copy_(scores)
                torch.mm(d_logits, weight, out=d_states[start : start + rows])
                d_weight += d_logits.T @ part
        if gradient:
            ctx.save_for_backward(d_states, d_weight.to(weight.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, d_total: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        d_states, d_weight = ctx.saved_tensors
        return d_states * d_total.to(d_states.dtype), d_weight * d_total.to(d_weight.dtype), None, None, None


def initial(name: str, size: torch.Size, seed: int, layers: int) -> Tensor:
    """The initial values of a parameter, float32 on CPU: a function of (seed, name) and the shape alone.

    Norms are 1; matrices normal with deviation 0.02, those that write to the residual stream divided by sqrt(2 layers)
    (Radford et al. 2019, section 2.3).
    """
    if len(size) == 1:
        return torch.ones(size)
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "little"))
    deviation = 0.02 / (2 * layers) ** 0.5 if name.endswith("_out.weight") else 0.02
    return torch.empty(size).normal_(0, deviation, generator=generator)
