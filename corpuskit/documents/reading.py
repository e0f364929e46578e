"""From raw files to batches of documents: ids, typed columns, and every raw record counted, kept or not."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from corpuskit.core import registry
from corpuskit.core.batch import Batch, text_bytes, utf8
from corpuskit.core.keys import block_hash, canonical
from corpuskit.core.step import Bad, Skip, Step
from corpuskit.core.tables import counted
from corpuskit.core.work import Work
from corpuskit.documents.dropped import DroppedWriter
from corpuskit.documents.kinds import Segment
from corpuskit.errors import InputError, UsageError
from corpuskit.sources.base import BatchedFile
from corpuskit.store import removed

RECORD_BITS = 20
"""Low bits of a document id: the number of the record in its block."""

SHOWN_FAULTS = 5

BATCH_ROWS = 1 << 16
"""A batch ends at this many raw records, however short they are."""

WHOLE_BYTES = 1 << 20
"""A reader's batch with this much text is passed on as it is; smaller ones are put together."""

STRINGS = pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view

OWN = ("doc", "text", "domain", "meta")

MAY_BE_SPACE = np.zeros(256, np.bool_)
"""Whether a byte of UTF-8 can begin white space as `str.isspace` has it, all of which lies below U+3001."""
MAY_BE_SPACE[list({chr(code).encode()[0] for code in range(0x3001) if chr(code).isspace()})] = True


