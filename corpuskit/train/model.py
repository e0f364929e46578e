"""One decoder: RoPE or ALiBi, RMSNorm or LayerNorm, SwiGLU, GQA, QK-norm, muP, attention that stays inside documents.

Promises that the initial values depend on the seed and the parameter's name alone (not on order, world size or device),
and that the logits of a whole batch are never held in memory.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody uses
from torch.utils.checkpoint import checkpoint

from corpuskit.train.attention import alibi_slopes, attention, document_mask
from corpuskit.train.compiled import compiled
from corpuskit.train.data import Batch
from corpuskit.train.loss import summed_cross_entropy, token_cross_entropy
from corpuskit.train.shape import Shape

recomputed = functools.partial(checkpoint, use_reentrant=False, preserve_rng_state=False)  # nothing here is random

Weigh = Callable[[Tensor], Tensor]
"""Losses of a batch's targets, float32 [rows, length] without gradient -> weights of these in the sum, the same."""


class Decoder(nn.Module):
    """Tokens in, summed loss out; LLaMA's block (Touvron et al. 2023, arXiv 2302.13971) unless `shape` says otherwise.

    Args:
        recompute: activations that the backward pass computes again instead of keeping them: None, those of SwiGLU
            (`selective`), or all but the input of each block (`full`; Chen et al. 2016, arXiv 1604.06174).
        z_loss: see `summed_cross_entropy`.
    """

    def __init__(
        self, shape: Shape, vocab_size: int, mask: str, recompute: str | None = None, z_loss: float = 0.0
    ) -> None:
        super().__init__()
        self.shape, self.mask, self.z_loss = shape, mask, z_loss
        self.embedding = nn.Embedding(vocab_size, shape.width)
        self.blocks = nn.ModuleList(Block(shape, recompute) for _ in range(shape.layers))
        self.norm = norm_of(shape)
        if not shape.tied:
            self.output = nn.Linear(shape.width, vocab_size, bias=False)

    def compile_blocks(self) -> None:
        """For CUDA; the blocks differ in values only, so they share what is compiled."""
        for block in self.blocks:
            block.forward = compiled(block.forward)

    def forward(self, batch: Batch, weigh: Weigh | None = None, *, each: bool = False) -> Tensor:
        """Sum of the cross-entropies, in nats, over the targets that carry loss; float32 scalar.

        Args:
            weigh: gives the weight of each target in the sum, from the losses of all.
            each: the losses themselves, float32 [rows, length], 0 where a target carries none; without gradient.
        """
        hidden, targets = self.hidden(batch).flatten(0, 1), batch.targets.flatten()
        weight = (self.embedding if self.shape.tied else self.output).weight
        weights = None
        if each or weigh is not None:
            losses = token_cross_entropy(hidden, weight, targets).view_as(batch.targets)
            if each or weigh is None:
                return losses
            weights = weigh(losses).flatten()
        return summed_cross_entropy(hidden, weight, targets, weights=weights, z_loss=self.z_loss)

    def hidden(self, batch: Batch) -> Tensor:
        """What the output layer sees, [rows, length, width]."""
        x = self.embedding(batch.inputs)
        if self.shape.embedding_scale != 1:
            x = x * self.shape.embedding_scale
        mask: Any = None
        if self.shape.positions == "alibi":  # which is a bias of the scores, and so needs a mask even where all is seen
            places: Any = alibi_slopes(self.shape.heads, x.device)
            causal = self.mask != "document"
            mask = document_mask(
                Batch(batch.inputs, batch.targets, torch.ones_like(batch.documents)) if causal else batch
            )
        else:
            places = rotary(batch.inputs.shape[1], self.shape.head_width, x)
            if self.mask == "document":
                mask = document_mask(batch)
        for block in self.blocks:
            x = block(x, places, mask)
        found: Tensor = self.norm(x)
        return found * self.shape.width_scale if self.shape.mup else found

    def logits(self, batch: Batch) -> Tensor:
        """Of every place, [rows, length, vocab]; for looking at a few sequences."""
        return self.hidden(batch) @ (self.embedding if self.shape.tied else self.output).weight.T


