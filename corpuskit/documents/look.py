"""A look at the files of sources before anything runs: how much text there is in them, in how large documents."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpuskit.core.batch import ParquetPart, PartWriter, text_bytes
from corpuskit.core.calls import Source
from corpuskit.core.step import Bad, Skip
from corpuskit.documents.reading import record_batch
from corpuskit.sources.base import BatchedFile
from corpuskit.sources.raw import RawStream

# those that stream: one that makes text of markup, or reads an archive whole first, may take longer than a plan
READERS = tuple(f"corpuskit.sources.{name}" for name in ("delimited", "gutenberg", "jsonl", "parquet"))

FILES = 8
"""Files of a source that are looked at: those at equal distances in its bytes."""

SECONDS = 0.4
"""For all of them together, each from its first record on."""

TEXT_BYTES = 8 << 20
"""Text of all of them that is enough."""

MOST = 4
"""How many times its share of both a file gets until it has been read beyond the first piece of it."""


def look(source: Source, entries: list[dict[str, Any]]) -> dict[str, float]:
    """What the first records of some files of a source tell, as `Looked` has it; nothing if that is too little.

    Args:
        entries: its raw files, as units have them. Those that lie elsewhere are not fetched, and other readers than
            `READERS` are not started: those of users may do anything.
    """
    if source.step.function.__module__ not in READERS:
        return {}
    some = _some(entries)
    seen = [_Seen(source, entry, 1 / len(some)) for entry in some]
    documents, read = (sum(getattr(one, name) for one in seen) for name in ("documents", "read"))
    if not documents or not read:
        return {}
    of_read, text = (sum(getattr(one, name) for one in seen) for name in ("of_read", "text"))
    return {"text": of_read / read, "document": text / documents, **_stored(seen)}


def _some(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    local = [entry for entry in entries if "://" not in entry["path"] and entry["size"]]
    total, at = sum(entry["size"] for entry in local), 0.0
    chosen: list[dict[str, Any]] = []
    for entry in local:
        at += entry["size"]
        if at * FILES >= total * (len(chosen) + 0.5) and len(chosen) < FILES:
            chosen.append(entry)
    return chosen


class _Counted(BatchedFile):
    """A raw file that says how much of it was read."""

    def __init__(self, entry: dict[str, Any], limit: int) -> None:
        super().__init__(entry["path"], entry["relative"], entry["start"], entry["end"], limit)
        self.stream: RawStream | None = None

    @contextlib.contextmanager
    def raw(self) -> Iterator[RawStream]:
        with super().raw() as stream:
            self.stream = stream
            yield stream

    @property
    def read(self) -> int:
        return 0 if self.stream is None else self.stream.offset - (self.start or 0)


class _Seen:
    """The first records of a file.

    Attributes:
        text, documents: of them. read: bytes of the file, and `of_read`: of text in these. batches: as they were read.
    """

    def __init__(self, source: Source, entry: dict[str, Any], share: float) -> None:
        self.text = self.documents = self.read = self.of_read = 0
        self.batches: list[pa.RecordBatch] = []
        rows: list[dict[str, Any]] = []
        file = _Counted(entry, 64 << 20)
        size = entry["size"] if entry["start"] is None else entry["end"] - entry["start"]
        begun, last = None, 0
        records = source.step.function(file, **source.params)
        with contextlib.suppress(Exception), contextlib.closing(records):  # what is wrong with it the run will say
            for record in records:
                begun = begun or time.monotonic()
                if file.read > last:  # what came until now was in what had been read
                    self.read, self.of_read, last = last, self.text, file.read
                if isinstance(record, pa.RecordBatch):
                    self.text += int(text_bytes(record.column("text")).sum())
                    self.documents += int((text_bytes(record.column("text")) > 0).sum())
                    self.batches.append(record)
                elif not isinstance(record, (Bad, Skip)) and record["text"].strip():
                    self.text += len(record["text"].encode())
                    self.documents += 1
                    rows.append(record)
                times = share if self.read else MOST * share
                if self.text >= times * TEXT_BYTES or time.monotonic() > begun + times * SECONDS:
                    break
            else:
                self.read, self.of_read = size, self.text
        if rows:
            self.batches.append(record_batch(rows, source.step.output_columns(source.params), source.domain))
        if not self.read:
            self._by_rows(entry, size)

    def _by_rows(self, entry: dict[str, Any], size: int) -> None:
        """Of a Parquet file, which is not read in order, the rows tell; else what was read in one piece."""
        if entry["path"].endswith(".parquet") and self.documents:
            import pyarrow.parquet as pq

            rows = pq.read_metadata(entry["path"]).num_rows
            self.read, self.of_read = max(1, size * self.documents // rows), self.text


def _stored(seen: list[_Seen]) -> dict[str, float]:
    """Bytes on disk for a byte of text, as a part and as Parquet."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, writer in (("part", PartWriter), ("corpus", ParquetPart)):
            size = text = 0
            for number, batch in enumerate(batch for one in seen for batch in one.batches):
                path = Path(folder) / f"{name}-{number}"
                with writer(path, batch.schema) as file:
                    file.write(batch)
                size, text = size + path.stat().st_size, text + file.bytes
            found[name] = size / max(1, text)
    return found
