"""What a root holds that its recipe no longer needs: `corpuskit gc` finds it, says what goes with it, and removes it.

Needed is what the plan of the last run names: its stages with the units of today, their parts, the stored values of its
signals, and what is published; of earlier runs, what they were asked and did, but no page of them except the newest.
A receipt goes before its parts, so that a kill leaves nothing that looks complete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from corpuskit.core.kinds import spec_of
from corpuskit.core.plan import Plan
from corpuskit.core.spec import Spec
from corpuskit.core.tables import size, table
from corpuskit.documents.kinds import Segment
from corpuskit.errors import UsageError
from corpuskit.run.seal import unsealed
from corpuskit.store.receipts import receipt_key
from corpuskit.store.removed import refuse_pending
from corpuskit.store.root import Root
from corpuskit.store.scratch import at_work
from corpuskit.store.shown import PAGE, SHOWN, TABLES


@dataclass
class Unneeded:
    """What would go of one folder.

    Attributes:
        folder: its path below the root. what: `stage` (no stage of the plan), `units` (of a stage of the plan, which
            has others now), `signal` (values that no step of the plan gives), `scratch`, or `pages` (reports of earlier
            runs, and tables of their views).
        keys: contents to remove. bytes: that this frees.
        units: that are then no more complete. run: the last run whose plan has them, if any has.
    """

    folder: str
    what: str
    keys: list[str] = field(default_factory=list)
    bytes: int = 0
    units: int = 0
    run: str | None = None

    def as_json(self) -> dict[str, Any]:
        """All but the keys, which are counted."""
        about = {name: getattr(self, name) for name in ("folder", "what", "bytes", "units", "run")}
        return about | {"files": len(self.keys)}

    @property
    def breaks(self) -> str:
        """What is lost with it."""
        if self.what == "pages":
            return "reports, and tables of views: what those runs were asked and did stays"
        if self.what == "scratch":
            return "nothing: a process that is gone left it"
        if self.what == "signal":
            return "the values: a recipe that has this step again scores all documents anew"
        if self.run is None:
            return "nothing that a run of this root would find"
        units = "unit" if self.units == 1 else "units"
        return f"the recipe of {self.run} runs {self.units:,} {units} again"


@dataclass(frozen=True)
class Garbage:
    """All that would go, and the bytes of checkpoints of earlier trainings, which stay."""

    found: list[Unneeded]
    checkpoints: dict[str, int]

    @property
    def bytes(self) -> int:
        """That removal frees."""
        return sum(one.bytes for one in self.found)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "folders": [one.as_json() for one in self.found],
            "files": sum(len(one.keys) for one in self.found),
            "bytes": self.bytes,
            "checkpoints_kept": self.checkpoints,
        }

    def render(self) -> str:
        """A line a folder, for people."""
        if not self.found:
            lines = ["nothing is unneeded"]
        else:
            rows = [[one.folder, one.what, f"{len(one.keys):,}", size(one.bytes), one.breaks] for one in self.found]
            lines = [table(["folder", "what", "files", "frees", "what is lost"], rows, right=(2, 3))]
            lines += ["", f"{sum(len(one.keys) for one in self.found):,} files, {size(self.bytes)}"]
        if self.checkpoints:
            lines += [
                "",
                "checkpoints of earlier trainings stay, but what they saw cannot be traced once their shards are gone:",
            ]
            lines += [f"  {name}, {size(count)}" for name, count in self.checkpoints.items()]
        return "\n".join(lines)


def unneeded(root: Root, plan: Plan) -> Garbage:
    """What the last run of a root does not need.

    Args:
        root: of the run. plan: of its last run.

    Raises:
        UsageError: a run is at work in it, or the last one has not come to its end, so that what is published is of an
            earlier one.
    """
    refuse_pending(root.store)
    if any(at_work(folder) for folder in root.store.scratches()):
        raise UsageError(f"a run is at work in {root.url}", "wait until it has ended")
    if older := unsealed(plan, root):
        raise UsageError(
            f"{', '.join(older)} in {root.url} are of an earlier run: the last one has not come to its end",
            "run the recipe to its end first",
        )
    listed = root.store.list("stages")
    wanted = _wanted(root, plan)
    runs = _runs(root)
    found: dict[str, Unneeded] = {}
    for key in listed:
        folder, _, rest = key.removeprefix("stages/").partition("/")
        if folder == "content" or {rest, rest.rpartition("/")[0]} & wanted.get(folder, set()):
            continue
        name = rest.partition("/")[2].partition("/")[0]
        if rest.startswith("scratch/") and at_work(root.store.scratch(folder, name)) is None:
            continue  # another machine's
        what = "scratch" if rest.startswith("scratch/") else _what(folder, wanted)
        one = found.setdefault(f"{folder} {what}", Unneeded(f"stages/{folder}", what))
        one.keys.append(key)
        if rest.startswith("receipts/"):
            one.units += 1
            one.run = max(one.run or "", runs.get(rest.removeprefix("receipts/").removesuffix(".json"), "")) or None
    gone = {key for one in found.values() for key in one.keys}
    content = _content(root, gone)
    if content:
        found["content"] = Unneeded("stages/content", "units", content)
    in_runs = root.store.list("runs")
    if pages := _pages(root.runs(), in_runs):
        found["runs"] = Unneeded("runs", "pages", pages)
    _measure(root, found.values(), {**listed, **in_runs})
    return Garbage(sorted(found.values(), key=lambda one: (one.folder, one.what)), _checkpoints(root, plan))


def remove(root: Root, found: Garbage) -> None:
    """Remove it: what leads to receipts, then receipts, then parts."""
    keys = [key for one in found.found for key in one.keys]
    content = [key for key in keys if key.startswith("stages/content/")]
    receipts = [key for key in keys if "/receipts/" in key]
    with root.store.sealing():
        for some in (content, receipts, set(keys).difference(content, receipts)):
            root.store.delete(sorted(some))


def _wanted(root: Root, plan: Plan) -> dict[str, set[str]]:
    """By folder below `stages/`, what of it is needed: paths, and of signals folders."""
    found: dict[str, set[str]] = {}
    for stage in plan.stages.values():
        keep = found[stage.folder] = {"stage.json"}
        for receipt in root.complete(stage):
            keep.add(f"receipts/{receipt.key}.json")
            keep |= {part.key.removeprefix(f"stages/{stage.folder}/") for part in receipt.parts.values()}
        if isinstance(spec := spec_of(stage, Spec), Segment):
            for call, identity in zip(spec.calls, spec.steps, strict=True):
                if call.signal is not None:
                    folder = f"signal-{identity['step'].replace(':', '-')}-{call.signal}"
                    found.setdefault(folder, set()).update(f"columns/{unit.origin}" for unit in stage.units)
    return found


def _pages(runs: list[str], there: Collection[str]) -> list[str]:
    """What earlier runs show, but for the newest report and the newest tables, which a later run need not have made."""
    reports = [page for run in runs if (page := f"{run}/{PAGE}") in there]
    tables = [run for run in runs if f"{run}/{SHOWN}" in there][-1:]
    shown = {f"{run}/{name}" for run in runs[:-1] if run not in tables for name in (SHOWN, *TABLES)}
    return sorted(shown.intersection(there).union(reports[:-1]))


def _what(folder: str, wanted: dict[str, set[str]]) -> str:
    if folder.startswith("signal-"):
        return "signal"
    return "units" if folder in wanted else "stage"


def _runs(root: Root) -> dict[str, str]:
    """By unit key, the last run whose plan has it."""
    return {unit.key: run for run in root.runs() for stage in root.plan_of(run).stages.values() for unit in stage.units}


def _content(root: Root, gone: set[str]) -> list[str]:
    """Entries of the index by content whose unit goes, or is gone."""
    keys = list(root.store.list("stages/content"))
    found = []
    for key, content in zip(keys, root.store.get_all(keys), strict=True):
        try:
            place = orjson.loads(content or b"")
            receipt = receipt_key(place["folder"], place["key"])
        except (orjson.JSONDecodeError, KeyError):
            found.append(key)
            continue
        if receipt in gone or root.store.size(receipt) is None:
            found.append(key)
    return found


def _measure(root: Root, found: Iterable[Unneeded], sizes: dict[str, int]) -> None:
    """Count the bytes that go: of a file with several names only where all of them do."""
    if root.store.path is None:
        for one in found:
            one.bytes = sum(sizes.get(key, 0) for key in one.keys)
        return
    files = {key: (root.store.path / key).stat() for one in found for key in one.keys}
    names = Counter((status.st_dev, status.st_ino) for status in files.values())
    counted = set()
    for one in found:
        for key in one.keys:
            status = files[key]
            file = status.st_dev, status.st_ino
            if names[file] == status.st_nlink and file not in counted:
                counted.add(file)
                one.bytes += status.st_size


def _checkpoints(root: Root, plan: Plan) -> dict[str, int]:
    """Bytes of the checkpoints that the plan does not make, by folder."""
    units = {unit.key for stage in plan.stages.values() for unit in stage.units}
    found: Counter[str] = Counter()
    for key, count in root.store.list("checkpoints").items():
        folder = key.split("/")[1]
        if folder.removeprefix("proxy-").removesuffix(".lock") not in units:
            found[f"checkpoints/{folder}"] += count
    return dict(sorted(found.items()))
