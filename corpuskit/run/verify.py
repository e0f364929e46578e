"""Checks every digest of a root: receipts and parts, published folders, stored values, records of runs.

What is named is the file, what is wrong with it, the unit that made it, and the command that mends it. `repair` removes
what is damaged: the next run of the recipe then finds it missing and makes it again, the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import orjson

from corpuskit.core.checksum import BLOCK, Damaged, first_damaged, named_sum, parse_record
from corpuskit.core.keys import digest
from corpuskit.core.plan import Plan
from corpuskit.core.work import Receipt
from corpuskit.errors import CorpuskitError
from corpuskit.run.seal import FOLDERS
from corpuskit.store.root import MANIFEST, Root, parse_receipt
from corpuskit.store.shown import SHOWN

RUN = "run"
"""What mends a fault of a file that is missing: the recipe's next run."""

REPAIR = "repair"
"""What mends a fault of a file that must go first."""

LOOK = "look"
"""What mends a fault of a file that must go first, and that any verb which looks at the run makes anew."""


@dataclass(frozen=True)
class Fault:
    """A file that is not as it should be.

    Attributes:
        file: its path below the root. wrong: what is wrong with it.
        unit: what made it: `STAGE:NUMBER (LABEL)` of the last run's plan, else the stage's folder and the label.
        mended_by: RUN, REPAIR or LOOK.
    """

    file: str
    wrong: str
    unit: str
    mended_by: str


@dataclass(frozen=True)
class Wanted:
    """A file that some record speaks of, and what it says of it."""

    key: str
    bytes: int | None
    sha256: str
    unit: str
    sums: str = ""
    mended_by: str = REPAIR


@dataclass
class Found:
    """What was looked at, and what is wrong."""

    files: int = 0
    bytes: int = 0
    faults: list[Fault] = field(default_factory=list)


def verify(root: Root, report: Callable[[int, int], None] = lambda _done, _total: None) -> Found:
    """Check all files of a root that anything is known of.

    Args:
        report: told how many bytes were read, of how many.
    """
    looked = _Look(root)
    wanted = {one.key: one for one in looked.wanted()}
    sizes = looked.sizes
    found = Found(len(wanted) + looked.records, sum(sizes.get(key, 0) for key in wanted), looked.faults)
    for one in wanted.values():
        if one.key not in sizes:
            found.faults.append(Fault(one.key, "it is missing", one.unit, RUN))
    there = sorted((one for one in wanted.values() if one.key in sizes), key=lambda one: -sizes[one.key])
    found.faults += _read(root, there, report, sum(sizes[one.key] for one in there))
    found.faults += [
        dataclasses.replace(fault, file=name) for fault in found.faults for name in looked.links.get(fault.file, ())
    ]
    found.faults.sort(key=lambda fault: fault.file)
    return found


def repair(root: Root, found: Found) -> list[str]:
    """Remove what is damaged; returns the files that went."""
    gone = [fault.file for fault in found.faults if fault.mended_by != RUN]
    published = {folder for group in FOLDERS.values() for folder in group}
    with root.store.sealing():
        # a manifest goes before any of its files does
        root.store.delete(
            f"{folder}/{MANIFEST}" for folder in sorted({key.partition("/")[0] for key in gone} & published)
        )
        root.store.delete(gone)
    return gone


