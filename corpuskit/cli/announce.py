"""What `corpuskit plan` says before anything runs: stages, units, why, memory, disk, and the recall of dedup.

Disk and the peak of memory are predicted by each kind of stage, from what a look at the files told and, in a root where
units are done, from what these have left.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from corpuskit.core.flow import Flow, Looked
from corpuskit.core.kinds import disk, kind_of, peak, spec_of
from corpuskit.core.plan import Plan, Stage
from corpuskit.core.tables import counted, size, table
from corpuskit.dedup.kinds import Compared
from corpuskit.plan.why import done, reasons
from corpuskit.steps.lsh import Minhash, s_curve
from corpuskit.store.root import Root

AVERAGE = 2.5
"""How far averages over sources are off where no file was looked at, either way."""

CURVE = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
UNLIKE = (0.5, 0.6)
"""Similarities of pairs that are no duplicates, at any threshold above; that they share a band costs work."""


def announce(plan: Plan, root: Root, looked: Looked, *, verbose: bool = False) -> tuple[str, dict[str, Any]]:
    """The plan as text and as data; nothing is run or written.

    Args:
        looked: what `corpuskit.plan.looking.look` found.
        verbose: a line a stage, and not one for the stages of all sources together.
    """
    known = done(plan, root)
    why, flow = reasons(plan, root.latest_plan(), known), Flow.of(plan, known, looked)
    disks = {name: disk(stage, flow) for name, stage in plan.stages.items()}
    peaks = {name: peak(stage, flow, plan.memory) for name, stage in plan.stages.items()}
    asked = {name: kind_of(stage).asks(stage, plan.memory) for name, stage in plan.stages.items()}
    data = [
        {
            "stage": name,
            "key": stage.key,
            "units": len(stage.units),
            "to_run": why[name][0],
            "why": why[name][1],
            "disk": disks[name],
            "at_most": name in flow.at_most,
            "guessed": flow.guessed(stage),
            "peak": peaks[name],
            "memory": asked[name].memory,
            "cores": asked[name].cores,
            "gpus": asked[name].gpus,
        }
        for name, stage in plan.stages.items()
    ]
    larger = [
        f"{name}: {counted(asks.cores, 'core')}, {counted(asks.gpus, 'GPU')} where there are any, {size(asks.memory)}"
        for name, asks in asked.items()
        if asks.cores > 1 or asks.gpus
    ]
    total = sum(disks.values())
    groups = {name: [stage] for name, stage in plan.stages.items()} if verbose else plan.groups()
    rows = []
    for name, stages in groups.items():
        names = [stage.name for stage in stages]
        units, missing = sum(len(stage.units) for stage in stages), sum(why[one][0] for one in names)
        most = max(peaks[one] or 0.0 for one in names)
        rows.append(
            [
                name,
                str(units),
                str(missing),
                size(most) if most else "",
                _range(flow, stages, sum(disks[one] for one in names)),
                _together([why[n][1] for n in names]),
            ]
        )
    whole = _range(flow, plan.stages.values(), total)
    lines = [
        table(["stage", "units", "to run", "memory", "disk", "why"], rows, right=(1, 2, 3, 4)),
        "",
        f"raw input {size(plan.raw_bytes)}, about {size(flow.text)} of text, {whole} on disk when done",
        f"memory: {size(plan.memory)} for each worker; that is the recipe's `memory`",
    ]
    found: dict[str, Any] = {"stages": data, "raw_bytes": plan.raw_bytes, "disk": total, "memory": plan.memory}
    chooses = [flow.documents(stage) / 8 for stage in plan.stages.values() if stage.kind == "choose"]
    if chooses:
        found["dedup_bits"] = max(chooses)
        lines[-1] += f"; of it dedup holds one bit for each document, about {size(max(chooses))}"
    lines += [
        f"`{name}` is predicted to take {size(most)}, more than `memory` allows"
        for name, most in peaks.items()
        if most is not None and most > plan.memory and why[name][0]
    ]
    lines += [f"a unit of {asked}" for asked in larger]
    for stage in plan.stages.values():
        if stage.kind == "bands":
            params = spec_of(stage, Compared).params
            found["lsh"] = _curve(params)
            lines += _said(params, found["lsh"])
    return "\n".join(lines), found


def _range(flow: Flow, stages: Collection[Stage], predicted: float) -> str:
    """Bytes of disk: how many at most, where filters or dedup take of it; within a factor of `AVERAGE`, if guessed."""
    if not predicted:
        return ""
    if any(flow.guessed(stage) for stage in stages):
        return f"{size(predicted / AVERAGE)} to {size(predicted * AVERAGE)}"
    return "up to " * any(stage.name in flow.at_most for stage in stages) + size(predicted)


def _together(reasons: list[str]) -> str:
    """Why some stages run, in the words of the first whose own parameters changed."""
    different = sorted(
        set(reasons) - {"complete"}, key=lambda reason: (reason.startswith("needs "), reasons.index(reason))
    )
    more = f" (and {len(different) - 1} more: --verbose)" if len(different) > 1 else ""
    return different[0] + more if different else "complete"


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
    lines = [
        f"minhash: {params.bands} bands x {params.rows} rows; share of pairs caught, by their similarity:",
        *caught,
    ]
    return lines + ["share of dissimilar pairs that share a band:", *unlike, f"  {what}"] * bool(unlike)


def _shares(curve: dict[float, float]) -> list[str]:
    """Three on a line."""
    said = [f"{f'J={j:g}:':<7}{100 * share:6.1f} %" for j, share in curve.items()]
    return ["  " + "   ".join(said[i : i + 3]) for i in range(0, len(said), 3)]
