"""Progress of a running, detached or stopped run, from its receipts: what `corpuskit status` prints."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import orjson

from corpuskit.core.plan import Plan, Stage
from corpuskit.core.tables import counted, size, table
from corpuskit.engines.slurm import failures
from corpuskit.run.seal import unpublished
from corpuskit.store.root import Root
from corpuskit.store.scratch import at_work

SHOWN_FAILURES = 10

FAR_SLOWER = 10
"""A unit at work that has taken so many times what the slowest complete one of its stage took is named,"""
AT_LEAST_SECONDS = 60.0
"""but not before."""


def as_json(root: Root) -> dict[str, Any]:
    """Progress for programs.

    Returns:
        recipe, run; stages: per stage its units, complete, reused (complete ones that have the parts of an earlier
        unit), at_work (units whose worker lives on this machine), rows (of the largest part of each unit), bytes of
        all parts, seconds (summed over units), peak_bytes; failures: of the last run, of units that are still not
        complete; slow: units at work for far longer than any complete one of their stage took;
        unpublished: folders that the plan publishes and has not; last_activity: seconds since the epoch, or None.

    Raises:
        UsageError: there was no run in this root.
    """
    plan, folder = root.require_plan(), root.latest_run()
    log = _log(root, folder) + _failed_in_arrays(root, plan, folder)
    failures = [entry for entry in _last_attempts(log) if "error" in entry and not _complete(root, plan, entry)]
    return {
        "recipe": plan.recipe,
        "run": folder.removeprefix("runs/"),
        "stages": [_stage(root, stage) for stage in plan.stages.values()],
        "failures": failures,
        "slow": _slow(root, plan, log),
        "unpublished": unpublished(plan, root),
        "last_activity": _last_activity(root, plan, folder),
    }


def _stage(root: Root, stage: Stage) -> dict[str, Any]:
    complete = root.complete(stage)
    parts = [part for receipt in complete for part in receipt.parts.values()]
    return {
        "stage": stage.name,
        "units": len(stage.units),
        "complete": len(complete),
        "reused": sum(receipt.reused is not None for receipt in complete),
        "at_work": _at_work(root, stage),
        "rows": sum(max((part.rows for part in receipt.parts.values()), default=0) for receipt in complete),
        "bytes": sum(part.bytes for part in parts),
        "seconds": round(sum(receipt.seconds for receipt in complete), 3),
        "peak_bytes": max((receipt.peak_bytes for receipt in complete), default=0),
    }


def _at_work(root: Root, stage: Stage) -> int:
    """Units that a process on this machine works on."""
    return sum(at_work(path) is True for path in root.store.scratches(stage.folder))


def _any_at_work(root: Root) -> bool:
    """Whether a process is at work on any unit, or may be: those of other machines cannot be asked."""
    return any(at_work(path) is not False for path in root.store.scratches())


def _log(root: Root, folder: str) -> list[dict[str, Any]]:
    """Entries of a run's log but those that were cut short."""
    try:
        content = root.store.get(f"{folder}/log.jsonl")
    except FileNotFoundError:
        return []
    found = []
    for line in content.splitlines(keepends=True):
        with contextlib.suppress(orjson.JSONDecodeError):  # a kill or a full disk cut it short
            found.append(orjson.loads(line))
    return found


