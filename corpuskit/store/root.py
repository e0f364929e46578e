"""The root of a run: receipts and parts of units, and the folders that `seal` publishes for people.

Readers trust receipts, never listings. A receipt is put last and atomically, and only if none is there: so a receipt
exists if and only if its parts are complete. A receipt that is damaged is none: its unit runs again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import email
import email.message
import functools
import hashlib
import itertools
import json
import os
import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from corpuskit.core.checksum import Damaged, digests, parse_record, with_sum
from corpuskit.core.kinds import kind_of, spec_of
from corpuskit.core.plan import Plan, Stage
from corpuskit.core.spec import Spec
from corpuskit.core.storage import Store
from corpuskit.core.work import HISTORY, Part, Receipt, Work, made_with
from corpuskit.errors import DamagedFile, UsageError
from corpuskit.store.local import LocalStore
from corpuskit.store.objects import ObjectStore
from corpuskit.store.receipts import RECEIPT_BYTES, Receipts, Recent, ahead, receipt_key
from corpuskit.store.removed import refuse_pending


def opened(place: str | os.PathLike[str]) -> Store:
    """The store at a path, or in a bucket (`s3://bucket/prefix`, and the other URLs that obstore knows)."""
    url = os.fspath(place)
    return ObjectStore.from_url(url) if "://" in url else LocalStore(Path(url))


STATE = "state.json"
"""What a checkpoint has when it is whole: `corpuskit.train.saved.STATE`, which is not for this room to import."""

MANIFEST = "_manifest.json"
"""What a published folder holds, with rows and digests."""


class Root:
    """What one run reads and writes.

    Args:
        place: a path, the URL of a bucket, or an open store.
        receipt_bytes: of receipts, as JSON, to remember.
    """

    def __init__(self, place: str | os.PathLike[str] | Store, receipt_bytes: int = RECEIPT_BYTES) -> None:
        self.store: Store = opened(place) if isinstance(place, str | os.PathLike) else place
        self.contents: dict[tuple[str, str], str] = {}
        """Digests of all that the units of a stage gave, for `corpuskit.run.reuse`."""
        self._recent = Recent(receipt_bytes)

    @property
    def url(self) -> str:
        """What a user calls this root."""
        return self.store.url

    @property
    def path(self) -> Path:
        """The folder of a local root.

        Raises:
            UsageError: the root is a bucket, which has none.
        """
        if self.store.path is None:
            raise UsageError(f"{self.url} is no folder of this machine", "read its contents by `Root.store`")
        return self.store.path

    def receipt(self, stage: Stage, number: int) -> Receipt | None:
        """The receipt of a unit, if it is complete; parts that have vanished make it incomplete."""
        found = self.receipt_in(stage.folder, stage.units[number].key, stage)
        return dataclasses.replace(found, unit=number) if found is not None else None

    def receipt_in(self, folder: str, key: str, stage: Stage) -> Receipt | None:
        """The receipt of the unit `key` in the folder of any plan's stage, if it would do for a unit of `stage`."""
        found = self._recent.get(folder, key)
        if found is None:
            with contextlib.suppress(FileNotFoundError, Damaged):
                found = self._read(stage, folder, key, self.store.get(receipt_key(folder, key)))
        if found is None or self._stands(found, stage):
            return found
        self._recent.drop(folder, key)  # another process may complete it
        return None

    def _stands(self, found: Receipt, stage: Stage) -> bool:
        """Whether a unit is as its receipt says."""
        if spec_of(stage, Spec).strict and found.facts.get("unreadable"):
            return False  # it stands under `on_error: drop` only
        if "checkpoint" in found.facts and self.store.size(f"{found.facts['checkpoint']}/{STATE}") is None:
            return False
        return all(self.store.size(part.key) == part.bytes for part in found.parts.values())

    def _read(self, stage: Stage, folder: str, key: str, content: bytes) -> Receipt:
        found = parse_receipt(self.store, stage.name, folder, content)
        self._recent.put(folder, key, found, len(content))
        return found

    def _present(self, stage: Stage) -> Sequence[int]:
        """Numbers of the units of a stage that have a receipt: by one listing, or none if all were read before.

        In a bucket the listing is of parts too, whose sizes the store then knows.
        """
        if all(self._recent.get(stage.folder, unit.key) is not None for unit in stage.units):
            return range(len(stage.units))
        there = self.store.list(f"stages/{stage.folder}" + ("/receipts" if self.store.path is not None else ""))
        return [n for n, unit in enumerate(stage.units) if receipt_key(stage.folder, unit.key) in there]

    def _fetch(self, stage: Stage, numbers: Iterable[int]) -> Iterator[Receipt | None]:
        """The receipts of units, many at a time; None of one that is not complete."""
        for some in ahead(numbers):
            keys = {number: stage.units[number].key for number in some}
            unread = [key for key in keys.values() if self._recent.get(stage.folder, key) is None]
            contents = self.store.get_all([receipt_key(stage.folder, key) for key in unread])
            for key, content in zip(unread, contents, strict=True):
                if content is not None:
                    with contextlib.suppress(Damaged):
                        self._read(stage, stage.folder, key, content)
            for number in some:
                yield self.receipt(stage, number)

    def receipts(self, stage: Stage) -> Sequence[Receipt]:
        """Receipts of all units of a stage, in unit order, each read when it is asked for.

        Raises:
            UsageError: a unit is not complete; also later, when its receipt is read.
        """

        def incomplete(missing: int) -> UsageError:
            text = f"{missing} of {len(stage.units)} units of `{stage.name}` are not complete"
            return UsageError(text, "run the recipe first")

        if missing := len(stage.units) - len(self._present(stage)):
            raise incomplete(missing)
        return Receipts(len(stage.units), functools.partial(self._fetch, stage), incomplete)

    def each_complete(self, stage: Stage) -> Iterator[Receipt]:
        """Receipts of the units of a stage that are complete, in unit order, one after the other."""
        return (receipt for receipt in self._fetch(stage, self._present(stage)) if receipt is not None)

    def complete(self, stage: Stage) -> list[Receipt]:
        """The same as a list."""
        return list(self.each_complete(stage))

    def commit(self, stage: Stage, work: Work[Spec], seconds: float, cpu_seconds: float, peak: int) -> None:
        """Put the parts of a unit, then its receipt."""
        unit = stage.units[work.unit]
        stands = self.receipt(stage, work.unit) is not None
        parts, files = {}, {}
        for name, (path, publish, rows) in sorted(work.pending.items()):
            file = f"{unit.key}-{path.name}"
            sha, sums = digests(path)
            size = path.stat().st_size
            files[f"stages/{stage.folder}/parts/{file}"] = path
            parts[name] = {"file": file, "rows": rows, "bytes": size, "digest": sha, "sums": sums, "publish": publish}
        self.store.put_files(files)
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
        self._put_receipt(stage, receipt, stands=stands)

    def adopt(self, stage: Stage, number: int, earlier: Receipt) -> bool:
        """Give a unit the parts of an earlier one, by links or copies, then a receipt that says so.

        Returns:
            Whether it did; False if a part of the earlier unit went or was cut short meanwhile.
        """
        unit = stage.units[number]
        stands = self.receipt(stage, number) is not None
        parts, copies = {}, {}
        for name, part in sorted(earlier.parts.items()):
            file = f"{unit.key}-{part.key.rpartition('/')[2].removeprefix(f'{earlier.key}-')}"
            copies[f"stages/{stage.folder}/parts/{file}"] = part.key
            about = ("rows", "bytes", "digest", "sums", "publish")
            parts[name] = {"file": file, **{field: getattr(part, field) for field in about}}
        try:
            self.store.copy_all(copies)
        except FileNotFoundError:
            return False
        if any(
            self.store.size(target) != part.bytes
            for target, (_, part) in zip(copies, sorted(earlier.parts.items()), strict=True)
        ):
            return False
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
        self._put_receipt(stage, receipt, stands=stands)
        return True

    def _put_receipt(self, stage: Stage, receipt: dict[str, Any], *, stands: bool) -> None:
        """Put a receipt; one that stands is left alone, one whose parts are gone is replaced."""
        key = receipt_key(stage.folder, receipt["key"])
        content = with_sum(receipt)
        if not self.store.put_new(key, content) and not stands:
            self.store.put(key, content)
        self._recent.drop(stage.folder, receipt["key"])

    def manifest(self, folder: str) -> dict[str, Any]:
        """What a published folder says of itself; nothing if it is not there, is damaged, or is being filled."""
        try:
            return parse_record(self.store.get(f"{folder}/{MANIFEST}"))
        except (FileNotFoundError, Damaged):
            return {}

    def runs(self) -> list[str]:
        """The folders of all runs, `runs/<time>`, the first one first.

        Raises:
            UsageError: the root is a file.
        """
        if self.store.path is not None and self.store.path.is_file():
            hint = "name the folder that `corpuskit run` prints: runs/<name of the recipe>, or that of --root"
            raise UsageError(f"{self.url} is a file, not the root of a run", hint)
        return [key.removesuffix("/plan.json") for key in self.store.list("runs") if key.endswith("/plan.json")]

    def latest_run(self) -> str:
        """The folder of the last run.

        Raises:
            UsageError: there was none.
        """
        found = self.runs()
        if not found:
            raise UsageError(f"{self.url} holds no run", "corpuskit run RECIPE --root DIR makes one")
        return found[-1]

    def latest_plan(self) -> Plan | None:
        """The plan of the last run in this root, if there was one."""
        found = self.runs()
        return self.plan_of(found[-1]) if found else None

    def plan_of(self, run: str) -> Plan:
        """The plan of a run.

        Raises:
            DamagedFile: it is not what was written.
        """
        content, said = self.store.get(f"{run}/plan.json"), self.manifest(run).get("files", {})
        if said and described(content) != said.get("plan.json"):
            raise DamagedFile(self.url, f"{run}/plan.json", "it is not what was written", "")
        try:
            return Plan.parse(content.decode())
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise DamagedFile(self.url, f"{run}/plan.json", f"it is no plan: {error!r}", "") from None

    def require_plan(self) -> Plan:
        """The plan of the last run.

        Raises:
            UsageError: there was none.
        """
        return self.plan_of(self.latest_run())

    def new_run(self, recipe_text: str, resolved: str, plan: Plan) -> str:
        """The folder of a new run, with what it was asked to do.

        Raises:
            UsageError: the root belongs to a recipe of another name, or a takedown in it is not complete.
        """
        before = self.latest_plan()
        self.refuse_other(before, plan)
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        if earlier := self.runs():  # a clock that was set back does not make an earlier run the last one
            stamp = max(stamp, earlier[-1].removeprefix("runs/").partition("-")[0])
        for attempt in itertools.count():
            folder = f"runs/{stamp}-{attempt:03d}"
            if self.store.put_new(f"{folder}/recipe.yaml", recipe_text.encode()):
                break
        said = {"resolved.yaml": resolved, "env.json": json.dumps(_environment(), indent=1), "plan.json": plan.dump()}
        for name, text in said.items():
            self.store.put(f"{folder}/{name}", text.encode())
        contents = {name: text.encode() for name, text in {"recipe.yaml": recipe_text, **said}.items()}
        self.store.put(
            f"{folder}/{MANIFEST}", with_sum({"files": {name: described(contents[name]) for name in contents}})
        )
        return folder

    def refuse_other(self, before: Plan | None, plan: Plan) -> None:
        """One root belongs to one recipe name, a sample has a root of its own, and no run is compared with itself.

        Raises:
            UsageError: the root is another recipe's, of another sample, or named by `against`; or a takedown in it is
                not complete.
        """
        refuse_pending(self.store)
        if before is not None and before.recipe != plan.recipe:
            raise UsageError(
                f"{self.url} belongs to the recipe `{before.recipe}`, not to `{plan.recipe}`",
                f"give this recipe a root of its own: --root runs/{plan.recipe}",
            )
        if before is not None and before.sample != plan.sample:
            was = "the whole corpus" if before.sample is None else f"a sample of {before.sample:g}"
            raise UsageError(f"{self.url} holds {was}", "give a sample a root of its own: leave out --root")
        against = (
            Path(unit.inputs[0]["path"])
            for stage in plan.stages.values()
            for unit in stage.units
            if stage.name.rpartition("signatures-against-")[1]
        )
        here = self.store.path.resolve() if self.store.path is not None else None
        if here is not None and any(path.resolve().is_relative_to(here) for path in against):
            raise UsageError(
                f"`against` names {self.url}, the root of this very run: all would be duplicates of themselves",
                "give this run a root of its own: --root DIR, or leave `against` out",
            )

    def describe(self, plan: Plan) -> None:
        """Write `stage.json` into each stage's folder: what its key was hashed from."""
        for stage in plan.stages.values():
            key = f"stages/{stage.folder}/stage.json"
            if self.store.size(key) is None:
                content = json.dumps(plan.described(stage.name), indent=1, sort_keys=True)
                self.store.put_new(key, content.encode())


