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
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from corpuskit.errors import UsageError
from corpuskit.graph import Plan, Stage
from corpuskit.unit import HISTORY, Part, Receipt, Work, made_with


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
        del known[key]  # another process may mend it
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
            "versions": made_with(stage.kind),
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
                _link_or_copy(part.path, waiting)
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
        _fsync_folder(folder / "parts")
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


def scratch_name(key: str) -> str:
    """The name of the folder that a unit works in: its key, and the machine and process that work on it."""
    return f"{key}-{platform.node()}-{os.getpid()}"


def at_work(scratch: Path) -> bool | None:
    """Whether the process behind a scratch folder lives; None if it is another machine's."""
    _, _, rest = scratch.name.partition("-")
    machine, _, process = rest.rpartition("-")
    if machine != platform.node() or not process.isdigit():
        return None
    return _lives(int(process))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    # a process that was killed is a zombie until its parent asks for it: an orphan in a container, perhaps for ever
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    return True


def _environment() -> dict[str, Any]:
    import importlib.metadata

    versions = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions() if d.metadata["Name"]}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "packages": dict(sorted(versions.items())),
    }


def put(path: Path, content: bytes, *, once: bool = False) -> None:
    """Write a file so that it is there whole or not at all; with `once`, only if none is there."""
    waiting = path.with_name(f".{path.name}.{os.getpid()}")
    with waiting.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    if once:
        with contextlib.suppress(FileExistsError):
            os.link(waiting, path)
        waiting.unlink()
    else:
        waiting.replace(path)
    _fsync_folder(path.parent)


def _fsync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link(source: Path, target: Path) -> None:
    """Put a hard link (a copy where the file system has none) in place of whatever stands at `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    waiting = target.with_name(f".{target.name}.{os.getpid()}")
    waiting.unlink(missing_ok=True)
    _link_or_copy(source, waiting)
    waiting.replace(target)


def _link_or_copy(source: Path, target: Path) -> None:
    """A hard link, or a copy that is on disk when this returns."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
        with target.open("rb+") as stream:
            os.fsync(stream.fileno())


def other_versions(root: Root, stages: Iterable[Stage]) -> list[str]:
    """What of the complete units of some stages was made with other versions than are here, a sentence a version."""
    found: dict[tuple[str, str, str], Counter[str]] = {}
    for stage in stages:
        here = made_with(stage.kind)
        for receipt in root.complete(stage):
            for package, version in receipt.versions.items():
                if version != here.get(package):
                    units = found.setdefault((package, version, here.get(package, "not installed")), Counter())
                    units[stage.name] += 1
    return [
        f"{sum(units.values())} complete unit(s) were made with {package} {then}; here it is {now} "
        f"({', '.join(list(units)[:3])}{f' and {len(units) - 3} more stages' if len(units) > 3 else ''})"
        for (package, then, now), units in sorted(found.items())
    ]


def publish(root: Root, stages: Iterable[Stage], folders: Iterable[str], facts: dict[str, Any]) -> int:
    """Fill published folders from the parts of complete stages; `_manifest.json` last, older files removed after.

    Returns:
        The number of files that were put or removed.
    """
    changed = 0
    wanted: dict[str, dict[str, Part]] = {folder: {} for folder in folders}
    for stage in stages:
        for receipt in root.receipts(stage):
            for part in receipt.parts.values():
                if part.publish is not None:
                    folder, _, rest = part.publish.partition("/")
                    wanted.setdefault(folder, {})[rest] = part
    for folder, parts in wanted.items():
        base = root.path / folder
        base.mkdir(parents=True, exist_ok=True)
        for rest, part in parts.items():
            target = base / rest
            if not (target.exists() and target.samefile(part.path)):
                link(part.path, target)
                changed += 1
        manifest = {
            "files": {
                rest: {"rows": part.rows, "bytes": part.bytes, "sha256": part.digest}
                for rest, part in sorted(parts.items())
            },
            **facts,
        }
        put(base / "_manifest.json", json.dumps(manifest, indent=1, sort_keys=True).encode())
        for path in _files(base):
            if path.relative_to(base).as_posix() not in parts and path.name != "_manifest.json":
                path.unlink(missing_ok=True)
                changed += 1
        for path in sorted(base.rglob("*"), reverse=True):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
    return changed


def _files(base: Path) -> Iterator[Path]:
    return (path for path in sorted(base.rglob("*")) if path.is_file())
