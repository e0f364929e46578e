"""From a document id to its raw file and record, and back; by the receipts of the units that read the files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from corpuskit.core.kinds import spec_of
from corpuskit.core.plan import Plan
from corpuskit.documents.kinds import Segment
from corpuskit.documents.reading import RECORD_BITS
from corpuskit.errors import UsageError
from corpuskit.store.root import Root

IN_BLOCK = (1 << RECORD_BITS) - 1


@dataclass(frozen=True)
class Origin:
    """Where a document comes from.

    Attributes:
        path: of the raw file, and `relative` to the folder of its source; `digest`: SHA-256 of it, or of its range.
        start: byte that the range of the file begins at which was read by itself; None: the file was read whole.
        record: number of the raw record in the file, from 0; in the range where an earlier one is not read yet.
        unit: which unit of its source's stages it goes through.
    """

    doc: int
    source: str
    domain: str
    path: str
    relative: str
    start: int | None
    record: int
    digest: str
    unit: int

    def as_json(self) -> dict[str, Any]:
        """All but what the plan alone knows."""
        return {name: value for name, value in asdict(self).items() if name != "unit"}


@dataclass(frozen=True)
class _Range:
    """What a unit read of one file; `first`: records of the file before it."""

    spec: Segment
    unit: int
    entry: dict[str, Any]
    first: int


class Origins:
    """The raw files of a run, of all units that are complete."""

    def __init__(self, root: Root, plan: Plan) -> None:
        self._root = root
        self._ranges = list(_ranges(root, plan))
        self._blocks = {
            block: (number, one) for one in self._ranges for number, block in enumerate(one.entry["blocks"])
        }

    def of(self, doc: int) -> Origin:
        """Where a document comes from.

        Raises:
            UsageError: no raw file of the run gave it.
        """
        number, one = self._blocks.get(doc & ~IN_BLOCK, (0, None))
        record = (number << RECORD_BITS) + (doc & IN_BLOCK)
        if one is None or record >= one.entry["records"]:
            raise UsageError(
                f"no raw file of the run in {self._root.url} gave a document {doc}",
                f'ids: corpuskit stats {self._root.url} --sql "SELECT doc, path, record FROM lineage LIMIT 10"',
            )
        return self._origin(one, record)

    def at(self, path: str, record: int) -> Origin:
        """The document of a raw record, by its file's path, or its path below its source's folder.

        Raises:
            UsageError: no such file, several of them, or no such record.
        """
        found = [one for one in self._ranges if _is(one.entry, path)]
        files = sorted({(one.spec.source, one.entry["path"]) for one in found})
        if not files:
            raise UsageError(
                f"no raw file of the run in {self._root.url} is {path}",
                f'files: corpuskit stats {self._root.url} --sql "SELECT DISTINCT source, path FROM lineage"',
            )
        if len(files) > 1:
            named = ", ".join(f"{name} (source {source})" for source, name in files)
            raise UsageError(f"{path} may be {named}", "give the whole path, or the document's id")
        for one in found:
            if one.first <= record < one.first + one.entry["records"]:
                return self._origin(one, record - one.first)
        most = max(one.first + one.entry["records"] for one in found)
        raise UsageError(f"{path} has no record {record}", f"it has {most:,}, numbered from 0")

    def _origin(self, one: _Range, record: int) -> Origin:
        entry, spec = one.entry, one.spec
        block, place = divmod(record, 1 << RECORD_BITS)
        return Origin(
            doc=entry["blocks"][block] | place,
            source=spec.source,
            domain=spec.domain,
            path=entry["path"],
            relative=entry["relative"],
            start=entry["start"],
            record=one.first + record,
            digest=entry["digest"],
            unit=one.unit,
        )


def _ranges(root: Root, plan: Plan) -> Iterator[_Range]:
    for stage in plan.stages.values():
        if stage.kind != "segment" or not (spec := spec_of(stage, Segment)).reads:
            continue
        read = [(receipt.unit, entry) for receipt in root.complete(stage) for entry in receipt.inputs]
        ends: dict[tuple[str, int], int] = {}  # records up to the end of a range
        for unit, entry in sorted(read, key=lambda one: (one[1]["relative"], one[1]["start"] or 0)):
            first = ends.get((entry["relative"], entry["start"] or 0), 0)
            ends[entry["relative"], entry["end"] or 0] = first + entry["records"]
            yield _Range(spec, unit, entry, first)


def _is(entry: dict[str, Any], path: str) -> bool:
    if path in (entry["path"], entry["relative"]):
        return True
    return "://" not in path and Path(path).resolve() == Path(entry["path"]).resolve()
