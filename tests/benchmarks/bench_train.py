"""The trainer beside a plain loop of torch on a CPU: CPU-seconds of one thread for a step, in turn, in one process.

Run it by hand: `python tests/benchmarks/bench_train.py [MODEL]`. Both train the same decoder (the preset's shape, a
tied embedding, a vocabulary of 8,192) on the same batches of 8 sequences of 512 tokens of made text, with causal masks,
AdamW and clipping, in float32. The plain loop is what one writes by hand: modules of torch, its
`scaled_dot_product_attention`, `cross_entropy` of all logits, no sharding. Steps alternate; the best and the median of
twelve count.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

sys.path.insert(0, str(Path(__file__).parents[2]))

from corpuskit.train import loop
from corpuskit.train.batches import batches
from corpuskit.train.config import budget, from_dict
from corpuskit.train.data import IGNORE, Shards
from corpuskit.train.model import rotary, rotate
from corpuskit.train.optim import optimizer_of, set_rate
from corpuskit.train.parallel import sharded_model, world
from tests.gpu.made_shards import make_shards

STEPS, ROWS, LENGTH, VOCAB, RATE = 12, 8, 512, 8192, 1e-3


class PlainBlock(nn.Module):
    """LLaMA's block."""

    def __init__(self, shape):
        super().__init__()
        self.heads = shape.heads
        self.norm1, self.norm2 = nn.RMSNorm(shape.width, eps=1e-5), nn.RMSNorm(shape.width, eps=1e-5)
        self.qkv, self.out = (nn.Linear(shape.width, n * shape.width, bias=False) for n in (3, 1))
        self.gate, self.up = (nn.Linear(shape.width, shape.inner, bias=False) for _ in range(2))
        self.down = nn.Linear(shape.inner, shape.width, bias=False)

    def forward(self, x, cos, sin):
        rows, length, width = x.shape
        q, k, v = (part.view(rows, length, self.heads, -1) for part in self.qkv(self.norm1(x)).chunk(3, -1))
        q, k, v = (part.transpose(1, 2) for part in (rotate(q, cos, sin), rotate(k, cos, sin), v))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
        x = x + self.out(mixed.reshape(rows, length, width))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Plain(nn.Module):
    """The decoder as one writes it by hand."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(VOCAB, shape.width)
        nn.init.normal_(self.embedding.weight, 0, 0.02)
        self.blocks = nn.ModuleList(PlainBlock(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=1e-5)

    def forward(self, inputs, targets):
        x = self.embedding(inputs)
        cos, sin = rotary(inputs.shape[1], self.shape.head_width, x)
        for block in self.blocks:
            x = block(x, cos, sin)
        logits = self.norm(x) @ self.embedding.weight.T
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE)


def plain_step(model, optimizer, batch):
    """One step; its loss."""
    loss = model(batch.inputs, batch.targets)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def main(name):
    """Print the table of one preset."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_shards(Path(scratch) / "shards", sequences=(STEPS + 2) * ROWS, seq_len=LENGTH, vocab=VOCAB)
        config = {"shards": str(folder), "out": scratch, "model": name, "mask": "causal", "device": "cpu"}
        config = from_dict(config | {"lr": RATE, "threads": 1, "batch_tokens": ROWS * LENGTH, "micro_batch": ROWS})
        shards = Shards(folder, "causal")
        plan = budget(config, [(len(phase), phase.seq_len) for phase in shards.train])
        spent = {"corpuskit": [], "plain torch": []}
        with world(config) as group:
            ours = sharded_model(config, VOCAB, group)
            optimizer = optimizer_of(ours, config)
            set_rate(optimizer, RATE)
            theirs = Plain(config.shape)
            assert sum(p.numel() for p in theirs.parameters()) == config.shape.parameters(VOCAB)
            plain = torch.optim.AdamW(theirs.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1)
            read = batches(range(1, plan.steps + 1), plan, shards, ROWS, group)
            for _ in range(plan.steps):
                start = time.process_time()
                _, _, ready = next(read)
                loss, _, _ = loop._step(config, ours, optimizer, ready, group)
                middle = time.process_time()
                beside = plain_step(theirs, plain, ready.micro_batches[0])
                spent["corpuskit"].append(middle - start)
                spent["plain torch"].append(time.process_time() - middle)
        print(f"{name}: losses {loss:.3f} and {beside:.3f}; load {os.getloadavg()[0]:.1f}")
        for who, seconds in spent.items():
            best, median = min(seconds[2:]), statistics.median(seconds[2:])
            print(f"| {who} | {best:.3f} s, {ROWS * LENGTH / best:,.0f} tokens | median {median:.3f} s |")


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["5M"]))
