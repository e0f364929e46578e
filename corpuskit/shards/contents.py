"""What `shards/plan.json`, `shards/index.json` and `tokens/manifest.json` say, from the receipts of token units."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from corpuskit.core.work import Receipt
from corpuskit.mix.phases import Phased, resolve_schedule
from corpuskit.mix.problem import Bucket, Infeasible
from corpuskit.shards.plan import block_counts, train_files
from corpuskit.shards.tokenizer import canonical_json
from corpuskit.train.blocks import Blocks
from corpuskit.train.order import MOST_SEQUENCES, Plan

Receipts = dict[str, list[tuple[str, Receipt]]]
"""(source, receipt) of all token units by domain, sorted by domain; in stream order within one."""


def total(group: list[tuple[str, Receipt]], split: str, what: str) -> int:
    """Sum of a fact (documents, tokens or bytes) of a split over the token units of a domain."""
    return sum(int(receipt.facts[split][what]) for _, receipt in group)


def with_weights(mix: dict[str, Any], weights: Any) -> dict[str, Any]:
    """`mix` with these weights in place of what its key says of them; a list holds those of its phases."""
    if weights is None:
        return mix
    if "phases" not in mix:
        return mix | {"weights": weights}
    pairs = zip(mix["phases"], weights, strict=True)
    return mix | {"phases": [phase | {"weights": given} for phase, given in pairs]}


def make_plan(
    documents: dict[str, int],
    blocks: dict[str, Blocks],
    mix: dict[str, Any],
    tokenizer_digest: str,
    file_tokens: int,
) -> dict[str, Any]:
    """The content of plan.json; of format 2 where the recipe has phases, so that no earlier reader takes it for one."""
    names = list(blocks)
    buckets = [Bucket(name, blocks[name].targets, documents[name]) for name in names]
    schedule, largest = resolve_schedule(mix, buckets)
    shares = schedule.shares()
    phases = _phases(schedule, blocks, mix, file_tokens)
    domains = {}
    for name in names:
        drawn = [phase["domains"][name] for phase in phases]
        taken = sum(
            one["sequences"] * phase["seq_len"] // mix["seq_len"] for one, phase in zip(drawn, phases, strict=True)
        )
        each = len(blocks[name])
        domains[name] = {
            "weight": shares.weights.get(name, 0.0),
            "documents": documents[name],
            "stored": blocks[name].tokens,
            "targets": blocks[name].targets,
            "blocks": each,
            "sequences": sum(one["sequences"] for one in drawn),
            "taken": sum(one["taken"] for one in drawn),
            "epochs": taken / max(1, each),
            "cap": taken >= int(mix["max_epochs"] * each) > 0,
        }
    plan = {
        "format": 1,
        "seed": mix["seed"],
        "seq_len": mix["seq_len"],
        "packing": mix["packing"],
        "max_epochs": mix["max_epochs"],
        "asked": mix["tokens"],
        "largest": largest,
        "tokens": sum(domain["taken"] for domain in domains.values()),
        "sequences": sum(phase["sequences"] for phase in phases),
        "sequences_per_file": phases[0]["sequences_per_file"],
        "files": sum(-(-phase["sequences"] // phase["sequences_per_file"]) for phase in phases),
        "tokenizer": tokenizer_digest,
        "domains": domains,
    }
    if "phases" in mix:
        del plan["sequences_per_file"]
        plan |= {"format": 2, "phases": phases}
    return plan


def _phases(schedule: Phased, blocks: dict[str, Blocks], mix: dict[str, Any], file_tokens: int) -> list[dict[str, Any]]:
    """What plan.json says of each phase; sequences and tokens are exact."""
    names, each = list(blocks), [len(cut) for cut in blocks.values()]
    targets = [cut.targets for cut in blocks.values()]
    parts = [(phase.mixture, phase.until - begin) for begin, phase in schedule.stretches()]
    drawn = block_counts(parts, targets, each, names, mix["max_epochs"])
    taken, found = [0] * len(names), []
    for number, (phase, counts) in enumerate(zip(schedule.phases, drawn, strict=True)):
        seq_len = phase.seq_len or mix["seq_len"]
        slices = mix["seq_len"] // seq_len
        if not sum(counts):
            whose = f"{int(parts[number][1]):,} tokens" + (f" in phase {number + 1}" if "phases" in mix else "")
            msg = f"a budget of {whose} gives no domain a whole sequence of {mix['seq_len']:,}"
            raise Infeasible(msg, "raise `tokens`, or lower `seq_len`")
        order = Plan(
            mix["seed"], tuple(names), tuple(each), tuple(count * slices for count in counts), tuple(taken), slices
        )
        if len(order) > MOST_SEQUENCES:
            msg = f"{len(order):,} sequences are more than a plan can number ({MOST_SEQUENCES:,})"
            raise Infeasible(msg, "use a longer seq_len or fewer tokens")
        domains = {}
        for k, name in enumerate(names):
            end = taken[k] + counts[k]
            domains[name] = {
                "weight": phase.mixture.weights.get(name, 0.0),
                "sequences": counts[k] * slices,
                "taken": _predicted(order, k, blocks[name], end) - _predicted(order, k, blocks[name], taken[k]),
                "epochs": counts[k] / max(1, each[k]),
            }
            taken[k] = end
        found.append(
            {
                "until": int(phase.until),
                "seq_len": seq_len,
                "tokens": sum(domain["taken"] for domain in domains.values()),
                "sequences": len(order),
                "sequences_per_file": max(1, file_tokens // (seq_len + 1)),
                "domains": domains,
            }
        )
    return found


def _predicted(order: Plan, number: int, blocks: Blocks, taken: int) -> int:
    """Tokens that a domain's first `taken` blocks predict, counted through the epochs."""
    turns, rest = divmod(taken, max(1, len(blocks)))
    return turns * blocks.targets + (blocks.predicted(order.order(number, turns), rest) if rest else 0)


