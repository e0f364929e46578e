"""What `shards/plan.json`, `shards/index.json` and `tokens/manifest.json` say, from the receipts of token units."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from corpuskit.mix.presets import resolve_weights
from corpuskit.mix.problem import Bucket, Constraints, Infeasible, largest_budget
from corpuskit.shards.pack import Blocks
from corpuskit.shards.plan import Plan, sequence_counts
from corpuskit.shards.tokenizer import canonical_json
from corpuskit.unit import Receipt

Receipts = dict[str, list[tuple[str, Receipt]]]
"""(source, receipt) of all token units by domain, sorted by domain; in stream order within one."""


def total(group: list[tuple[str, Receipt]], split: str, what: str) -> int:
    """Sum of a fact (documents, tokens or bytes) of a split over the token units of a domain."""
    return sum(int(receipt.facts[split][what]) for _, receipt in group)


def make_plan(
    receipts: Receipts,
    blocks: dict[str, Blocks],
    mix: dict[str, Any],
    tokenizer_digest: str,
    file_tokens: int,
) -> dict[str, Any]:
    """The content of plan.json."""
    names = list(blocks)
    documents = {name: total(receipts[name], "train", "documents") for name in names}
    buckets = [Bucket(name, blocks[name].targets, documents[name]) for name in names]
    limits = Constraints(mix["max_epochs"])
    asked = None if mix["tokens"] == "max" else mix["tokens"]
    weights = resolve_weights(mix["weights"], buckets, asked, limits)
    largest = largest_budget(weights, buckets, limits.max_epochs)
    budget = largest if mix["tokens"] == "max" else mix["tokens"]
    limits.check(weights, buckets, budget)
    targets, each = [blocks[name].targets for name in names], [len(blocks[name]) for name in names]
    counts = sequence_counts(weights, targets, each, names, budget, limits.max_epochs)
    if not sum(counts):
        msg = f"a budget of {int(budget):,} tokens is less than one sequence of {mix['seq_len']:,}"
        raise Infeasible(msg, "raise `tokens`, or lower `seq_len`")
    order = Plan(mix["seed"], tuple(names), tuple(each), tuple(counts))
    domains = {}
    for number, name in enumerate(names):
        turns, rest = divmod(counts[number], max(1, each[number]))
        partial = blocks[name].predicted(order.order(number, turns), rest) if rest else 0
        domains[name] = {
            "weight": weights.weights.get(name, 0.0),
            "documents": documents[name],
            "stored": blocks[name].tokens,
            "targets": targets[number],
            "blocks": each[number],
            "sequences": counts[number],
            "taken": turns * targets[number] + partial,
            "epochs": counts[number] / max(1, each[number]),
            "cap": counts[number] >= int(limits.max_epochs * each[number]) > 0,
        }
    per_file = max(1, file_tokens // (mix["seq_len"] + 1))
    return {
        "format": 1,
        "seed": mix["seed"],
        "seq_len": mix["seq_len"],
        "packing": mix["packing"],
        "max_epochs": mix["max_epochs"],
        "asked": mix["tokens"],
        "largest": int(largest),
        "tokens": sum(domain["taken"] for domain in domains.values()),
        "sequences": len(order),
        "sequences_per_file": per_file,
        "files": -(-len(order) // per_file),
        "tokenizer": tokenizer_digest,
        "domains": domains,
    }


def make_manifest(receipts: Receipts, chosen: dict[str, Any]) -> dict[str, Any]:
    """The content of tokens/manifest.json: every token file with its totals and digest."""
    parts = []
    for split, prefix in (("train", ""), ("validation", "validation_")):
        for domain, group in receipts.items():
            for source, receipt in group:
                if not receipt.facts[split]["documents"]:
                    continue
                stored = receipt.parts[f"{prefix}bin"]
                file = f"split={split}/domain={domain}/{receipt.key}.bin"
                about = {"split": split, "domain": domain, "source": source, "file": file, "sha256": stored.digest}
                parts.append(about | receipt.facts[split])
    manifest = {
        "format": 1,
        "tokenizer": {"name": chosen["name"], "sha256": chosen["sha256"]},
        "vocab_size": chosen["vocab_size"],
        "eos": chosen["eos"],
        "eos_token": chosen["eos_token"],
        "bos": None,
        "dtype": chosen["dtype"],
        "parts": parts,
    }
    return manifest | {"fingerprint": hashlib.sha256(canonical_json(manifest)).hexdigest()}


def make_index(receipts: Receipts, plan: dict[str, Any], chosen: dict[str, Any], tokens_digest: str) -> dict[str, Any]:
    """The content of shards/index.json: what the trainer reads."""
    validation = {}
    for name, group in receipts.items():
        held_out = Blocks(total(group, "validation", "tokens"), plan["seq_len"] + 1)
        if held_out.targets:
            validation[name] = {
                "file": f"validation-{name}.bin",
                "sidecar": f"validation-{name}.docs.parquet",
                "sequences": len(held_out),
                "tokens": held_out.targets,
                "bytes": total(group, "validation", "bytes"),
            }
    each, sequences = plan["sequences_per_file"], plan["sequences"]
    train_files = [
        {
            "file": f"train-{number:05d}.bin",
            "sidecar": f"train-{number:05d}.docs.parquet",
            "sequences": min(each, sequences - number * each),
        }
        for number in range(plan["files"])
    ]
    index = {
        "format": 1,
        "dtype": chosen["dtype"],
        "seq_len": plan["seq_len"],
        "eos": chosen["eos"],
        "pad": chosen["eos"],
        "vocab_size": chosen["vocab_size"],
        "tokenizer": chosen["sha256"],
        "domains": list(receipts),
        "train": train_files,
        "validation": validation,
        "weights": {name: domain["weight"] for name, domain in plan["domains"].items()},
    }
    identity = canonical_json([index, plan, tokens_digest])
    return index | {"fingerprint": hashlib.sha256(identity).hexdigest()}


def readable(value: dict[str, Any]) -> bytes:
    """A JSON file that people may look into; `value` decides about the order of keys."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