class _Look:
    """Reads the records of a root: what they speak of, and those that are damaged themselves."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self.sizes: dict[str, int] = {}
        self.faults: list[Fault] = []
        self.records = 0
        self._published: dict[str, str] = {}  # the parts by what is published from them
        self._read_as_part: set[str] = set()
        self.links: dict[str, list[str]] = {}
        """Published names of parts that are one file with them."""
        self._units = _units(root)

    def wanted(self) -> Iterator[Wanted]:
        """All that records speak of."""
        folders = [folder for group in FOLDERS.values() for folder in group]
        for folder in ("stages", "runs", *folders):
            self.sizes |= self._root.store.list(folder)
        yield from self._stages()
        for run in self._root.runs():
            yield from self._manifest(run)
            yield from self._shown(run)
        for folder in folders:
            yield from self._manifest(folder)

    def _records(self, keys: list[str]) -> Iterator[tuple[str, bytes]]:
        self.records += len(keys)
        for key, content in zip(keys, self._root.store.get_all(keys), strict=True):
            if content is not None:
                yield key, content

    def _stages(self) -> Iterator[Wanted]:
        records = [key for key in self.sizes if key.startswith("stages/") and key.endswith(".json")]
        for key, content in self._records([key for key in records if "/receipts/" in key]):
            _, folder, _, name = key.split("/")
            unit = self._units.get((folder, name.removesuffix(".json")), "")
            try:
                receipt = parse_receipt(self._root.store, folder.rpartition("-")[0], folder, content)
            except Damaged as error:
                self.faults.append(Fault(key, str(error), unit, REPAIR))
                continue
            yield from self._of_receipt(receipt, unit or f"`{receipt.label}` of {folder}, of an earlier plan")
        for key, content in self._records([key for key in records if key.endswith("/stage.json")]):
            folder = key.split("/")[1]
            try:
                same = digest(orjson.loads(content)) == folder.rpartition("-")[2]
            except orjson.JSONDecodeError:
                same = False
            if not same:
                self.faults.append(Fault(key, "it is not what the stage's key is made of", "", REPAIR))
        for key in self.sizes:
            if "/columns/" in key and (sum_ := named_sum(key)) is not None:
                yield Wanted(key, None, sum_, "")

    def _of_receipt(self, receipt: Receipt, unit: str) -> Iterator[Wanted]:
        for part in receipt.parts.values():
            if part.publish is not None and part.publish in self.sizes:
                self._published[part.publish] = part.key
                if self._root.store.same(part.key, part.publish, said=False):
                    self._read_as_part.add(part.publish)
                    self.links.setdefault(part.key, []).append(part.publish)
            yield Wanted(part.key, part.bytes, part.digest, unit, part.sums)

    def _manifest(self, folder: str) -> Iterator[Wanted]:
        key = f"{folder}/{MANIFEST}"
        below = [name for name in self.sizes if name.startswith(f"{folder}/") and name != key]
        if key not in self.sizes:
            if below and not folder.startswith("runs/"):  # runs of before this have none
                self.faults.append(Fault(key, "it is missing: the folder was not filled to the end", "", RUN))
            return
        ((_, content),) = self._records([key])
        try:
            said = parse_record(content)
        except Damaged as error:
            self.faults.append(Fault(key, str(error), "", REPAIR))
            return
        for rest, entry in said["files"].items():
            name = f"{folder}/{rest}"
            if name not in self._read_as_part:
                part = self._published.get(name)
                yield Wanted(name, entry["bytes"], entry["sha256"], f"published from {part}" if part else "")
        for name, entry in said.get("beside", {}).items():
            size = self._root.store.size(name)
            self.sizes |= {name: size} if size is not None else {}
            yield Wanted(name, entry["bytes"], entry["sha256"], "")

    def _shown(self, run: str) -> Iterator[Wanted]:
        """The tables of views, as far as they are there: any verb makes those of the last run anew."""
        key = f"{run}/{SHOWN}"
        for _, content in self._records([key] if key in self.sizes else []):
            try:
                said = parse_record(content)
            except Damaged as error:
                self.faults.append(Fault(key, str(error), "", LOOK))
                return
            for rest, entry in said.get("files", {}).items():
                if (name := f"{run}/{rest}") in self.sizes:
                    yield Wanted(name, entry["bytes"], entry["sha256"], "", mended_by=LOOK)


def _units(root: Root) -> dict[tuple[str, str], str]:
    """What to call the units of the last run's plan, by their stage's folder and their key."""
    plan: Plan | None = None
    for run in reversed(root.runs()):
        try:
            plan = root.plan_of(run)
            break
        except (CorpuskitError, ValueError, KeyError, TypeError):
            continue  # it is found damaged with the run's other files, where the run has a manifest
    if plan is None:
        return {}
    return {
        (stage.folder, unit.key): f"{stage.name}:{number} ({unit.label})"
        for stage in plan.stages.values()
        for number, unit in enumerate(stage.units)
    }


def _read(root: Root, wanted: list[Wanted], report: Callable[[int, int], None], total: int) -> list[Fault]:
    """Read files, one on each core: those that are not what they should be."""
    read: queue.SimpleQueue[int] = queue.SimpleQueue()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tasks = [pool.submit(_check, root, one, read.put) for one in wanted]
        done = 0
        report(0, total)
        while done < total and not all(task.done() for task in tasks):
            try:
                done += read.get(timeout=0.2)
            except queue.Empty:
                continue
            report(done, total)
        faults = [fault for task in tasks if (fault := task.result()) is not None]
    report(total, total)
    return faults


def _check(root: Root, one: Wanted, report: Callable[[int], None]) -> Fault | None:
    try:
        wrong = _wrong(root, one, report)
    except FileNotFoundError:
        return Fault(one.key, "it is missing", one.unit, RUN)
    except OSError as error:
        wrong = f"it cannot be read: {error.strerror or error}"
    return Fault(one.key, wrong, one.unit, one.mended_by) if wrong else None


def _wrong(root: Root, one: Wanted, report: Callable[[int], None]) -> str:
    """What is wrong with a content; "" if nothing is."""
    from zlib_ng import zlib_ng

    sha, crc, size = hashlib.sha256(), 0, 0
    with root.store.open(one.key) as stream:
        while block := stream.read(4 * BLOCK):
            if one.bytes is None:
                crc = zlib_ng.crc32(block, crc)
            else:
                sha.update(block)
            size += len(block)
            report(len(block))
        if (f"{crc:08x}" if one.bytes is None else sha.hexdigest()) == one.sha256:
            return ""
        if one.bytes is not None and size != one.bytes:
            return f"it has {size:,} bytes, not {one.bytes:,}"
        stream.seek(0)
        return first_damaged(stream, one.sums) or "it is not what was written"
