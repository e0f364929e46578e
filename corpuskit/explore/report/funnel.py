"""How many documents are left after each step, by domain, and how much text after each stretch of steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from corpuskit.core.kinds import spec_of
from corpuskit.core.plan import Plan
from corpuskit.core.tables import size
from corpuskit.documents.kinds import Segment
from corpuskit.explore import evidence, stats
from corpuskit.explore.report import charts
from corpuskit.explore.report.page import figure, heading, table
from corpuskit.store.root import Root

READABLE = "readable documents"


def section(root: Root, plan: Plan) -> str:
    """The section, or nothing before a record was read."""
    rows = [row for row in stats.domain_table(root, plan) if row.read]
    if not rows:
        return ""
    names = steps(plan)
    left = {row.domain: list(_left(row, names)) for row in rows}
    labels = ["raw records", READABLE, *names]
    sums = [sum(left[row.domain][k] for row in rows) for k in range(len(labels))]
    said = [f"{count:,} ({100 * count / sums[0]:.1f} %)" for count in sums]
    drawn = charts.bars([(label, float(count)) for label, count in zip(labels, sums, strict=True)], "documents", said)
    body = [[label, *(f"{left[row.domain][k]:,}" for row in rows), f"{sums[k]:,}"] for k, label in enumerate(labels)]
    head = ["after", *(row.domain for row in rows), "total"]
    return figure("Documents left after each step", drawn) + table(head, body) + _text(root, plan)


def steps(plan: Plan) -> list[str]:
    """All steps that take documents out, in the order of the recipe: rules, and barriers by name."""
    found: list[str] = []
    for name, last in plan.stages.items():
        if last.kind != "segment" or not spec_of(last, Segment).final:
            continue
        place = 0
        for step in _steps_of(plan, name):
            if step not in found:
                found.insert(place, step)
            place = found.index(step) + 1
    return found


def _steps_of(plan: Plan, name: str) -> Iterator[str]:
    for stage in reversed(list(stats.chain(plan, name))):
        spec = spec_of(stage, Segment)
        for decision in spec.apply:
            if decision["barrier"] in (*evidence.BARRIERS, "holdout"):
                yield decision["barrier"]
        for step in spec.steps:
            if step["kind"] == "filter":
                yield step["rule"]


def _left(row: stats.DomainStats, names: list[str]) -> Iterator[int]:
    yield row.read
    left = row.documents
    yield left
    copies = row.exact + row.near
    for name in names:
        if name in evidence.BARRIERS:
            left, copies = left - copies, 0  # the books do not say which of two steps of dedup removed a copy
        elif name == "holdout":
            left -= row.contaminated + row.held_out
        else:
            left -= row.rules.get(name, 0) + row.rules.get(name + stats.NO_VALUE, 0)
        yield left


def _text(root: Root, plan: Plan) -> str:
    """Bytes of files, and of text at the end of each segment, by domain."""
    found: dict[str, Counter[str]] = {}
    columns: dict[str, None] = {}
    for stage in plan.stages.values():
        if stage.kind != "segment":
            continue
        spec = spec_of(stage, Segment)
        end = stage.name.removesuffix(f"-{spec.source}")
        for receipt in root.complete(stage):
            counts = found.setdefault(spec.domain, Counter())
            if spec.reads:
                counts["files"] += sum(entry.get("size", 0) for entry in receipt.inputs if not entry.get("start"))
            for name in ("docs", "corpus"):
                if name in receipt.facts:
                    columns[end] = None
                    counts[end] += receipt.facts[name]["bytes"]
    names = ["files", *sorted(columns, key=lambda name: -sum(counts[name] for counts in found.values()))]
    rows = [[domain, *(size(counts[name]) for name in names)] for domain, counts in sorted(found.items())]
    rows.append(["total", *(size(sum(counts[name] for counts in found.values())) for name in names)])
    head = ["domain", "raw files", *(f"text after `{name}`" for name in names[1:])]
    return heading("Bytes, where texts are written") + table(head, rows, last_is_total=True)
