"""A look at the files of sources before anything runs: how much text there is in them, in how large documents."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pyarrow as pa

from corpuskit.core.batch import ParquetPart, PartWriter, text_bytes
from corpuskit.core.calls import Source
from corpuskit.core.step import Bad, Skip
from corpuskit.documents.reading import record_batch
from corpuskit.sources import FILES
from corpuskit.sources.base import BatchedFile
from corpuskit.sources.raw import RawStream

READERS = {f"corpuskit.sources.{name}" for name in FILES if name != "commoncrawl_index"}  # which asks a server

PLACES = 8
"""At equal distances in the bytes of a source: the files that they lie in are looked at."""

ENOUGH = 0.75
"""Of these places must lie in files that tell what a byte of them gives; else nothing is known."""

BEFORE = 8 << 20
"""Bytes of all of them that may be read before their first records: a reader that takes an archive whole first, to sort
what is in it or to find licences, would take longer than a plan."""

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
            `READERS` are not started: those of users may do anything, and some ask a server.
    """
    if source.step.function.__module__ not in READERS:
        return {}
    budget, known, seen = _Budget(BEFORE), 0.0, []
    text = documents = 0.0  # for a byte of the source
    for entry, share in _some(entries):
        seen.append(one := _Seen(source, entry, share, budget))
        if one.read:
            known += share
            text += share * one.of_read / one.read
            documents += share * one.of_read / one.read * one.documents / max(1, one.text)
    if known < ENOUGH or not documents:
        return {}
    return {"text": text / known, "document": text / documents, **_stored(seen)}


def _some(entries: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], float]]:
    """The files that are looked at, and what share of the places lies in each."""
    local = [entry for entry in entries if "://" not in entry["path"] and _size(entry)]
    ends = np.cumsum([_size(entry) for entry in local])
    places = (np.arange(PLACES) + 0.5) / PLACES * (ends[-1] if local else 0)
    for number, count in zip(*np.unique(np.searchsorted(ends, places), return_counts=True), strict=True):
        yield local[number], int(count) / PLACES


def _size(entry: dict[str, Any]) -> int:
    return int(entry["size"] if entry["start"] is None else entry["end"] - entry["start"])


class _Budget:
    """Bytes that may still be read before first records; `counts` while there was none of a file."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.counts = False


class _Handle(io.RawIOBase):
    """A raw file whose reader may take no more than a budget."""

    def __init__(self, handle: IO[bytes], budget: _Budget) -> None:
        super().__init__()
        self._handle, self._budget = handle, budget

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._handle.seekable()

    def tell(self) -> int:
        return self._handle.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._handle.seek(offset, whence)

    def readinto(self, view: Any, /) -> int:
        found = self._handle.read(len(view))
        view[: len(found)] = found
        if self._budget.counts:
            self._budget.left -= len(found)
            if self._budget.left < 0:
                raise OSError("no record in what a look may read")
        return len(found)


class _Counted(BatchedFile):
    """A raw file that says how much of it was read."""

    def __init__(self, entry: dict[str, Any], limit: int, budget: _Budget) -> None:
        super().__init__(entry["path"], entry["relative"], entry["start"], entry["end"], limit)
        self.stream: RawStream | None = None
        self._budget = budget

    @contextlib.contextmanager
    def seekable(self) -> Iterator[IO[bytes]]:
        with super().seekable() as handle:
            yield cast("IO[bytes]", _Handle(handle, self._budget))

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

    def __init__(self, source: Source, entry: dict[str, Any], share: float, budget: _Budget) -> None:
        self.text = self.documents = self.read = self.of_read = 0
        self.batches: list[pa.RecordBatch] = []
        rows: list[dict[str, Any]] = []
        file, size = _Counted(entry, 64 << 20, budget), _size(entry)
        budget.counts = not entry["path"].endswith(".parquet")  # which is not read in order
        begun, last = None, 0
        records = source.step.function(file, **source.params)
        with contextlib.suppress(Exception), contextlib.closing(records):  # what is wrong with it the run will say
            for record in records:
                begun, budget.counts = begun or time.monotonic(), False
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
