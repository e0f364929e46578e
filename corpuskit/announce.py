"""What `corpuskit plan` says before anything runs: stages, units, why, memory, disk, and the recall of dedup.

Disk is predicted from raw sizes with the ratios below; they are averages over the seven domains of this kind of corpus,
so a prediction can be off by a factor of two. Memory is the budget of the recipe: it bounds each worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpuskit.dedup.params import Minhash, s_curve
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

LINE = 200
"""Bytes of text for each line that `lines` hashes, on average."""

CUT = 0.3
"""Share of these lines that is cut."""

PER_DOCUMENT = {"rank": 8, "exact": 4, "bands": 8, "verify": 32, "choose": 18, "decide": 5, "duplicates": 6}
"""Bytes on disk for a document that dedup saw, by stage: as if half of them went, and each had one candidate."""

CURVE = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
UNLIKE = (0.5, 0.6)
"""Similarities of pairs that are no duplicates, at any threshold above; that they share a band costs work."""


@dataclass(frozen=True)
class Flow:
    """What is known of the corpus before it is read.

    Attributes:
        raw: bytes of the files that are read, of this plan's units. text: bytes of their text.
        finished: bytes of text in the finished corpora that new documents are compared with.
    """

    raw: int
    text: float
    finished: float

    @classmethod
    def of(cls, plan: Plan) -> Flow:
        """From the sizes of the files."""
        reading = [unit for stage in plan.stages.values() if "reader" in stage.spec for unit in stage.units]
        text = sum(_text_bytes(entry) for unit in reading for entry in unit.inputs)
        finished = sum(unit.bytes for stage in plan.stages.values() if _finished(stage) for unit in stage.units)
        return cls(sum(unit.bytes for unit in reading), text, finished / STORED)

    @property
    def compared(self) -> float:
        """Documents that dedup looks at, at most."""
        return (self.text + self.finished) / DOCUMENT

    def through(self, stage: Stage) -> float:
        """Bytes of text that a stage of documents sees, at most."""
        here = sum(unit.bytes for unit in stage.units)
        return here / STORED if _finished(stage) else self.text * min(1.0, here / max(1, self.raw))


def _finished(stage: Stage) -> bool:
    """Whether a stage sketches documents of a finished corpus."""
    return stage.kind == "signatures" and "docs" not in stage.needs


def announce(plan: Plan, root: Root) -> tuple[str, dict[str, Any]]:
    """The plan as text and as data; nothing is run or written."""
    why = reasons(plan, root.latest_plan(), root)
    flow = Flow.of(plan)
    rows, data, disks = [], [], []
    for name, stage in plan.stages.items():
        missing, reason = why[name]
        disk = _disk(stage, flow)
        disks.append(disk)
        rows.append([name, str(len(stage.units)), str(missing), size(disk), reason])
        data.append(
            {"stage": name, "key": stage.key, "units": len(stage.units), "to_run": missing, "why": reason, "disk": disk}
        )
    total = sum(disks)
    lines = [
        table(["stage", "units", "to run", "disk", "why"], rows, right=(1, 2, 3)),
        "",
        f"raw input {size(plan.raw_bytes)}, about {size(flow.text)} of text, about {size(total)} on disk when done",
        f"memory: {size(plan.memory)} for each worker; that is the recipe's `memory`",
    ]
    found: dict[str, Any] = {"stages": data, "raw_bytes": plan.raw_bytes, "disk": total, "memory": plan.memory}
    if any(stage.kind == "choose" for stage in plan.stages.values()):
        found["dedup_bits"] = flow.compared / 8
        lines[-1] += f"; of it dedup holds one bit for each document, about {size(flow.compared / 8)}"
    for stage in plan.stages.values():
        if stage.kind == "bands":
            params = Minhash.parse(stage.spec["minhash"])
            found["lsh"] = _curve(params)
            lines += _said(params, found["lsh"])
    return "\n".join(lines), found


def _curve(params: Minhash) -> dict[str, Any]:
    """The bands, and the share of pairs that share one at each similarity."""
    unlike = tuple(similarity for similarity in UNLIKE if similarity < params.threshold)
    bands, rows = params.bands, params.rows
    recall, below = (dict(zip(some, s_curve(bands, rows, some), strict=True)) for some in (CURVE, unlike))
    return {"bands": bands, "rows": rows, "recall": recall, "candidates": below}


def _said(params: Minhash, curve: dict[str, Any]) -> list[str]:
    caught, unlike = (_shares(curve[name]) for name in ("recall", "candidates"))
    what = {
        "exact": "they are compared and, below the threshold, stay: work, not loss",
        "sketch": "they stay unless their signatures estimate them at the threshold: work, and some loss",
        "none": "without verification they are taken for duplicates: loss",
    }[params.verify]
    lines = [f"minhash: {params.bands} bands x {params.rows} rows; share of pairs caught at {caught}"]
    return lines + [f"         share of unlike pairs that meet in a band at {unlike}; {what}"] * bool(unlike)


def _shares(curve: dict[float, float]) -> str:
    return "  ".join(f"J={j:g}: {100 * share:.1f} %" for j, share in curve.items())


def _text_bytes(entry: dict[str, Any]) -> float:
    if entry["start"] is not None:
        return float(entry["end"] - entry["start"])
    return float(entry["size"]) * EXPANSION.get(Path(entry["path"]).suffix, 1.0)


def _disk(stage: Stage, flow: Flow) -> float:
    """Predicted bytes that a stage leaves on disk, from the text that flows through it."""
    kind, text = stage.kind, flow.through(stage)
    documents = text / DOCUMENT
    if kind == "segment":
        return text * STORED
    if kind == "signatures":  # id, lengths, hash and the entry of `exact`: 44; an entry of 12 for each band
        params = stage.spec["minhash"]
        return documents * float(44 + 4 * params["permutations"] + 12 * params["bands"])
    if kind == "decide":
        return documents * PER_DOCUMENT[kind]
    if kind in PER_DOCUMENT:
        seen = flow.compared if stage.run.get("finished") else flow.text / DOCUMENT
        return seen * PER_DOCUMENT[kind]
    if kind == "lines":  # a hash of 16 bytes and a place of 8 for each line, the id of each document
        return text / LINE * 24 + documents * 8
    if kind == "repeated":
        return flow.text / LINE / 8
    if kind == "repeats":
        return text / LINE * CUT * 8
    if kind == "model":
        return float(stage.run["bytes"])
    if kind in ("tokens", "shards"):
        return (text if kind == "tokens" else flow.text) / TOKEN * 2
    return 0.0
