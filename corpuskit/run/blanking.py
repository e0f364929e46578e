"""Takes documents out of the parts of one unit: what its receipt then says, and the files that it names.

Books stay balanced: a document counts as `rule: removed` where it was read, and no more where it left or was kept.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpuskit.core.batch import ParquetPart, PartReader, PartWriter, text_bytes
from corpuskit.core.checksum import digests
from corpuskit.core.kinds import spec_of
from corpuskit.core.plan import Stage
from corpuskit.core.storage import Store
from corpuskit.documents.kinds import Segment
from corpuskit.documents.reading import RECORD_BITS
from corpuskit.shards.blank import blank_runs, blank_tokens
from corpuskit.store.removed import RULE
from corpuskit.train.stream import GONE

Docs = npt.NDArray[np.uint64]

DROPPED = pa.schema([("doc", pa.uint64()), ("rule", pa.string()), ("reason", pa.string())])
"""What `dropped/` has of a record that became no document."""

DUPLICATES = ("exact", "minhash")
"""Barriers that take duplicates out."""

PLAIN = ("unreadable", "empty", "contaminated")
"""Rules of `dropped/` that the books name as they are."""


@dataclass
class Blanked:
    """A unit at work.

    Attributes:
        stage: its stage. receipt: what its receipt says, and is to say.
        store: what keeps the run. scratch: a folder for new parts.
        gone: ids of the documents. left: `exact` or `near` of those that dedup removed in this unit.
        eos, dtype: of the tokens, where the unit holds some.
        new: what is written anew, by name. unmade: whether the unit goes instead, and the next run makes it again.
    """

    stage: Stage
    receipt: dict[str, Any]
    store: Store
    scratch: Path
    gone: Docs
    left: dict[int, str] = field(default_factory=dict)
    eos: int = 0
    dtype: str = ""
    new: dict[str, Path] = field(default_factory=dict)
    unmade: bool = False

    def path(self, name: str) -> Path:
        """A file of this machine with a part, as it is by now."""
        return self.new.get(self.file(name)) or self.store.local(f"stages/{self.stage.folder}/parts/{self.file(name)}")

    def file(self, name: str) -> str:
        """The name of a part's file."""
        return str(self.receipt["parts"][name]["file"])

    def target(self, name: str) -> Path:
        """Where to write a part anew; `put` takes it."""
        suffix = self.file(name).rpartition(name)[2]
        return self.scratch / f"{name}{suffix}"

    def put(self, name: str, path: Path, rows: int | None = None, publish: str | None = None) -> None:
        """Let the receipt name a new file, under a name that no part had: a kill leaves the old or the new unit."""
        sha, sums = digests(path)
        before = self.receipt["parts"].get(name, {"rows": 0, "publish": publish})
        file = f"{self.receipt['key']}-{sha[:8]}-{path.name}"
        about = {"file": file, "bytes": path.stat().st_size, "digest": sha, "sums": sums}
        self.receipt["parts"][name] = before | about | ({} if rows is None else {"rows": rows})
        self.new[file] = path


def blank(unit: Blanked) -> None:
    """Take the documents out of a unit; `unit.new`, `unit.receipt` and `unit.unmade` then say what changed."""
    _KINDS.get(unit.stage.kind, _rows)(unit)


def _rows(unit: Blanked) -> None:
    """Parts with a row a document, of stages that nothing is said of below."""
    for name in list(unit.receipt["parts"]):
        if unit.file(name).endswith((".arrow", ".parquet")):
            _without(unit, name)


