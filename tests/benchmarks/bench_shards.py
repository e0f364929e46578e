"""How fast documents are packed, shards are written and the trainer reads: million tokens per CPU-second, one thread.

`python tests/benchmarks/bench_shards.py [--tokens 100_000_000] [--peer PYTHON]`. Two domains of made tokens, their
documents log-normal (median 500 tokens, sigma 1), in sequences of 2,048; the files are in the page cache. What is read
is what a step needs: inputs and targets in int64, the loss mask in the targets, and which document each token is of.
`--peer` names a Python that has mosaicml-streaming or megatron-core: they read the same tokens in the same run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from corpuskit.shards.megatron import write_index
from corpuskit.shards.pack import write_best_fit
from corpuskit.shards.stream import TokenPart, write_documents
from corpuskit.shards.write import write_shard
from corpuskit.train.blocks import PIECE, Blocks
from corpuskit.train.data import Shards, Split
from corpuskit.train.order import Plan
from corpuskit.train.stream import Domain, map_documents

SEQ_LEN = 2048
VOCABULARY = 50_000
PARTS = 4


def spent(work: Callable[[], object]) -> float:
    """CPU seconds."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def make_parts(folder: Path, name: str, tokens: int, seed: int) -> list[TokenPart]:
    """Token files of a domain."""
    chance, found = np.random.default_rng(seed), []
    for number in range(PARTS):
        lengths = np.maximum(2, chance.lognormal(np.log(500), 1, tokens // PARTS // 824)).astype(np.int32)
        base = folder / f"{name}-{number}"
        written = chance.integers(1, VOCABULARY, int(lengths.sum())).astype("<u2")
        written[np.cumsum(lengths) - 1] = 0
        written.tofile(f"{base}.bin")
        write_index(Path(f"{base}.idx"), lengths, "uint16")
        pq.write_table(pa.table({"doc": np.arange(len(lengths), dtype=np.uint64)}), f"{base}.docs.parquet")
        paths = (Path(f"{base}{suffix}") for suffix in (".bin", ".idx", ".docs.parquet"))
        found.append(TokenPart(*paths, len(written), len(lengths)))
    return found


def make_indexes(shards: Path, parts: dict[str, list[TokenPart]]) -> None:
    """Borders of documents, and the packing."""
    for name, group in parts.items():
        write_documents(shards / f"train-{name}.idx", group, "uint16", np.zeros(0, np.uint64))
        starts, _ = map_documents(shards / f"train-{name}.idx", sum(part.documents for part in group))
        write_best_fit(starts, SEQ_LEN + 1, shards / f"blocks-{name}.idx", shards / f"pieces-{name}.idx")


def opened(shards: Path, name: str, group: list[TokenPart]) -> Domain:
    """A domain."""
    first = np.asarray(np.memmap(shards / f"blocks-{name}.idx", "<i8", "r"))
    pieces = np.asarray(np.memmap(shards / f"pieces-{name}.idx", PIECE, "r"))
    blocks = Blocks(sum(part.tokens for part in group), SEQ_LEN + 1, first, pieces)
    documents = map_documents(shards / f"train-{name}.idx", sum(part.documents for part in group))
    return Domain(name, [(part.bin, part.tokens) for part in group], documents, blocks, "uint16")


def write_indexes(folder: Path, plan: Plan, domains: list[Domain], parts: dict[str, list[TokenPart]]) -> None:
    """Both index.json, of the shards and of the plan that is followed."""
    common = {"dtype": "uint16", "seq_len": SEQ_LEN, "pad": 0, "vocab_size": VOCABULARY, "tokenizer": ""}
    common |= {"validation": {}, "fingerprint": ""}
    entry = {"file": "train-00000.bin", "sidecar": "train-00000.docs.parquet", "sequences": len(plan)}
    (folder / "shards" / "index.json").write_text(json.dumps(common | {"format": 1, "train": [entry]}))
    streams = {
        domain.name: {
            "documents": f"train-{domain.name}.idx",
            "parts": [
                {"file": f"../tokens/{part.bin.name}", "tokens": part.tokens, "documents": part.documents}
                for part in parts[domain.name]
            ],
            "packing": {
                "count": len(domain.blocks),
                "blocks": f"blocks-{domain.name}.idx",
                "pieces": f"pieces-{domain.name}.idx",
            },
        }
        for domain in domains
    }
    told = common | {"format": 3, "train": [{"sequences": len(plan)}], "streams": streams}
    (folder / "plan" / "index.json").write_text(json.dumps(told))
    each = zip(plan.names, plan.blocks, plan.counts, strict=True)
    about = {name: {"blocks": blocks, "sequences": count} for name, blocks, count in each}
    (folder / "plan" / "plan.json").write_text(json.dumps({"seed": 1, "seq_len": SEQ_LEN, "domains": about}))


def reading(split: Split, some: list[list[int]]) -> float:
    """CPU seconds that these batches take."""
    return spent(lambda: [split.batch(each, len(each)) for each in some])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=100_000_000)
    parser.add_argument("--peer", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for inside in ("tokens", "shards", "plan"):
            (folder / inside).mkdir()
        shares = {"books": 0.25, "web": 0.75}
        parts = {
            name: make_parts(folder / "tokens", name, int(share * options.tokens), seed)
            for seed, (name, share) in enumerate(shares.items())
        }
        total = sum(part.tokens for group in parts.values() for part in group)
        write_best_fit(np.array([0, 5, 9]), 8, folder / "x", folder / "y")  # compiles the kernel

        def row(what: str, tokens: int, seconds: float) -> None:
            print(f"{what:58} {tokens / seconds / 1e6:8.0f}")

        packing = spent(lambda: make_indexes(folder / "plan", parts))
        row("packing best-fit, and the index of documents", total, packing)
        domains = [opened(folder / "plan", name, group) for name, group in parts.items()]
        blocks = tuple(len(domain.blocks) for domain in domains)
        plan = Plan(1, tuple(parts), blocks, blocks)
        paths = folder / "shards" / "train-00000.bin", folder / "shards" / "train-00000.docs.parquet"
        span = (0, len(plan))
        mixing = spent(
            lambda: write_shard(*paths, domains, lambda n: plan.locate(n)[::2], span, "uint16", 0),
        )
        row("mixing: order, shards and sidecars written", total, mixing)
        row("packing and mixing together", total, packing + mixing)
        write_indexes(folder, plan, domains, parts)
        for what in ("shards", "plan"):
            # the order of shards is that of training: here they are read out of it; the plan is an order by itself
            order = np.random.default_rng(3).permutation(len(plan)) if what == "shards" else np.arange(len(plan))
            (split,) = Shards(folder / what, "document").train
            split.batch(order[:16].tolist(), 16)
            for rows in (4, 16, 128):
                some = [order[low : low + rows].tolist() for low in range(0, min(len(order) - rows, 16_384), rows)]
                seconds = min(reading(split, some) for _ in range(3))
                row(f"reading {what}, {rows} sequences at a time", len(some) * rows * SEQ_LEN, seconds)
        if options.peer is not None:
            script = Path(__file__).parent / "peers" / "token_readers.py"
            subprocess.run([options.peer, script, folder, str(SEQ_LEN)], check=True)


if __name__ == "__main__":
    main()
