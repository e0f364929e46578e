"""One decoder: RoPE, RMSNorm, SwiGLU, tied embeddings, attention that stays inside documents.

Promises that the initial values depend on the seed and the parameter's name alone (not on order, world size or device),
and that the logits of a whole batch are never held in memory.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody uses
from torch.utils.checkpoint import checkpoint

from corpuskit.train.attention import attention, document_mask
from corpuskit.train.config import Shape
from corpuskit.train.data import Batch
from corpuskit.train.loss import summed_cross_entropy

recomputed = functools.partial(checkpoint, use_reentrant=False, preserve_rng_state=False)  # nothing here is random


class Decoder(nn.Module):
    """Tokens in, summed loss out; LLaMA's block (Touvron et al. 2023, arXiv 2302.13971).

    Args:
        recompute: activations that the backward pass computes again instead of keeping them: None, those of SwiGLU
            (`selective`), or all but the input of each block (`full`; Chen et al. 2016, arXiv 1604.06174).
    """

    def __init__(self, shape: Shape, vocab_size: int, mask: str, recompute: str | None = None) -> None:
        super().__init__()
        self.mask = mask
        self.head_width = shape.width // shape.heads
        self.embedding = nn.Embedding(vocab_size, shape.width)
        self.blocks = nn.ModuleList(Block(shape, recompute) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=1e-5)

    def forward(self, batch: Batch) -> Tensor:
        """Sum of the cross-entropies, in nats, over the targets that carry loss; float32 scalar."""
        x = self.embedding(batch.inputs)
        cos, sin = rotary(batch.inputs.shape[1], self.head_width, x)
        mask = document_mask(batch) if self.mask == "document" else None
        for block in self.blocks:
            x = block(x, cos, sin, mask)
        return summed_cross_entropy(self.norm(x).flatten(0, 1), self.embedding.weight, batch.targets.flatten())


class Block(nn.Module):
    """Attention, then SwiGLU (Shazeer 2020, arXiv 2002.05202), each on the normalized stream (RMSNorm)."""

    def __init__(self, shape: Shape, recompute: str | None = None) -> None:
        super().__init__()
        width, inner = shape.width, shape.inner
        self.heads, self.recompute = shape.heads, recompute
        self.attention_norm = nn.RMSNorm(width, eps=1e-5)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.mlp_norm = nn.RMSNorm(width, eps=1e-5)
        self.gate_up = nn.Linear(width, 2 * inner, bias=False)
        self.mlp_out = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Any) -> Tensor:
        """[rows, length, width] -> the same; `cos` and `sin` by `rotary`, `mask` by `document_mask`."""
        if self.recompute == "full":
            out: Tensor = recomputed(self._forward, x, cos, sin, mask)
            return out
        return self._forward(x, cos, sin, mask)

    def _forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Any) -> Tensor:
        rows, length, width = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(rows, length, 3, self.heads, width // self.heads)
        q, k = rotate(qkv[:, :, :2], cos, sin).unbind(2)
        mixed = attention(q, k, qkv[:, :, 2], mask)
        x = x + self.attention_out(mixed.reshape(rows, length, width))
        swiglu: Tensor = recomputed(self._swiglu, x) if self.recompute == "selective" else self._swiglu(x)
        return x + swiglu

    def _swiglu(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=-1)
        out: Tensor = self.mlp_out(F.silu(gate) * up)
        return out


def rotary(length: int, head_width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines of RoPE (Su et al. 2021, arXiv 2104.09864), base 10,000: [length, 1, 1, head_width / 2] each.

    Positions count from the start of the sequence: only distances matter, and attention stays inside documents.
    """
    frequencies = 10_000.0 ** (-torch.arange(0, head_width, 2, device=like.device) / head_width)
    angles = torch.arange(length, device=like.device)[:, None, None, None] * frequencies
    return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs (i, i + head_width / 2) of `x` [rows, length, .., heads, head_width] by their position."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


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