def parse_receipt(store: Store, stage: str, folder: str, content: bytes) -> Receipt:
    """The receipt of a unit of a stage, in the folder of any plan's; its number is 0.

    Raises:
        Damaged: it is not what was written.
    """
    data = parse_record(content)
    try:
        maker = f"the unit `{data['label']}` of `{stage}`"
        for part in data["parts"].values():
            for name in (part["file"], part["publish"] or ""):
                if name.startswith("/") or ".." in name.split("/"):
                    raise Damaged(f"it names a file `{name}`, which would not lie in the root")
        parts = {
            name: Part(name, store, f"stages/{folder}/parts/{part.pop('file')}", maker=maker, **part)
            for name, part in data.pop("parts").items()
        }
        return Receipt(stage=stage, unit=0, parts=parts, **data)
    except (KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"it is not a receipt: {error!r}") from None


def described(content: bytes) -> dict[str, Any]:
    """What a manifest says of a file."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _head(metadata: str) -> email.message.Message:
    """The fields of a package's metadata, without the description that follows them and takes long to parse."""
    return email.message_from_string(metadata.partition("\n\n")[0])


def _environment() -> dict[str, Any]:
    import importlib.metadata

    every = importlib.metadata.distributions()
    heads = (_head(found.read_text("METADATA") or found.read_text("PKG-INFO") or "") for found in every)
    versions = {head["Name"]: head["Version"] for head in heads if head["Name"]}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "packages": dict(sorted(versions.items())),
    }