def _slow(root: Root, plan: Plan, log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Units at work, as their scratch folders and the log say, that take far longer than those like them."""
    found = []
    for entry in _last_attempts(log):
        if entry.get("event") != "started" or entry["stage"] not in plan.stages:
            continue
        stage, taken = plan.stages[entry["stage"]], time.time() - entry["time"]
        usual = max((receipt.seconds for receipt in root.complete(stage)), default=None)
        key = f"{stage.units[entry['unit']].key}-"
        lives = any(path.name.startswith(key) and at_work(path) for path in root.store.scratches(stage.folder))
        if usual is not None and lives and taken > max(AT_LEAST_SECONDS, FAR_SLOWER * usual):
            about = {name: entry[name] for name in ("stage", "unit", "label")}
            found.append({**about, "seconds": round(taken, 1), "slowest_other": usual})
    return found


def _failed_in_arrays(root: Root, plan: Plan, folder: str) -> list[dict[str, Any]]:
    """What Slurm's tasks wrote of failed units: the process of the run may have ended before."""
    return [
        {**task._asdict(), "label": plan.stages[task.stage].units[task.unit].label, "error": failure.message}
        for task, failure in (failures(root.store.path / folder) if root.store.path is not None else ())
    ]


def _last_attempts(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({(entry["stage"], entry["unit"]): entry for entry in log if "stage" in entry}.values())


def _complete(root: Root, plan: Plan, entry: dict[str, Any]) -> bool:
    return entry["stage"] in plan.stages and root.receipt(plan.stages[entry["stage"]], entry["unit"]) is not None


def _last_activity(root: Root, plan: Plan, folder: str) -> float | None:
    """When the newest receipt of this plan or line of its log was written."""
    keys = [f"{folder}/log.jsonl", *(f"stages/{stage.folder}/receipts" for stage in plan.stages.values())]
    return max((found for key in keys if (found := root.store.changed(key)) is not None), default=None)


def render(root: Root, *, verbose: bool = False) -> str:
    """Progress for people: a line for the stages of all sources together, then failures and the last activity.

    Args:
        verbose: a line a stage.
    """
    found = as_json(root)
    stages = found["stages"] if verbose else _grouped(root.require_plan(), found["stages"])
    rows = [
        [
            stage["stage"],
            f"{stage['complete']:,} / {stage['units']:,}",
            str(stage["at_work"] or ""),
            f"{stage['rows']:,}",
            size(stage["bytes"]),
            f"{stage['seconds']:,.1f}",
            size(stage["peak_bytes"]),
        ]
        for stage in stages
    ]
    complete, units, reused = (
        sum(stage[name] for stage in found["stages"]) for name in ("complete", "units", "reused")
    )
    taken = f", {reused:,} of them reused" if reused else ""
    lines = [
        f"{found['recipe']}, run {found['run']}: {complete:,} of {units:,} units complete{taken}",
        "",
        table(["stage", "units", "at work", "rows", "on disk", "seconds", "peak memory"], rows, right=range(1, 7)),
    ]
    lines += [
        f"slow: {one['stage']}:{one['unit']} ({one['label']}) has been at work for {_duration(one['seconds'])}; "
        f"the slowest complete one took {one['slowest_other']:.1f} s. `timeout:` in the recipe ends such units"
        for one in found["slow"]
    ]
    if complete == units and found["unpublished"]:
        lines += ["", f"not published yet: {', '.join(f'`{folder}/`' for folder in found['unpublished'])}"]
    if (complete < units or found["unpublished"]) and not _any_at_work(root):
        again = f"corpuskit run RECIPE --root {root.url}"
        lines += ["", f"no process of this machine is at work on it, and none of another is known of; {again} goes on"]
    lines += _failures(found["failures"])
    if found["last_activity"] is not None:
        ago = max(0.0, time.time() - found["last_activity"])
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(found["last_activity"]))
        lines += ["", f"last activity: {when}, {_duration(ago)} ago"]
    return "\n".join(lines)


def _grouped(plan: Plan, stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of stages summed up by `Plan.groups`; of peaks the largest."""
    by_name = {stage["stage"]: stage for stage in stages}
    found = []
    for name, group in plan.groups().items():
        rows = [by_name[stage.name] for stage in group]
        sums = {key: sum(row[key] for row in rows) for key in rows[0] if key not in ("stage", "peak_bytes")}
        found.append({"stage": name, **sums, "peak_bytes": max(row["peak_bytes"] for row in rows)})
    return found


def _failures(failures: list[dict[str, Any]]) -> list[str]:
    if not failures:
        return []
    lines = ["", f"{counted(len(failures), 'unit')} failed in the last run:"]
    for entry in failures[:SHOWN_FAILURES]:
        lines.append(f"  {entry['stage']}:{entry['unit']} ({entry['label']})")
        lines += [f"      {line}" for line in entry["error"].splitlines()]
    if len(failures) > SHOWN_FAILURES:
        lines.append(f"  and {len(failures) - SHOWN_FAILURES} more; see log.jsonl of the run")
    return lines


def _duration(seconds: float) -> str:
    for count, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= count:
            return f"{seconds / count:.1f} {unit}"
    return f"{seconds:.0f} s"
