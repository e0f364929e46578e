"""From raw files to batches of documents: ids, typed columns, and every raw record counted, kept or not."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from corpuskit import step as steps_module
from corpuskit.arrow import Batch
from corpuskit.dropped import DroppedWriter
from corpuskit.errors import InputError, UsageError
from corpuskit.graph import block_hash, canonical
from corpuskit.sources.base import SourceFile
from corpuskit.step import Bad, Skip, Step
from corpuskit.unit import Work

RECORD_BITS = 20
"""Low bits of a document id: the number of the record in its block."""

SHOWN_FAULTS = 5

BATCH_ROWS = 1 << 16
"""A batch ends at this many raw records, however short they are."""


def read_documents(work: Work, base: Path, dropped: DroppedWriter) -> Iterator[Batch]:
    """Batches of the documents of one unit's raw files, in file order; see `step.source` for what readers yield.

    Raises:
        InputError: after everything readable was read, if a record was unreadable and `on_error` is `fail`.
    """
    reference = work.run["reader"]
    reader = steps_module.resolve(reference["reference"], ("source",), base)
    params = reader.validate(reference["params"])
    identity = reader.fingerprint(params)
    if canonical({**work.spec["reader"], **identity}) != canonical(work.spec["reader"]):
        raise InputError(f"the code of the reader `{reader.name}` changed since the plan was made", "run again")
    limit = work.spec["reader"]["max_doc_bytes"]
    faults = Faults()
    for entry in work.inputs:
        file = SourceFile(entry["path"], entry["relative"], entry["start"], entry["end"], limit)
        numbering = Numbering(work, entry)
        yield from _Reading(work, dropped, reader, params, numbering, faults).batches(file)
        work.read.append({**entry, "blocks": numbering.blocks, "records": numbering.records, "digest": file.digest})
    work.facts["unreadable"] = faults.count
    if faults.count and work.run["on_error"] == "fail":
        shown = "\n".join(f"    {fault}" for fault in faults.first)
        more = f"\n    and {faults.count - SHOWN_FAULTS} more" if faults.count > SHOWN_FAULTS else ""
        raise InputError(
            f"{faults.count} unreadable record(s) in source `{work.spec['source']}`:\n{shown}{more}",
            f"mend the file, or set `on_error: drop` at the source `{work.spec['source']}` to count and leave them out",
        )


class Faults:
    """How many records were unreadable, and the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def add(self, fault: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.first) < SHOWN_FAULTS:
            self.first.append(fault)


class Numbering:
    """Gives document ids: 44 bits of the hash of (source, path, block), 20 bits of the record within the block."""

    def __init__(self, work: Work, entry: dict[str, Any]) -> None:
        self._place = work.spec["reader"]["salt"], work.spec["source"], entry["relative"]
        self._first = entry["block"]
        self.records = 0
        self.blocks: list[int] = []

    def next(self) -> int:
        """The id of the next raw record."""
        block, record = divmod(self.records, 1 << RECORD_BITS)
        if record == 0:
            self.blocks.append(block_hash(*self._place, self._first + block))
        self.records += 1
        return self.blocks[-1] | record


class _Reading:
    """One raw file being read: collects records into batches, counts what is no document."""

    def __init__(
        self,
        work: Work,
        dropped: DroppedWriter,
        reader: Step,
        params: dict[str, Any],
        numbering: Numbering,
        faults: Faults,
    ) -> None:
        self.work, self.dropped, self.reader, self.params = work, dropped, reader, params
        self.numbering, self.faults = numbering, faults
        self.domain: str = work.spec["domain"]
        self.columns = reader.output_columns(params)
        self.rows: list[dict[str, Any]] = []
        self.bytes = 0
        self.unread: tuple[list[int], list[str], list[str | None]] = [], [], []

    def batches(self, file: SourceFile) -> Iterator[Batch]:
        try:
            for record in self.reader.function(file, **self.params):
                self._take(file, record)
                if self.bytes >= self.work.batch_bytes or len(self.rows) + len(self.unread[0]) >= BATCH_ROWS:
                    yield self._batch()
        except InputError as error:
            # what was read before the damage is kept; whether the unit may stand is for on_error to say
            self._take(file, Bad(error.message, ""))
        except (gzip.BadGzipFile, EOFError) as error:  # of a reader that opens files itself
            self._take(file, Bad(f"{file.path}: {type(error).__name__}: {error}", ""))
        yield self._batch()

    def _take(self, file: SourceFile, record: Any) -> None:
        doc = self.numbering.next()
        self.work.count(self.domain, "read", 1)
        if isinstance(record, Bad):
            self._unread(doc, "unreadable", f"{record.where}: {record.reason}" if record.where else record.reason)
            self.faults.add(f"{file.path}: {record.where}: {record.reason}" if record.where else record.reason)
            self.work.count(self.domain, "unreadable", 1)
        elif isinstance(record, Skip):
            self._unread(doc, f"read: {record.reason}", None)
            self.work.count(self.domain, f"rule: read: {record.reason}", 1)
        elif not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise UsageError(
                f"the reader `{self.reader.name}` gave a record without `text` (a str): {str(record)[:80]}",
                "yield {'text': ...}, step.Bad(reason, where) or step.Skip(reason)",
            )
        elif not (text := record["text"]).strip():
            self._unread(doc, "empty", None)
            self.work.count(self.domain, "empty", 1)
        else:
            self.rows.append({**record, "doc": doc, "text": text})
            self.bytes += len(text) if text.isascii() else 3 * len(text)  # a bound that costs nothing

    def _unread(self, doc: int, rule: str, reason: str | None) -> None:
        for column, value in zip(self.unread, (doc, rule, reason), strict=True):
            column.append(value)  # type: ignore[attr-defined]

    def _batch(self) -> Batch:
        self.dropped.write_unread(*self.unread)
        batch = record_batch(self.rows, self.columns, self.domain)
        self.rows, self.bytes, self.unread = [], 0, ([], [], [])
        return batch


def record_batch(records: list[dict[str, Any]], columns: Mapping[str, str], domain: str) -> Batch:
    """Records as a batch: `doc`, `text`, `domain`, the reader's typed columns, everything else as JSON in `meta`."""
    own = ("doc", "text", "domain", "meta")
    # sorted: the order of a table in a recipe is in no key
    fields = {name: pa.type_for_alias(alias) for name, alias in sorted(columns.items()) if name not in own}
    first = [("doc", pa.uint64()), ("text", pa.string()), ("domain", pa.string())]
    schema = pa.schema([*first, *fields.items(), ("meta", pa.string())])
    known = {"doc", "text", "domain", "meta", *fields}
    meta = [_meta(record, known) for record in records]
    given = {
        "doc": [record["doc"] for record in records],
        "text": [record["text"] for record in records],
        "domain": pa.repeat(pa.scalar(domain, pa.string()), len(records)),
        **{name: [record.get(name) for record in records] for name in fields},
        "meta": meta,
    }
    arrays = [
        values if isinstance(values, pa.Array) else pa.array(values, schema.field(name).type)
        for name, values in given.items()
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _meta(record: dict[str, Any], known: set[str]) -> str | None:
    """What no column holds, as JSON."""
    rest = {name: value for name, value in record.items() if name not in known}
    meta = record.get("meta")
    if isinstance(meta, dict):
        rest |= meta
    elif meta is not None:
        rest["meta"] = meta
    return orjson.dumps(rest, default=str, option=orjson.OPT_NON_STR_KEYS).decode() if rest else None
