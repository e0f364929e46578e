"""What goes with documents that are taken down: their copies, and the checkpoints that saw them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from corpuskit.core.plan import Plan
from corpuskit.errors import UsageError
from corpuskit.explore.trace.origin import Origins
from corpuskit.explore.trace.tokens import trainings
from corpuskit.store.root import Root

FAULTS = 5


def named_documents(root: Root, plan: Plan, path: Path) -> list[int]:
    """The documents that a file names, one a line: an id, or FILE#RECORD; lines that begin with `#` are comments.

    Raises:
        UsageError: a line names no document of the run; all such lines are told.
    """
    origins, docs, faults = Origins(root, plan), [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        what = line.strip()
        if not what or what.startswith("#"):
            continue
        record = re.fullmatch(r"(.+)#(\d+)", what)
        try:
            if re.fullmatch(r"\d+", what):
                docs.append(origins.of(int(what)).doc)
            elif record:
                docs.append(origins.at(record[1], int(record[2])).doc)
            else:
                faults.append(f"{path}:{number}: `{what}` is neither a document's id nor FILE#RECORD")
        except UsageError as error:
            faults.append(f"{path}:{number}: {error.message}")
    if faults:
        more = [f"and {len(faults) - FAULTS:,} more"] if len(faults) > FAULTS else []
        raise UsageError("\n".join([*faults[:FAULTS], *more]), f"corpuskit trace {root.url} ID|FILE#RECORD finds one")
    return list(dict.fromkeys(docs))


def with_copies(root: Root, plan: Plan, docs: list[int]) -> tuple[dict[int, int | None], list[str]]:
    """Documents with all that `duplicates/` joins to them, each with the one it came by; and copies in other roots."""
    stage = plan.stages.get("duplicates")
    found: dict[int, int | None] = dict.fromkeys(docs)
    elsewhere = []
    for receipt in root.complete(stage) if stage is not None else ():
        table = pq.read_table(receipt.parts["duplicates"].local(), columns=["doc", "kept_doc", "kept_root"])
        doc, kept = (table[name].to_numpy() for name in ("doc", "kept_doc"))
        here = np.asarray(table["kept_root"].is_null())
        pairs = [(doc[here], kept[here]), (kept[here], doc[here])]
        new = np.array(docs, np.uint64)
        while len(new):
            met = [pair for one, other in pairs for pair in _beside(one, other, new)]
            fresh = {other: one for one, other in met if other not in found}
            found |= fresh
            new = np.array(list(fresh), np.uint64)
        others = table.filter(~here & np.isin(doc, np.array(list(found), np.uint64)))
        elsewhere += [f"{row['kept_doc']} of {row['kept_root']}" for row in others.to_pylist()]
    return found, sorted(set(elsewhere))


def _beside(one: Any, other: Any, wanted: Any) -> list[tuple[int, int]]:
    rows = np.isin(one, wanted)
    return list(zip(one[rows].tolist(), other[rows].tolist(), strict=True))


def checkpoints_after(root: Root, docs: list[int]) -> tuple[list[dict[str, Any]], list[str]]:
    """Trainings of this root that read some of the documents, as of `Training.saw`; and those that cannot be traced."""
    seen, unknown = [], []
    for training in trainings(root):
        try:
            found = training.saw(training.shards.of(docs))
        except UsageError:
            if training.checkpoints:
                unknown.append(training.folder)
            continue
        if any(step <= found["done"] for step in found["steps"]):
            seen.append({"training": found["training"], "first_step": found["steps"][0]} | found)
    return seen, unknown
