"""A look at the files of sources before anything runs: how much text there is in them, in how large documents."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator
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

_ROOM = "corpuskit.sources."

READERS = {_ROOM + name for name in FILES if name != "commoncrawl_index"}  # which asks a server

WHOLE = {_ROOM + name for name in ("repositories", "stackexchange")}
"""Those that take a file whole before its first document, to find licences or to sort what is in it: what they pass by
says nothing of what they give, so that a file tells nothing until it has been read to its end."""

WHOLE_SECONDS = 2.0
"""For the files of such a source together."""

PLACES = 8
"""At equal distances in the bytes of a source: the files that they lie in are looked at."""

ENOUGH = 0.75
"""Of these places must lie in files that tell what a byte of them gives; else nothing is known."""

SECONDS = 0.4
"""For all of them together, each from its first document on."""

TEXT_BYTES = 16 << 20
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
    end = time.monotonic() + WHOLE_SECONDS if source.step.function.__module__ in WHOLE else None
    known, seen = 0.0, []
    text = documents = 0.0  # for a byte of the source
    for entry, share in _some(entries):
        seen.append(one := _Seen(source, entry, share, end))
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
    if not local:
        return
    ends = np.cumsum([_size(entry) for entry in local])
    places = (np.arange(PLACES) + 0.5) / PLACES * ends[-1]
    for number, count in zip(*np.unique(np.searchsorted(ends, places), return_counts=True), strict=True):
        yield local[number], int(count) / PLACES


def _size(entry: dict[str, Any]) -> int:
    return int(entry["size"] if entry["start"] is None else entry["end"] - entry["start"])


class _Handle(io.RawIOBase):
    """A raw file that says how far it was read, and is not read beyond a time."""

    def __init__(self, handle: IO[bytes], end: float | None) -> None:
        super().__init__()
        self._handle, self._end = handle, end

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._handle.seekable()

    def tell(self) -> int:
        return self._handle.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._handle.seek(offset, whence)

    def readinto(self, view: Any, /) -> int:
        if self._end is not None and time.monotonic() > self._end:
            raise OSError("the time for a look is over")
        found = self._handle.read(len(view))
        view[: len(found)] = found
        return len(found)


class _Counted(BatchedFile):
    """A raw file that says how much of it a reader has passed."""

    def __init__(self, entry: dict[str, Any], limit: int, end: float | None) -> None:
        super().__init__(entry["path"], entry["relative"], entry["start"], entry["end"], limit)
        self._last: Callable[[], int] = lambda: 0
        self._end = end

    @contextlib.contextmanager
    def seekable(self) -> Iterator[IO[bytes]]:
        with super().seekable() as handle:
            if self.start:  # a range, which is read in order without `raw`
                self._last = handle.tell
            yield cast("IO[bytes]", _Handle(handle, self._end))

    @contextlib.contextmanager
    def raw(self) -> Iterator[RawStream]:
        with super().raw() as stream:
            self._last = lambda: stream.offset
            yield stream

    @property
    def passed(self) -> int:
        return max(0, self._last() - (self.start or 0))


class _Seen:
    """The first records of a file.

    Attributes:
        text, documents: of them. read: bytes of the file, and `of_read`: of text in these. batches: as they were read.
    """

    def __init__(self, source: Source, entry: dict[str, Any], share: float, end: float | None) -> None:
        self.text = self.documents = self.read = self.of_read = 0
        self.batches: list[pa.RecordBatch] = []
        rows: list[dict[str, Any]] = []
        file, size = _Counted(entry, 64 << 20, end), _size(entry)
        begun, last = time.monotonic() + WHOLE_SECONDS, 0  # and from the first document on, which loads kernels
        records = source.step.function(file, **source.params)
        with contextlib.suppress(Exception), contextlib.closing(records):  # what is wrong with it the run will say
            for record in records:
                if end is None and file.passed > last:  # what came until now was in what had been passed
                    self.read, self.of_read, last = last, self.text, file.passed
                if isinstance(record, pa.RecordBatch):
                    self.text += int(text_bytes(record.column("text")).sum())
                    self.documents += int((text_bytes(record.column("text")) > 0).sum())
                    self.batches.append(record)
                elif not isinstance(record, (Bad, Skip)) and record["text"].strip():
                    self.text += len(record["text"].encode())
                    self.documents += 1
                    rows.append(record)
                if self.documents:
                    begun = min(begun, time.monotonic())
                if end is not None:
                    enough = self.text >= MOST * TEXT_BYTES or time.monotonic() > end
                else:
                    times = share if self.read else MOST * share
                    enough = self.text >= times * TEXT_BYTES or time.monotonic() > begun + times * SECONDS
                if enough:
                    break
            else:
                self.read, self.of_read = size, self.text
        if rows:
            self.batches.append(record_batch(rows, source.step.output_columns(source.params), source.domain))
        if not self.read and self.documents and source.step.function.__module__ == f"{_ROOM}parquet":
            self._by_rows(entry, size)

    def _by_rows(self, entry: dict[str, Any], size: int) -> None:
        """Of a Parquet file, which is not read in order, the rows tell."""
        import pyarrow.parquet as pq

        with contextlib.suppress(pa.ArrowInvalid):  # it is one of Arrow
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