class Block(nn.Module):
    """Attention, then SwiGLU, each on the normalized stream."""

    def __init__(self, shape: Shape, recompute: str | None = None) -> None:
        super().__init__()
        self.shape, self.recompute = shape, recompute
        self.scale = 1 / shape.head_width if shape.mup else None
        self.attention_norm = norm_of(shape)
        self.qkv = nn.Linear(shape.width, sum(shape.qkv), bias=shape.bias)
        if shape.qk_norm:
            self.q_norm = nn.RMSNorm(shape.head_width, eps=1e-5)
            self.k_norm = nn.RMSNorm(shape.head_width, eps=1e-5)
        self.attention_out = nn.Linear(shape.width, shape.width, bias=shape.bias)
        self.mlp_norm = norm_of(shape)
        self.gate_up = nn.Linear(shape.width, 2 * shape.inner, bias=shape.bias)
        self.mlp_out = nn.Linear(shape.inner, shape.width, bias=shape.bias)

    def forward(self, x: Tensor, places: Any, mask: Any) -> Tensor:
        """[rows, length, width] -> the same.

        Args:
            places: cosines and sines by `rotary`, or slopes by `alibi_slopes`. mask: by `document_mask`.
        """
        if self.recompute == "full":
            out: Tensor = recomputed(self._forward, x, places, mask)
            return out
        return self._forward(x, places, mask)

    def _forward(self, x: Tensor, places: Any, mask: Any) -> Tensor:
        rows, length, _ = x.shape
        parts = self.qkv(self.attention_norm(x)).split(self.shape.qkv, dim=-1)
        q, k, v = (part.view(rows, length, -1, self.shape.head_width) for part in parts)
        if self.shape.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        slopes = None
        if self.shape.positions == "alibi":
            slopes = places
        else:
            q, k = rotate(q, *places), rotate(k, *places)
        mixed = attention(q, k, v, mask, slopes, self.scale)
        x = x + self.attention_out(mixed.reshape(rows, length, -1))
        swiglu: Tensor = recomputed(self._swiglu, x) if self.recompute == "selective" else self._swiglu(x)
        return x + swiglu

    def _swiglu(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=-1)
        out: Tensor = self.mlp_out(F.silu(gate) * up)
        return out


def norm_of(shape: Shape) -> nn.Module:
    """RMSNorm or LayerNorm over the width."""
    return (nn.LayerNorm if shape.norm == "layer" else nn.RMSNorm)(shape.width, eps=1e-5)


def rotary(length: int, head_width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines of RoPE (Su et al. 2021, arXiv 2104.09864), base 10,000: [length, 1, head_width / 2] each.

    Positions count from the start of the sequence: only distances matter, and attention stays inside documents.
    """
    frequencies = 10_000.0 ** (-torch.arange(0, head_width, 2, device=like.device) / head_width)
    angles = torch.arange(length, device=like.device)[:, None, None] * frequencies
    return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs (i, i + head_width / 2) of `x` [rows, length, .., heads, head_width] by their position."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


def initial(name: str, size: torch.Size, seed: int, shape: Shape) -> Tensor:
    """The initial values of a parameter, float32 on CPU: a function of (seed, name) and the shape alone.

    Norms are 1, biases 0; matrices normal with deviation 0.02, those that write to the residual stream divided by
    sqrt(2 layers) (Radford et al. 2019, section 2.3), hidden ones by muP's factor.
    """
    if len(size) == 1:
        return torch.zeros(size) if name.endswith("bias") else torch.ones(size)
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "little"))
    deviation = 0.02 / (2 * shape.layers) ** 0.5 if name.endswith("_out.weight") else 0.02
    if "blocks." in name:
        deviation *= shape.width_scale**0.5
    return torch.empty(size).normal_(0, deviation, generator=generator)