def make_manifest(receipts: Receipts, chosen: dict[str, Any]) -> dict[str, Any]:
    """The content of tokens/manifest.json: every token file with its totals and digest."""
    parts = []
    for split, prefix in (("train", ""), ("validation", "validation_")):
        for domain, group in receipts.items():
            for source, receipt in group:
                if not receipt.facts[split]["documents"]:
                    continue
                stored = receipt.parts[f"{prefix}bin"]
                file = _token_file(split, domain, receipt)
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
    train = [
        {
            "file": f"train-{number:05d}.bin",
            "sidecar": f"train-{number:05d}.docs.parquet",
            "sequences": end - low,
        }
        for number, (_, low, end) in enumerate(train_files(plan))
    ]
    index = {
        "format": plan["format"],
        "dtype": chosen["dtype"],
        "seq_len": plan["seq_len"],
        "eos": chosen["eos"],
        "pad": chosen["eos"],
        "vocab_size": chosen["vocab_size"],
        "tokenizer": chosen["sha256"],
        "domains": list(receipts),
        "train": train,
        "validation": validation,
        "weights": _weights(plan),
    }
    if "phases" in plan:
        for entry, (phase, _, _) in zip(train, train_files(plan), strict=True):
            entry |= {"phase": phase, "seq_len": plan["phases"][phase]["seq_len"]}
        index["phases"] = [
            {"seq_len": phase["seq_len"], "sequences": phase["sequences"], "weights": _weights(phase)}
            for phase in plan["phases"]
        ]
    identity = canonical_json([index, plan, tokens_digest])
    return index | {"fingerprint": hashlib.sha256(identity).hexdigest()}


def unwritten(index: dict[str, Any], plan: dict[str, Any], receipts: Receipts) -> dict[str, Any]:
    """The index of shards that are not written: how the trainer finds their sequences in `tokens/`.

    Its fingerprint is that of the written ones, for the sequences are the same.
    """
    phases = plan.get("phases", [plan])
    train = [
        {"phase": number, "seq_len": phase["seq_len"], "sequences": phase["sequences"]}
        for number, phase in enumerate(phases)
    ]
    streams = {name: _stream(name, group, "train") for name, group in receipts.items()}
    if plan["packing"] == "best_fit":
        for name, stream in streams.items():
            count = plan["domains"][name]["blocks"]
            stream["packing"] = {"count": count, "blocks": f"blocks-{name}.idx", "pieces": f"pieces-{name}.idx"}
    validation = {
        name: {what: entry[what] for what in ("sequences", "tokens", "bytes")}
        | _stream(name, receipts[name], "validation")
        for name, entry in index["validation"].items()
    }
    return index | {"format": 3, "train": train, "validation": validation, "streams": streams}


def _stream(name: str, group: list[tuple[str, Receipt]], split: str) -> dict[str, Any]:
    """The token files of a domain in stream order, as seen from `shards/`, and the index of its documents."""
    parts = [
        {"file": f"../tokens/{_token_file(split, name, receipt)}"}
        | {what: receipt.facts[split][what] for what in ("tokens", "documents")}
        for _, receipt in group
        if receipt.facts[split]["documents"]
    ]
    return {"documents": f"{split}-{name}.idx", "parts": parts}


def _token_file(split: str, domain: str, receipt: Receipt) -> str:
    """Where a token unit's `.bin` is published, under `tokens/`."""
    return f"split={split}/domain={domain}/{receipt.key}.bin"


def _weights(plan: dict[str, Any]) -> dict[str, float]:
    """Target shares of a plan, or of one of its phases."""
    return {name: domain["weight"] for name, domain in plan["domains"].items()}


def readable(value: dict[str, Any]) -> bytes:
    """A JSON file that people may look into; `value` decides about the order of keys."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
