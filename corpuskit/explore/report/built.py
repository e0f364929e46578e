"""What was built from what: the head of the report, what the recipe expects, and lineage."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

from corpuskit.core.kinds import spec_of
from corpuskit.core.plan import Plan
from corpuskit.core.tables import size
from corpuskit.documents.kinds import Segment
from corpuskit.explore import stats
from corpuskit.explore.report.page import folded, paragraph, table
from corpuskit.recipe import parse_expect
from corpuskit.store.root import Root


def summary(root: Root, plan: Plan, run: str) -> str:
    """What was built, what it cost, whether it is complete, and what to look at."""
    found = stats.domain_table(root, plan)
    every = stats.total(found)
    tokens = f", {every.tokens:,} tokens" if every.tokens is not None else ""
    said = paragraph(
        f"{every.read:,} raw records in {len(found)} domains; {every.kept:,} documents kept, "
        f"{size(every.bytes)} of text{tokens}."
    )
    said += table(["", ""], _head(root, plan, run), left=2)
    complete = sum(len(root.complete(stage)) for stage in plan.stages.values())
    units = sum(len(stage.units) for stage in plan.stages.values())
    if complete < units:
        said += paragraph(f"{complete:,} of {units:,} units are complete: the counts are of those.", "warning")
    return said + "".join(paragraph(text, "warning") for text in stats.warnings(root, plan, found))


def _head(root: Root, plan: Plan, run: str) -> list[list[str]]:
    receipts = [receipt for stage in plan.stages.values() for receipt in root.complete(stage)]
    wall, cpu = (sum(getattr(receipt, name) for receipt in receipts) for name in ("seconds", "cpu_seconds"))
    peak = max((receipt.peak_bytes for receipt in receipts), default=0)
    disk = sum(part.bytes for receipt in receipts for part in receipt.parts.values())
    environment = json.loads(root.store.get(f"{run}/env.json"))
    versions = ", ".join(
        f"{name} {environment['packages'][name]}" for name in ("corpuskit",) if name in environment["packages"]
    )
    key = hashlib.sha256(" ".join(sorted(stage.folder for stage in plan.stages.values())).encode()).hexdigest()[:16]
    return [
        ["run", run.removeprefix("runs/")],
        ["key of all stages", key],
        ["versions", ", ".join(text for text in (versions, f"Python {environment.get('python', '')}") if text)],
        ["cost", f"{cpu / 3600:,.3g} CPU-hours; {wall / 3600:,.3g} hours of units, whenever they ran"],
        ["largest peak", f"{size(peak)} of the {size(plan.memory)} that a worker may take"],
        ["on disk", size(disk)],
    ]


def expectations(root: Root, plan: Plan) -> str:
    """Whether what the recipe expects holds, with the figures it names; nothing before the run is complete."""
    if not plan.expect or any(len(root.complete(stage)) < len(stage.units) for stage in plan.stages.values()):
        return ""
    functions = stats.functions(root, plan)
    rows = []
    for text in plan.expect:
        expected = parse_expect(text)
        figures = ", ".join(f"{name}('{of}') = {functions[name](of):,.4g}" for name, of in expected.calls)
        rows.append([text, "holds" if expected.evaluate(functions) else "DOES NOT HOLD", figures])
    return table(["expected", "", "found"], rows, left=3)


def lineage(root: Root, plan: Plan) -> str:
    """The files of each source, and the stages with the keys and needs that their parts are filed under."""
    sums: dict[tuple[str, str], Counter[str]] = {}
    for stage in plan.stages.values():
        if stage.kind == "segment" and (spec := spec_of(stage, Segment)).reads:
            counts = sums.setdefault((spec.source, spec.domain), Counter())
            for receipt in root.complete(stage):
                for entry in receipt.inputs:
                    first = not entry.get("start")  # a large file is read in ranges
                    counts.update(records=entry["records"], files=first, bytes=entry.get("size", 0) if first else 0)
    rows = [
        [source, domain, f"{counts['files']:,}", size(counts["bytes"]), f"{counts['records']:,}"]
        for (source, domain), counts in sums.items()
    ]
    said = table(["source", "domain", "files", "bytes", "records"], rows, left=2) if rows else ""
    stages = [
        [stage.name, stage.kind, stage.key, ", ".join(sorted({need.stage for need in stage.needs.values()}))]
        for stage in plan.stages.values()
    ]
    said += paragraph(
        "Each document's file and record are in the view `lineage`; `corpuskit trace` follows one.", "muted"
    )
    return said + folded("stages", table(["stage", "kind", "key", "needs"], stages, left=4))
