"""The sections of the report, each a function that gives HTML, or nothing where the run has nothing to show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from corpuskit.core.flow import Flow
from corpuskit.core.kinds import kind_of, peak
from corpuskit.core.plan import Plan
from corpuskit.core.tables import size
from corpuskit.core.work import Receipt
from corpuskit.explore import evidence, stats
from corpuskit.explore.report import charts
from corpuskit.explore.report.mixture import chart
from corpuskit.explore.report.page import code, figure, folded, heading, paragraph, table
from corpuskit.explore.stats_text import COLUMNS, cells, drops, percent
from corpuskit.mix.explain import explain
from corpuskit.plan.why import done
from corpuskit.store.root import Root
from corpuskit.store.versions import other_versions

FATES = ("kept", "held out", "dropped", "exact", "near", "contaminated", "empty", "unreadable")

SLOWEST = 10

POINTS = 600
"""Most points of a training curve; more are averaged in equal stretches."""


def recipe(root: Root, run: str) -> str:
    """The recipe as it was given, and as it was understood."""
    said = code(root.store.get(f"{run}/recipe.yaml").decode(errors="replace"))
    return said + folded("with all defaults", code(root.store.get(f"{run}/resolved.yaml").decode(errors="replace")))


def domains(root: Root, plan: Plan) -> str:
    """The domain table, and the share of each fate."""
    found = stats.domain_table(root, plan)
    if not any(row.read for row in found):
        return ""
    rows = [_cells(row) for row in (*found, stats.total(found))]
    shares = [
        (
            row.domain,
            (row.kept, row.held_out, row.dropped, row.exact, row.near, row.contaminated, row.empty, row.unreadable),
        )
        for row in found
        if row.read
    ]
    chart = figure("Outcome of the raw records of each domain", charts.stacked(shares, FATES))
    return table((*COLUMNS, "tokens", "duplicates"), rows, last_is_total=True) + chart


def _cells(row: stats.DomainStats) -> list[str]:
    tokens = "" if row.tokens is None else f"{row.tokens:,}"
    return [*cells(row), tokens, percent(row.exact + row.near, row.compared)]


def dropped(root: Root, plan: Plan) -> str:
    """Documents that each rule dropped, by domain, in the order of the recipe."""
    head, rows = drops(stats.domain_table(root, plan), list(stats.rules(plan)))
    said = table(head, rows) if rows else ""
    found = [
        [one["step"], one["what"], *(f"{one[n]:,}" for n in ("times", "documents"))]
        for one in evidence.findings(root, plan)
    ]
    return said + (heading("Found") + table(("step", "what", "times", "documents"), found) if found else "")


def mixture(root: Root, plan: Plan) -> str:
    """Sizes, caps, target and achieved shares of the mixture, and of its phases."""
    mixed = stats.mixture(root, plan)
    if mixed is None:
        return ""
    return code(explain(mixed)) + figure("Share of tokens by domain", chart(mixed))


def training(root: Root, plan: Plan) -> str:
    """The training curve, the validation curves, and the final scores by domain."""
    receipt = stats.single(root, plan, "train")
    if receipt is None:
        return ""
    result = receipt.facts["result"]
    lines = receipt.parts["metrics"].local().read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    steps = [record for record in records if "domain" not in record]
    said = paragraph(
        f"{result['parameters']:,} parameters; {result['tokens']:,} tokens in {result['steps']:,} steps; "
        f"{receipt.seconds:,.0f} s with validation and checkpoints; checkpoint {receipt.facts['checkpoint']}"
    )
    tokens = {record["step"]: record["tokens"] for record in steps}
    x = charts.Axis("tokens", zero=True)
    said += '<div class="side">'
    for name, caption in (("loss", "Training loss, nats per token"), ("lr", "Learning rate")):
        points = _thinned([(float(record["tokens"]), float(record[name])) for record in steps])
        said += figure(caption, charts.plot(x, charts.Axis(name, zero=name == "lr"), [charts.Series(name, points)]))
    said += _validation_curves(records, tokens, x) + "</div>"
    rows = [
        [domain, *("" if score[name] is None else f"{score[name]:.4f}" for name in ("loss", "bits_per_byte"))]
        for domain, score in sorted(result["validation"].items())
    ]
    return said + (
        heading("Validation after the last step") + table(["domain", "loss", "bits per byte"], rows) if rows else ""
    )


def _validation_curves(records: Sequence[dict[str, Any]], tokens: dict[int, int], x: charts.Axis) -> str:
    """Validation loss by domain, where it was measured more than once."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        if record.get("domain") is not None and record["loss"] is not None:
            curves.setdefault(record["domain"], []).append((float(tokens[record["step"]]), record["loss"]))
    if max(map(len, curves.values()), default=0) < 2:
        return ""
    series = [charts.Series(name, points, dots=True) for name, points in sorted(curves.items())]
    drawn = charts.plot(x, charts.Axis("validation loss"), series)
    return figure("Validation loss by domain, nats per token", drawn)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `POINTS` points: the means of equal stretches."""
    stretch = -(-len(points) // POINTS) or 1
    groups = [points[start : start + stretch] for start in range(0, len(points), stretch)]
    return [(sum(a for a, _ in group) / len(group), sum(b for _, b in group) / len(group)) for group in groups]


def resources(root: Root, plan: Plan) -> str:
    """Time, throughput, memory and disk of each stage, and the slowest units; times are sums over units."""
    rows, seconds, peaks, units = [], [], [], []
    flow = Flow.of(plan, done(plan, root))
    for stage in plan.stages.values():
        complete = root.complete(stage)
        if not complete:
            continue
        parts = sum(part.bytes for receipt in complete for part in receipt.parts.values())
        wall, cpu = (sum(getattr(receipt, name) for receipt in complete) for name in ("seconds", "cpu_seconds"))
        highest = max(receipt.peak_bytes for receipt in complete)
        counted = f"{len(complete):,} / {len(stage.units):,}"
        predicted = peak(stage, flow, plan.memory)
        memory = [size(highest), "" if predicted is None else size(predicted)]
        disk = [size(parts), size(kind_of(stage).disk(stage, flow))]
        rows.append([stage.name, counted, f"{wall:,.1f}", f"{cpu:,.1f}", _rate(complete), *memory, *disk])
        seconds.append((stage.name, wall))
        peaks.append((stage.name, highest / (1 << 20)))
        units += [(receipt.seconds, f"{stage.name}:{receipt.unit}", receipt) for receipt in complete]
    if not rows:
        return ""
    bars = charts.bars(peaks, "MiB", [f"{value:,.0f}" for _, value in peaks], mark=plan.memory / (1 << 20))
    time = charts.bars(seconds, "seconds", [f"{value:,.1f}" for _, value in seconds])
    slowest = sorted(units, key=lambda one: (-one[0], one[1]))[:SLOWEST]
    columns = ["stage", "units", "seconds", "CPU seconds", "MB per CPU-second"]
    columns += ["peak memory", "predicted", "on disk", "predicted"]
    return (
        figure("Seconds by stage, summed over units", time)
        + figure("Largest peak of memory by stage, and (dashed) what `memory` allows a worker", bars)
        + table(columns, rows)
        + heading("The slowest units")
        + table(
            ["unit", "of", "seconds", "CPU seconds", "peak memory"],
            [
                [name, one.label, f"{took:,.1f}", f"{one.cpu_seconds:,.1f}", size(one.peak_bytes)]
                for took, name, one in slowest
            ],
            left=2,
        )
    )


def _rate(receipts: Sequence[Receipt]) -> str:
    """Text that came out of a stage of documents by the processor time that it took."""
    written = sum(
        receipt.facts[name]["bytes"] for receipt in receipts for name in ("docs", "corpus") if name in receipt.facts
    )
    cpu = sum(receipt.cpu_seconds for receipt in receipts)
    return f"{written / 1e6 / cpu:,.1f}" if written and cpu else ""


def environment(root: Root, plan: Plan, run: str) -> str:
    """Python, machine, the versions of all packages, and what was made with others."""
    found = json.loads(root.store.get(f"{run}/env.json"))
    packages = "\n".join(f"{name} {version}" for name, version in found.pop("packages").items())
    rows = [[str(name), str(value)] for name, value in found.items()]
    others = "".join(paragraph(line, "warning") for line in other_versions(root, plan.stages.values()))
    return table(["", ""], rows, left=2) + others + folded("packages", code(packages))