def _without(
    unit: Blanked, name: str, keep: Callable[[pa.RecordBatch], npt.NDArray[np.bool_]] | None = None
) -> pa.Table | None:
    """Write a part without the rows of the documents; those rows, or None if it has none (or has no documents).

    Args:
        keep: rows that stay whatever their document, bool[n].
    """
    path = unit.path(name)
    batches, schema = _batches(path)
    if "doc" not in schema.names:
        return None

    def chosen(batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        found = np.isin(batch.column("doc").to_numpy(zero_copy_only=False), unit.gone)
        return found & ~keep(batch) if keep is not None else found

    gone = [batch.filter(pa.array(mask)) for batch in batches if (mask := chosen(batch)).any()]
    if not gone:
        return None
    target = unit.target(name)
    with (PartWriter if path.suffix == ".arrow" else ParquetPart)(target, schema) as writer:
        for batch in _batches(path)[0]:
            writer.write(batch.filter(pa.array(~chosen(batch))))
    unit.put(name, target, writer.rows)
    return pa.Table.from_batches(gone)


def _blank_texts(unit: Blanked) -> int:
    """Blank the rows of the documents in the part `docs`; rows and batches stay, by which other parts number them.

    Returns:
        Bytes of text that went.
    """
    reader, target, freed, found = PartReader(unit.path("docs")), unit.target("docs"), 0, False
    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    with (
        pa.OSFile(str(target), "wb") as sink,
        pa.ipc.new_file(sink, reader.schema, options=options) as writer,
    ):
        for batch in reader.each():
            chosen = np.isin(batch.column("doc").to_numpy(), unit.gone)
            if chosen.any():
                found = True
                freed += int(text_bytes(batch.column("text"))[chosen].sum())
                batch = _emptied(batch, pa.array(chosen))  # noqa: PLW2901
            writer.write_batch(batch)
    if found:
        unit.put("docs", target)
    return freed


def _emptied(batch: pa.RecordBatch, chosen: pa.Array) -> pa.RecordBatch:
    def column(field: pa.Field) -> pa.Array:
        values = batch.column(field.name)
        if field.name in ("doc", "domain"):
            return values
        return pc.if_else(chosen, pa.scalar("" if field.name == "text" else None, field.type), values)

    return pa.RecordBatch.from_arrays([column(field) for field in batch.schema], schema=batch.schema)


def _batches(path: Path) -> tuple[Iterator[pa.RecordBatch], pa.Schema]:
    if path.suffix == ".arrow":
        reader = PartReader(path)
        return iter(reader), reader.schema
    file = pq.ParquetFile(path)
    return file.iter_batches(), file.schema_arrow


def _segment(unit: Blanked) -> None:
    spec, receipt = spec_of(unit.stage, Segment), unit.receipt
    books = Counter(receipt["books"].get(spec.domain, {}))
    done = set(receipt["facts"].get("removed", []))
    read = _read(receipt, unit.gone) - done
    if "docs" in receipt["parts"]:
        receipt["facts"]["docs"]["bytes"] -= _blank_texts(unit)
    for name in ("corpus", "holdout", "findings"):
        gone = _without(unit, name) if name in receipt["parts"] else None
        if gone is None or name == "findings":
            continue
        books.subtract({"kept" if name == "corpus" else "held_out": len(gone)})
        facts = receipt["facts"][name]
        facts["rows"] -= len(gone)
        facts["bytes"] -= int(text_bytes(gone.column("text").combine_chunks()).sum())
    known, deciding = _already(unit), {decision["barrier"] for decision in spec.apply} & set(DUPLICATES)
    if "dropped" in receipt["parts"]:
        gone = _without(unit, "dropped", lambda batch: np.asarray(pc.equal(batch.column("rule"), RULE)))
        for rule in gone.column("rule").to_pylist() if gone is not None else ():
            if rule in deciding:  # a duplicate whose text is kept; it is in `left`, and in the books by its kind
                continue
            books[rule if rule in PLAIN else f"rule: {rule}"] -= 1
    books.subtract(Counter(kind for doc, kind in unit.left.items() if doc not in done))
    if read - known:
        _add_dropped(unit, spec, sorted(read - known))
        books[f"rule: {RULE}"] += len(read - known)
    receipt["books"][spec.domain] = {name: count for name, count in sorted(books.items()) if count}
    if done | read | set(unit.left):
        receipt["facts"]["removed"] = sorted(done | read | set(unit.left))


def _read(receipt: dict[str, Any], gone: Docs) -> set[int]:
    """The documents that a reading unit read."""
    found = set()
    for entry in receipt["inputs"]:
        for number, block in enumerate(entry.get("blocks", ())):
            most = min(1 << RECORD_BITS, entry["records"] - (number << RECORD_BITS))
            low, high = np.searchsorted(gone, np.array([block, block + most], np.uint64))
            found |= set(gone[low:high].tolist())
    return found


def _already(unit: Blanked) -> set[int]:
    """Documents that the unit left out when it ran, by the list."""
    if "dropped" not in unit.receipt["parts"]:
        return set()
    table = pq.read_table(unit.path("dropped"), columns=["doc"], filters=pc.field("rule") == RULE)
    return set(table.column("doc").to_pylist())


def _add_dropped(unit: Blanked, spec: Segment, docs: list[int]) -> None:
    """Add rows to `dropped`: as a reader does of a record that is on the list."""
    there = "dropped" in unit.receipt["parts"]
    before = pq.ParquetFile(unit.path("dropped")) if there else None
    schema = DROPPED if before is None else before.schema_arrow
    columns = {"doc": pa.array(docs, pa.uint64()), "rule": pa.array([RULE] * len(docs), pa.string())}
    arrays = [columns.get(one.name, pa.nulls(len(docs), one.type)).cast(one.type) for one in schema]
    target = unit.scratch / "dropped-added" / "dropped.parquet"
    target.parent.mkdir(exist_ok=True)
    with ParquetPart(target, schema) as part:
        for batch in before.iter_batches() if before is not None else ():
            part.write(batch)
        part.write(pa.RecordBatch.from_arrays(arrays, schema=schema))
    if there:
        unit.new.pop(unit.file("dropped"), None)
    name = unit.receipt["content"] or unit.receipt["key"]
    unit.put("dropped", target, part.rows, f"dropped/domain={spec.domain}/{name}.parquet")


def _duplicates(unit: Blanked) -> None:
    """Evidence: without the documents; where one was a witness, it says that it was removed."""
    table = pq.read_table(unit.path("duplicates"))
    gone = pa.array(unit.gone)
    out = pc.is_in(table["doc"], gone)
    witness = pc.and_(pc.is_in(table["kept_doc"], gone), pc.is_null(table["kept_root"]))
    if not pc.any(pc.or_(out, witness)).as_py():
        return
    later = pc.if_else(witness, RULE, table["kept_dropped_by"])
    table = table.set_column(table.schema.get_field_index("kept_dropped_by"), "kept_dropped_by", later)
    with ParquetPart(unit.target("duplicates"), table.schema) as part:
        for batch in table.filter(pc.invert(out)).to_batches():
            part.write(batch)
    unit.put("duplicates", unit.target("duplicates"), part.rows)


def _tokens(unit: Blanked) -> None:
    for split, prefix in (("train", ""), ("validation", "validation_")):
        if f"{prefix}docs" not in unit.receipt["parts"]:
            continue
        names = f"{prefix}bin", f"{prefix}docs"
        old, new = ([*map(place, names)] for place in (unit.path, unit.target))
        freed = blank_tokens((old[0], old[1]), (new[0], new[1]), unit.gone, unit.eos, unit.dtype)
        if freed is not None:
            for name, path in zip(names, new, strict=True):
                unit.put(name, path)
            unit.receipt["facts"][split]["bytes"] -= freed


def _shards(unit: Blanked) -> None:
    for name in [name.removeprefix("bin-") for name in unit.receipt["parts"] if name.startswith("bin-")]:
        names = f"bin-{name}", f"docs-{name}"
        old, new = ([*map(place, names)] for place in (unit.path, unit.target))
        rows = unit.receipt["parts"][names[0]]["rows"]
        if blank_runs((old[0], old[1]), (new[0], new[1]), unit.gone, unit.eos, unit.dtype, rows):
            for one, path in zip(names, new, strict=True):
                unit.put(one, path)


def _blocks(unit: Blanked) -> None:
    """The indexes of the domains' documents, which trainers that follow a plan read: no run covers those that went."""
    for name in unit.receipt["parts"]:
        if name.startswith(("train-", "validation-")):
            values = np.fromfile(unit.path(name), "<u8")
            docs = values[len(values) // 2 + 1 :]
            if (chosen := np.isin(docs, unit.gone)).any():
                docs[chosen] = GONE
                values.tofile(unit.target(name))
                unit.put(name, unit.target(name))


def _spans(unit: Blanked) -> None:
    """Suffix arrays hold all bytes of the texts in their order: what is left of one is a new one."""
    unit.unmade = bool(np.isin(np.fromfile(unit.path("doc"), "<u8"), unit.gone).any())


def rewrite_json(unit: Blanked, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what a part says that is JSON as `corpuskit.shards.contents.readable` writes it."""
    from corpuskit.shards.contents import readable

    before = unit.path(name).read_bytes()
    value = json.loads(before)
    change(value)
    if (content := readable(value)) != before:
        unit.target(name).write_bytes(content)
        unit.put(name, unit.target(name))


_KINDS = {
    "segment": _segment,
    "duplicates": _duplicates,
    "tokens": _tokens,
    "blocks": _blocks,
    "shards": _shards,
    "spans": _spans,
}
