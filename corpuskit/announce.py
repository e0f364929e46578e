"""What `corpuskit plan` says before anything runs: stages, units, why, memory, disk, and the recall of dedup.

Disk is predicted from raw sizes with the ratios below; they are averages over the seven domains of this kind of corpus,
so a prediction can be off by a factor of two. Memory is the budget of the recipe: it bounds each worker.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpuskit.graph import Plan, Stage
from corpuskit.store import Root
from corpuskit.tables import size, table
from corpuskit.why import reasons

EXPANSION = {".gz": 3.5, ".tgz": 3.5, ".zst": 3.5, ".bz2": 4.0, ".xz": 4.5}
"""Bytes of text for a byte of a raw file, by its suffix; 1 for files that are not compressed."""

STORED = 0.4
"""Bytes on disk for a byte of text in a part (zstd)."""

DOCUMENT = 5000
"""Bytes of text in a document, on average."""

TOKEN = 4.0
"""Bytes of text in a token, on average."""

CURVE = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def announce(plan: Plan, root: Root) -> tuple[str, dict[str, Any]]:
    """The plan as text and as data; nothing is run or written."""
    why = reasons(plan, root.latest_plan(), root)
    text_bytes = sum(
        _text_bytes(entry) for stage in plan.stages.values() for unit in stage.units for entry in unit.inputs
    )
    rows, data, disks = [], [], []
    for name, stage in plan.stages.items():
        missing, reason = why[name]
        disk = _disk(stage, plan, text_bytes)
        disks.append(disk)
        rows.append([name, str(len(stage.units)), str(missing), size(disk), reason])
        data.append(
            {"stage": name, "key": stage.key, "units": len(stage.units), "to_run": missing, "why": reason, "disk": disk}
        )
    total = sum(disks)
    lines = [
        table(["stage", "units", "to run", "disk", "why"], rows, right=(1, 2, 3)),
        "",
        f"raw input {size(plan.raw_bytes)}, about {size(text_bytes)} of text, about {size(total)} on disk when done",
        f"memory: {size(plan.memory)} for each worker; that is the recipe's `memory`",
    ]
    found: dict[str, Any] = {"stages": data, "raw_bytes": plan.raw_bytes, "disk": total, "memory": plan.memory}
    if "bands" in plan.stages:
        curve = _curve(plan.stages["bands"].spec["minhash"])
        found["lsh"] = curve
        shown = "  ".join(f"J={j:g}: {100 * share:.1f} %" for j, share in curve["recall"].items())
        lines.append(f"minhash: {curve['bands']} bands x {curve['rows']} rows; share of pairs caught at {shown}")
    return "\n".join(lines), found


def _curve(params: dict[str, Any]) -> dict[str, Any]:
    from corpuskit.dedup.params import s_curve

    bands, rows = params["bands"], params["rows"]
    return {"bands": bands, "rows": rows, "recall": dict(zip(CURVE, s_curve(bands, rows, CURVE), strict=True))}


def _text_bytes(entry: dict[str, Any]) -> float:
    if entry["start"] is not None:
        return float(entry["end"] - entry["start"])
    return float(entry["size"]) * EXPANSION.get(Path(entry["path"]).suffix, 1.0)


def _disk(stage: Stage, plan: Plan, text: float) -> float:
    """Predicted bytes that a stage leaves on disk, from the text that flows through it."""
    share = sum(unit.bytes for unit in stage.units) / max(1, plan.raw_bytes)
    flow = text * min(1.0, share)
    kind = stage.kind
    documents = flow / DOCUMENT
    if kind == "segment":
        return flow * STORED
    if kind == "signatures":
        return documents * float(4 * stage.spec["minhash"]["permutations"] + 48)
    if kind in ("exact", "bands", "verify", "choose"):
        return text / DOCUMENT * 24
    if kind in ("tokens", "shards"):
        return (flow if kind == "tokens" else text) / TOKEN * 2
    return 0.0
