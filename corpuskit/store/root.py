"""The run folder: receipts and parts of units, and the folders that `seal` publishes for people.

Readers trust receipts, never listings. A receipt is put last and atomically, and only if none is there: so a receipt
exists if and only if its parts are complete.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import orjson

from corpuskit.core.kinds import kind_of
from corpuskit.core.plan import Plan, Stage
from corpuskit.core.work import HISTORY, Part, Receipt, Work, made_with
from corpuskit.errors import UsageError
from corpuskit.store.files import fsync_folder, link_or_copy, put


class Root:
    """One run folder on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contents: dict[tuple[str, str], str] = {}
        """Digests of all that the units of a stage gave, for `corpuskit.reuse`."""
        self._receipts: dict[str, dict[str, Receipt]] = {}

    def folder(self, stage: Stage) -> Path:
        """The folder of a stage."""
        return self.path / "stages" / stage.folder

    def receipt(self, stage: Stage, number: int) -> Receipt | None:
        """The receipt of a unit, if it is complete; parts that have vanished make it incomplete."""
        found = self.receipt_in(stage.folder, stage.units[number].key, stage)
        return dataclasses.replace(found, unit=number) if found is not None else None

    def receipt_in(self, folder: str, key: str, stage: Stage) -> Receipt | None:
        """The receipt of the unit `key` in the folder of any plan's stage, if it would do for a unit of `stage`."""
        known = self._receipts.setdefault(folder, {})
        if key not in known:
            try:
                data = orjson.loads((self.path / "stages" / folder / "receipts" / f"{key}.json").read_bytes())
            except FileNotFoundError:
                return None
            known[key] = self._parse(stage, folder, data)
        if self._stands(known[key], stage):
            return known[key]
        del known[key]  # another process may complete it
        return None

    def _stands(self, found: Receipt, stage: Stage) -> bool:
        """Whether a unit is as its receipt says."""
        if stage.run.get("on_error") == "fail" and found.facts.get("unreadable"):
            return False  # it stands under `on_error: drop` only
        if "checkpoint" in found.facts and not (self.path / found.facts["checkpoint"]).exists():
            return False
        for part in found.parts.values():
            try:
                if part.path.stat().st_size != part.bytes:
                    return False
            except FileNotFoundError:
                return False
        return True

    def _parse(self, stage: Stage, folder: str, data: dict[str, Any]) -> Receipt:
        parts = {
            name: Part(name, self.path / "stages" / folder / "parts" / part.pop("file"), **part)
            for name, part in data.pop("parts").items()
        }
        return Receipt(stage=stage.name, unit=0, parts=parts, **data)

    def receipts(self, stage: Stage) -> list[Receipt]:
        """Receipts of all units of a stage, in unit order.

        Raises:
            UsageError: a unit is not complete.
        """
        found = [self.receipt(stage, number) for number in range(len(stage.units))]
        missing = found.count(None)
        if missing:
            raise UsageError(
                f"{missing} of {len(found)} units of `{stage.name}` are not complete", "run the recipe first"
            )
        return [receipt for receipt in found if receipt is not None]

    def complete(self, stage: Stage) -> list[Receipt]:
        """Receipts of the units of a stage that are complete, in unit order."""
        found = (self.receipt(stage, number) for number in range(len(stage.units)))
        return [receipt for receipt in found if receipt is not None]

    def commit(self, stage: Stage, work: Work, seconds: float, cpu_seconds: float, peak: int) -> None:
        """Put the parts of a unit, then its receipt."""
        unit = stage.units[work.unit]
        folder, once = self._ready(stage, work.unit)
        parts = {}
        for name, (path, publish, rows) in sorted(work.pending.items()):
            final = folder / "parts" / f"{unit.key}-{path.name}"
            with path.open("rb+") as stream:
                sha = hashlib.file_digest(stream, "sha256").hexdigest()
                os.fsync(stream.fileno())
            size = path.stat().st_size
            path.replace(final)
            parts[name] = {"file": final.name, "rows": rows, "bytes": size, "digest": sha, "publish": publish}
        receipt = {
            "key": unit.key,
            "content": work.key if work.key != unit.key else None,
            "label": unit.label,
            "parts": parts,
            "books": {domain: dict(sorted(counts.items())) for domain, counts in sorted(work.books.items())},
            "facts": work.facts,
            "inputs": work.read,
            "versions": made_with(kind_of(stage).packages),
            "seconds": round(seconds, 3),
            "cpu_seconds": round(cpu_seconds, 3),
            "peak_bytes": peak,
        }
        self._put_receipt(stage, receipt, once=once)

    def adopt(self, stage: Stage, number: int, earlier: Receipt, scratch: Path) -> bool:
        """Give a unit the parts of an earlier one, by hard links, then a receipt that says so.

        Returns:
            Whether it did; False if a part of the earlier unit went or was cut short meanwhile.
        """
        unit = stage.units[number]
        folder, once = self._ready(stage, number)
        parts = {}
        for name, part in sorted(earlier.parts.items()):
            final = folder / "parts" / f"{unit.key}-{part.path.name.removeprefix(f'{earlier.key}-')}"
            waiting = scratch / final.name
            try:
                link_or_copy(part.path, waiting)
            except FileNotFoundError:
                return False
            if waiting.stat().st_size != part.bytes:
                return False
            waiting.replace(final)
            about = {"rows": part.rows, "bytes": part.bytes, "digest": part.digest, "publish": part.publish}
            parts[name] = {"file": final.name, **about}
        receipt = {
            "key": unit.key,
            "content": earlier.content,
            "reused": earlier.reused or earlier.key,
            "label": unit.label,
            "parts": parts,
            "books": earlier.books,
            "facts": {name: fact for name, fact in earlier.facts.items() if name not in HISTORY},
            "inputs": earlier.inputs,
            "versions": earlier.versions,
            "seconds": 0.0,
            "cpu_seconds": 0.0,
            "peak_bytes": 0,
        }
        self._put_receipt(stage, receipt, once=once)
        return True

    def _ready(self, stage: Stage, number: int) -> tuple[Path, bool]:
        """The stage's folder, made; and whether the unit's receipt is there and stands: then it is left alone."""
        folder = self.folder(stage)
        (folder / "parts").mkdir(parents=True, exist_ok=True)
        (folder / "receipts").mkdir(parents=True, exist_ok=True)
        return folder, self.receipt(stage, number) is not None

    def _put_receipt(self, stage: Stage, receipt: dict[str, Any], *, once: bool) -> None:
        folder = self.folder(stage)
        fsync_folder(folder / "parts")
        content = orjson.dumps(receipt, option=orjson.OPT_INDENT_2)
        put(folder / "receipts" / f"{receipt['key']}.json", content, once=once)
        self._receipts.get(stage.folder, {}).pop(receipt["key"], None)

    def latest_run(self) -> Path:
        """The folder of the last run.

        Raises:
            UsageError: there was none.
        """
        found = sorted((self.path / "runs").glob("*/plan.json"))
        if not found:
            raise UsageError(f"{self.path} holds no run", "corpuskit run RECIPE --root DIR makes one")
        return found[-1].parent

    def latest_plan(self) -> Plan | None:
        """The plan of the last run in this root, if there was one."""
        found = sorted((self.path / "runs").glob("*/plan.json"))
        return Plan.parse(found[-1].read_text()) if found else None

    def require_plan(self) -> Plan:
        """The plan of the last run.

        Raises:
            UsageError: there was none.
        """
        return Plan.parse((self.latest_run() / "plan.json").read_text())

    def new_run(self, recipe_text: str, resolved: str, plan: Plan) -> Path:
        """The folder of a new run, with what it was asked to do.

        Raises:
            UsageError: the root belongs to a recipe of another name.
        """
        before = self.latest_plan()
        self.refuse_other(before, plan)
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        for attempt in range(1000):
            folder = self.path / "runs" / (f"{stamp}-{attempt:03d}")
            with contextlib.suppress(FileExistsError):
                folder.mkdir(parents=True)
                break
        (folder / "recipe.yaml").write_text(recipe_text)
        (folder / "resolved.yaml").write_text(resolved)
        put(folder / "env.json", json.dumps(_environment(), indent=1).encode())
        put(folder / "plan.json", plan.dump().encode())
        return folder

    def refuse_other(self, before: Plan | None, plan: Plan) -> None:
        """One root belongs to one recipe name, a sample has a root of its own, and no run is compared with itself.

        Raises:
            UsageError: the root is another recipe's, of another sample, or named by `against`.
        """
        if before is not None and before.recipe != plan.recipe:
            raise UsageError(
                f"{self.path} belongs to the recipe `{before.recipe}`, not to `{plan.recipe}`",
                f"give this recipe a root of its own: --root runs/{plan.recipe}",
            )
        if before is not None and before.sample != plan.sample:
            was = "the whole corpus" if before.sample is None else f"a sample of {before.sample:g}"
            raise UsageError(f"{self.path} holds {was}", "give a sample a root of its own: leave out --root")
        own = [
            unit
            for stage in plan.stages.values()
            for unit in stage.units
            if stage.name.rpartition("signatures-against-")[1]
            and Path(unit.inputs[0]["path"]).resolve().is_relative_to(self.path.resolve())
        ]
        if own:
            raise UsageError(
                f"`against` names {self.path}, the root of this very run: all would be duplicates of themselves",
                "give this run a root of its own: --root DIR, or leave `against` out",
            )

    def describe(self, plan: Plan) -> None:
        """Write `stage.json` into each stage's folder: what its key was hashed from."""
        for stage in plan.stages.values():
            path = self.folder(stage) / "stage.json"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                put(path, json.dumps(plan.described(stage.name), indent=1, sort_keys=True).encode())


def _environment() -> dict[str, Any]:
    import importlib.metadata

    versions = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions() if d.metadata["Name"]}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "packages": dict(sorted(versions.items())),
    }
