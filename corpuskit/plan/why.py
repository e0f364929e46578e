"""What is done of a plan, and why a stage would run.

Why is the difference between what its key was hashed from now and in the last run of this root.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from corpuskit.core.flow import Amount, Done
from corpuskit.core.plan import Plan, Stage
from corpuskit.core.tables import counted
from corpuskit.store.root import Root


def done(plan: Plan, root: Root) -> dict[str, Done]:
    """What the units of each stage that are done have left, from their receipts; of stages of which some are."""
    found = {}
    for name, stage in plan.stages.items():
        raw_of = {unit.key: unit.bytes for unit in stage.units}
        units = raw = parts = text = documents = 0
        for receipt in root.each_complete(stage):
            units += 1
            raw += raw_of[receipt.key]
            parts += sum(part.bytes for part in receipt.parts.values())
            told = [receipt.facts[each] for each in ("docs", "corpus") if each in receipt.facts]
            text, documents = text + sum(one["bytes"] for one in told), documents + sum(one["rows"] for one in told)
        if units:
            left = Amount(text, documents) if stage.kind == "segment" else None
            found[name] = Done(units, raw, parts, left)
    return found


def reasons(plan: Plan, before: Plan | None, done: Mapping[str, Done]) -> dict[str, tuple[int, str]]:
    """For each stage, how many of its units would run, and why in a few words."""
    found = {}
    for name, stage in plan.stages.items():
        missing = len(stage.units) - (done[name].units if name in done else 0)
        found[name] = (missing, _why(plan, before, name, missing) if missing else "complete")
    return found


def _why(plan: Plan, before: Plan | None, name: str, missing: int) -> str:
    stage = plan.stages[name]
    old = before.stages.get(name) if before is not None else None
    if before is None or old is None:
        return "new"
    if old.key != stage.key:
        now, then = plan.described(name), before.described(name)
        changed = list(differences(then, now))
        own = [text for path, text in changed if not path.startswith("needs.")]
        if own:
            return "; ".join(own[:3]) + (f"; and {len(own) - 3} more" if len(own) > 3 else "")
    stale = sorted({need.stage for need in stage.needs.values() if _moved(plan, before, need.stage)})
    if stale:
        return (
            f"needs {', '.join(stale[:3])}"
            + (f" and {len(stale) - 3} more" if len(stale) > 3 else "")
            + ", which changed"
            + (" (reused where its own inputs did not)" if _one_to_one(stage) else "")
        )
    keys = {unit.key for unit in old.units}
    new = sum(unit.key not in keys for unit in stage.units)
    return counted(new, "new or changed file group") if new else f"{missing} of {len(stage.units)} units not complete"


def _one_to_one(stage: Stage) -> bool:
    return any(need.how == "each" for need in stage.needs.values())


def _moved(plan: Plan, before: Plan, name: str) -> bool:
    old = before.stages.get(name)
    return old is None or [u.key for u in old.units] != [u.key for u in plan.stages[name].units]


def differences(then: Any, now: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Where two values of JSON differ, and how in a few words: (path, text)."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in sorted(then.keys() | now.keys()):
            yield from differences(then.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for number, (a, b) in enumerate(zip(then, now, strict=True)):
            yield from differences(a, b, f"{path}[{_label(b, number)}]")
    elif isinstance(then, list) and isinstance(now, list):
        gone = [_label(item, n) for n, item in enumerate(then) if item not in now]
        new = [_label(item, n) for n, item in enumerate(now) if item not in then]
        said = [f"without {', '.join(gone)}"] * bool(gone) + [f"with {', '.join(new)}"] * bool(new)
        yield path, f"{path.removeprefix('spec.')}: " + ("; ".join(said) or "in another order")
    elif then != now:
        yield path, f"{path.removeprefix('spec.')}: {_short(then)} -> {_short(now)}"


def _label(item: Any, number: int) -> str:
    if isinstance(item, dict):
        return str(item.get("rule") or item.get("source") or item.get("barrier") or number)
    return str(number) if not isinstance(item, str) else item


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