def read_documents(work: Work[Segment], base: Path, dropped: DroppedWriter) -> Iterator[Batch]:
    """Batches of the documents of one unit's raw files, in file order; see `step.source` for what readers yield.

    Raises:
        InputError: after everything readable was read, if a record was unreadable and `on_error` is `fail`.
    """
    call, described = work.spec.read, work.spec.reader
    assert call is not None, "a segment that documents come to reads no files"
    assert described is not None
    reader = registry.resolve(call.reference, ("source",), base)
    params = reader.validate(call.params)
    identity = reader.fingerprint(params)
    if canonical({**described, **identity}) != canonical(described):
        raise InputError(f"the code of the reader `{reader.name}` changed since the plan was made", "run again")
    limit = described["max_doc_bytes"]
    faults, gone = Faults(), removed.removed(work.store)
    for entry in work.inputs:
        file = BatchedFile(entry["path"], entry["relative"], entry["start"], entry["end"], limit)
        numbering = Numbering(work, entry)
        yield from _Reading(work, dropped, reader, params, numbering, faults, gone).batches(file)
        work.read.append({**entry, "blocks": numbering.blocks, "records": numbering.records, "digest": file.digest})
    work.facts["unreadable"] = faults.count
    if faults.count and work.spec.strict:
        shown = "\n".join(f"    {fault}" for fault in faults.first)
        more = f"\n    and {faults.count - SHOWN_FAULTS} more" if faults.count > SHOWN_FAULTS else ""
        raise InputError(
            f"{counted(faults.count, 'unreadable record')} in source `{work.spec.source}`:\n{shown}{more}",
            f"fix the file, or set `on_error: drop` at the source `{work.spec.source}` to count and leave them out",
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

    def __init__(self, work: Work[Segment], entry: dict[str, Any]) -> None:
        assert work.spec.reader is not None
        self._place = work.spec.reader["salt"], work.spec.source, entry["relative"]
        self._first = entry["block"]
        self.records = 0
        self.blocks: list[int] = []

    def next(self) -> int:
        """The id of the next raw record."""
        record = self._within_block()
        self.records += 1
        return self.blocks[-1] | record

    def take(self, count: int) -> npt.NDArray[np.uint64]:
        """The ids of the next `count` raw records."""
        docs = np.empty(count, np.uint64)
        done = 0
        while done < count:
            record = self._within_block()
            some = min(count - done, (1 << RECORD_BITS) - record)
            docs[done : done + some] = np.arange(record, record + some, dtype=np.uint64) | np.uint64(self.blocks[-1])
            done += some
            self.records += some
        return docs

    def _within_block(self) -> int:
        """The number of the next record in its block, which is the last of `blocks`."""
        block, record = divmod(self.records, 1 << RECORD_BITS)
        if record == 0:
            self.blocks.append(block_hash(*self._place, self._first + block))
        return record


class _Reading:
    """One raw file being read: collects records into batches, counts what is no document."""

    def __init__(
        self,
        work: Work[Segment],
        dropped: DroppedWriter,
        reader: Step,
        params: dict[str, Any],
        numbering: Numbering,
        faults: Faults,
        gone: npt.NDArray[np.uint64],
    ) -> None:
        self.work, self.dropped, self.reader, self.params = work, dropped, reader, params
        self.numbering, self.faults = numbering, faults
        self.domain = work.spec.domain
        self.columns = reader.output_columns(params)
        self.rows: list[dict[str, Any]] = []  # the latest documents; those before them are in `pieces`
        self.pieces: list[Batch] = []
        self.closed = 0  # documents in `pieces`
        self.bytes = 0
        self.unread: tuple[list[int], list[str], list[str | None]] = [], [], []
        self.gone = gone

    def batches(self, file: BatchedFile) -> Iterator[Batch]:
        try:
            for record in self.reader.function(file, **self.params):
                if isinstance(record, pa.RecordBatch):
                    yield from self._take_batch(record)
                else:
                    self._take(file, record)
                waiting = self.closed + len(self.rows) + len(self.unread[0])
                if self.bytes >= self.work.batch_bytes or waiting >= BATCH_ROWS:
                    yield self._batch()
        except InputError as error:
            # what was read before the damage is kept; whether the unit may stand is for on_error to say
            self._take(file, Bad(error.message, ""))
        except (gzip.BadGzipFile, EOFError) as error:  # of a reader that opens files itself
            self._take(file, Bad(f"{file.path}: {type(error).__name__}: {error}", ""))
        yield self._batch()

    def _take(self, file: BatchedFile, record: Any) -> None:
        doc = self.numbering.next()
        self.work.count(self.domain, "read", 1)
        if len(self.gone) and np.isin(np.uint64(doc), self.gone):
            self._take_down([doc])
        elif isinstance(record, Bad):
            self._unread(doc, "unreadable", f"{record.where}: {record.reason}" if record.where else record.reason)
            self.faults.add(_fault(file, record))
            self.work.count(self.domain, "unreadable", 1)
        elif isinstance(record, Skip):
            self._unread(doc, f"read: {record.reason}", None)
            self.work.count(self.domain, f"rule: read: {record.reason}", 1)
        elif not (text := text_of(record, self.reader)).strip():
            self._unread(doc, "empty", None)
            self.work.count(self.domain, "empty", 1)
        else:
            self.rows.append({**record, "doc": doc, "text": text})
            self.bytes += len(text) if text.isascii() else 3 * len(text)  # a bound that costs nothing

    def _take_batch(self, given: Batch) -> Iterator[Batch]:
        """Take a batch of a reader: wait for more, or yield what waits and the batch itself if that is large."""
        text = self._text(given)
        docs = self.numbering.take(given.num_rows)
        self.work.count(self.domain, "read", given.num_rows)
        batch = self._complete(given, text, docs)
        gone = np.isin(docs, self.gone) if len(self.gone) else np.zeros(len(docs), np.bool_)
        blank = blank_rows(text) & ~gone
        if blank.any() or gone.any():
            for doc in docs[blank].tolist():
                self._unread(doc, "empty", None)
            self.work.count(self.domain, "empty", int(blank.sum()))
            self._take_down(docs[gone].tolist())
            batch = batch.filter(pa.array(~(blank | gone)))
        size = int(text_bytes(text).sum())
        if size >= WHOLE_BYTES and (self.rows or self.pieces):
            yield self._batch()
        self._close_rows()
        self._close(batch)
        self.bytes += size
        if size >= WHOLE_BYTES:
            yield self._batch()

    def _take_down(self, docs: list[int]) -> None:
        """Leave out records that were taken down, whatever they hold."""
        for doc in docs:
            self._unread(doc, removed.RULE, None)
        self.work.count(self.domain, f"rule: {removed.RULE}", len(docs))

    def _text(self, given: Batch) -> pa.Array:
        """The texts of a reader's batch, which must have no columns but those that are known."""
        names = given.schema.names
        found = given.column("text") if names.count("text") == 1 else pa.nulls(1)
        unknown = sorted(set(names) - {*self.columns, "text", "meta"})
        if found.null_count or not any(test(found.type) for test in STRINGS) or unknown:
            what = f"with undeclared columns ({', '.join(unknown)})" if unknown else "without `text` (no nulls)"
            raise UsageError(
                f"the reader `{self.reader.name}` gave a batch {what}",
                "yield RecordBatches of `text`, columns that `@step.source(columns=...)` declares, and `meta` (JSON)",
            )
        return found.cast(pa.string())

    def _complete(self, given: Batch, text: pa.Array, docs: npt.NDArray[np.uint64]) -> Batch:
        """A reader's batch with all columns that `record_batch` gives."""
        schema = batch_schema(self.columns)
        domain = pa.repeat(pa.scalar(self.domain, pa.string()), given.num_rows)
        own = {"doc": pa.array(docs), "text": text, "domain": domain}
        there = {name: given.column(name) for name in given.schema.names if name not in own}
        arrays = [
            own[field.name]
            if field.name in own
            else there[field.name].cast(field.type)
            if field.name in there
            else pa.nulls(given.num_rows, field.type)
            for field in schema
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _close_rows(self) -> None:
        if self.rows:
            self._close(record_batch(self.rows, self.columns, self.domain))
            self.rows = []

    def _close(self, piece: Batch) -> None:
        self.pieces.append(piece)
        self.closed += piece.num_rows

    def _unread(self, doc: int, rule: str, reason: str | None) -> None:
        for column, value in zip(self.unread, (doc, rule, reason), strict=True):
            column.append(value)  # type: ignore[attr-defined]

    def _batch(self) -> Batch:
        self.dropped.write_unread(*self.unread)
        self._close_rows()
        pieces = self.pieces or [record_batch([], self.columns, self.domain)]
        self.pieces, self.closed, self.bytes, self.unread = [], 0, 0, ([], [], [])
        return pieces[0] if len(pieces) == 1 else pa.concat_batches(pieces)


def _fault(file: BatchedFile, bad: Bad) -> str:
    """What is unreadable, with its file and place, each named once: the error of a damaged file names both itself."""
    if bad.reason.startswith(file.path):
        return bad.reason
    where = "" if file.path.endswith(bad.where) else f"{bad.where}: "
    return f"{file.path}: {where}{bad.reason}"


def text_of(record: Any, reader: Step) -> str:
    """The text of a record that is neither `Bad` nor `Skip`.

    Raises:
        UsageError: it has none.
    """
    text = record.get("text") if isinstance(record, dict) else None
    if not isinstance(text, str):
        raise UsageError(
            f"the reader `{reader.name}` gave a record without `text` (a str): {str(record)[:80]}",
            "yield {'text': ...}, step.Bad(reason, where) or step.Skip(reason)",
        )
    return text


def blank_rows(text: pa.Array) -> npt.NDArray[np.bool_]:
    """Which rows of a string column without nulls are empty for `str.strip`: bool[n]."""
    data, offsets = utf8(text)
    blank: npt.NDArray[np.bool_] = np.diff(offsets) == 0
    for row in np.flatnonzero(MAY_BE_SPACE[data[offsets[:-1]]] & ~blank).tolist():
        blank[row] = not text[row].as_py().strip()
    return blank


def batch_schema(columns: Mapping[str, str]) -> pa.Schema:
    """The schema of a reader's documents: `doc`, `text`, `domain`, its typed columns, `meta`."""
    # sorted: the order of a table in a recipe is in no key
    fields = [(name, pa.type_for_alias(alias)) for name, alias in sorted(columns.items()) if name not in OWN]
    first = [("doc", pa.uint64()), ("text", pa.string()), ("domain", pa.string())]
    return pa.schema([*first, *fields, ("meta", pa.string())])


def record_batch(records: list[dict[str, Any]], columns: Mapping[str, str], domain: str) -> Batch:
    """Records as a batch: `doc`, `text`, `domain`, the reader's typed columns, everything else as JSON in `meta`."""
    schema = batch_schema(columns)
    known = set(schema.names)
    meta = [_meta(record, known) for record in records]
    given = {
        "doc": [record.get("doc") for record in records],
        "text": [record["text"] for record in records],
        "domain": pa.repeat(pa.scalar(domain, pa.string()), len(records)),
        **{name: [record.get(name) for record in records] for name in schema.names[3:-1]},
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
