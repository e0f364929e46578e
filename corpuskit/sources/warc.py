"""WARC files: the main text of HTML responses, and WET conversion records as they are.

Records are framed here, not by a library, so that damage costs the damaged record alone: reading goes on at the next
gzip member, or at the next record header in an uncompressed file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from corpuskit.core import step
from corpuskit.core.step import Bad, Skip
from corpuskit.sources.base import SourceFile
from corpuskit.sources.decoding import decode, decode_page
from corpuskit.sources.decompress import Damage, Member, codec_of, decompressed, gzip_members
from corpuskit.sources.extractors import EXTRACTORS, Extractor, libraries
from corpuskit.sources.http import fields, parse
from corpuskit.sources.lines import too_large
from corpuskit.sources.raw import RawStream

HEADER_BYTES = 1 << 20
HTML_TYPES = ("text/html", "application/xhtml+xml")
COLUMNS = {
    "url": "string",
    "date": "string",
    "record_id": "string",
    "content_language": "string",
    "status": "int64",
    "truncated": "string",
}
_KNOWN = {"warcinfo", "request", "metadata", "revisit", "resource", "continuation"}


@step.source(version=2, columns=COLUMNS, extract=True, libraries=libraries)
def warc(file: SourceFile, *, extract: Extractor = "corpuskit") -> Iterator[dict[str, Any] | Bad | Skip]:
    """Read WARC and WET, plain, per-record gzip, whole-file gzip or zstd.

    Kept: the main text of `response` records with status 200 and HTML content, and `conversion` records.
    All others are counted by their kind. A damaged record is `Bad`, with its number and raw offset. A body that is not
    packed as its HTTP header says is taken as it is; of one that breaks off the beginning is kept, and `truncated` says
    why, as it does where the crawler says that it cut the record.

    Args:
        file: what to read.
        extract: what finds the main text of a page: `corpuskit`, or `resiliparse` or `trafilatura`, both without
            comments; trafilatura (`pip install '.[trafilatura]'` in the clone) in its fast way, a tenth as fast.

    Raises:
        InputError: ARC files; damaged zstd.
    """
    with file.raw() as raw:
        for record in records(file, raw):
            yield record if isinstance(record, Bad) else document(record, file, EXTRACTORS[extract])


@dataclass(frozen=True)
class Record:
    """A WARC record: its place, its header with names in lower case, what follows the header."""

    where: str
    headers: dict[str, str]
    body: bytes

    @property
    def type(self) -> str:
        """`response`, `conversion` and the like; empty if it does not say."""
        return self.headers.get("warc-type", "").lower()

    @property
    def url(self) -> str | None:
        """What it is about."""
        return self.headers.get("warc-target-uri", "").strip("<>") or None

    def columns(self) -> dict[str, Any]:
        """Columns of each kind of record."""
        return {
            "url": self.url,
            "date": self.headers.get("warc-date"),
            "record_id": self.headers.get("warc-record-id"),
        }


def document(record: Record, file: SourceFile, extracted: Callable[[str], str]) -> dict[str, Any] | Bad | Skip:
    """The document that a record is, with `COLUMNS`; a body larger than the file's limit is Bad."""
    if record.type == "response":
        return _response(record, file, extracted)
    if record.type == "conversion":
        return _conversion(record)
    return Skip(f"{record.type} record" if record.type in _KNOWN else "record of an unknown type")


def _response(record: Record, file: SourceFile, extracted: Callable[[str], str]) -> dict[str, Any] | Bad | Skip:
    from corpuskit.kernels.html import MOST_TAGS

    if not record.headers.get("content-type", "").lower().startswith("application/http"):
        return Skip("response without HTTP")
    limit = file.max_doc_bytes
    http = parse(record.body, limit)
    if http is None:
        return Bad("the HTTP header cannot be read", record.where)
    if http.status != 200:
        return Skip(f"HTTP status {http.status}" if http.status and 100 <= http.status < 600 else "HTTP status unknown")
    if http.mime and not http.mime.startswith(HTML_TYPES):
        return Skip("not HTML")
    if len(http.body) > limit:
        return Bad(too_large(limit), record.where)
    if http.cut and not http.body:
        return Bad(f"{http.cut}: nothing of it can be read", record.where)
    if not http.mime and not any(sign in http.body[:1024].lower() for sign in (b"<html", b"<!doctype html")):
        return Skip("not HTML")
    file.raw_record = page = decode_page(http.body, http.charset)
    if page.count("<") > MOST_TAGS:
        http.cut = f"more than {MOST_TAGS:,} tags"
    return {
        "text": extracted(page),
        **record.columns(),
        "content_language": http.headers.get("content-language"),
        "status": http.status,
        "truncated": record.headers.get("warc-truncated") or http.cut,
    }


def _conversion(record: Record) -> dict[str, Any]:
    language = record.headers.get("warc-identified-content-language")
    return {"text": decode(record.body, "utf-8"), **record.columns(), "content_language": language}


def records(file: SourceFile, raw: RawStream) -> Iterator[Record | Bad]:
    """The records of `raw`, which is `file` or a part of it.

    Raises:
        InputError: as `warc`.
    """
    head = raw.take(10)
    raw.unread(head)
    if codec_of(head) == "gzip":
        yield from _Framer(file, gzip_members(raw, resume_at=b"WARC/")).records()
    else:
        yield from _Framer(file, (Member(-1, data) for data in decompressed(raw))).records()


class _Lost(Exception):
    """The data broke off: the record at hand is gone."""


class _Framer:
    """Cuts decompressed data into records.

    Holds the data of the record at hand: `_data` from `_at` on. `_passed` counts the bytes before `_data`; `_member` is
    the raw offset of the gzip member that the record began in, or -1 without gzip.
    """

    def __init__(self, file: SourceFile, events: Iterator[Member | Damage]) -> None:
        self._file, self._events = file, events
        self._data, self._at, self._passed = b"", 0, 0
        self._member = -1
        self._ended = False

    def records(self) -> Iterator[Record | Bad]:
        number = 0
        while True:
            where = ""
            number += 1
            try:
                if not self._skip_blank():
                    return
                where = f"record {number} at byte {self._passed + self._at if self._member < 0 else self._member}"
                yield self._record(where)
            except _Lost as lost:
                yield Bad(str(lost), where or f"record {number}")

    def _record(self, where: str) -> Record | Bad:
        head = self._header()
        if not head.startswith(b"WARC/"):
            if head.startswith(b"filedesc:"):
                hint = f"convert it once: warcio recompress {self._file.path} converted.warc.gz"
                raise self._file.damaged("an ARC file, the format before WARC", hint)
            self._resync()
            return Bad(f"no WARC header: {head[:40]!r}", where)
        headers = fields(head.decode("utf-8", "replace").split("\n")[1:])
        length = headers.get("content-length", "")
        if not length.isdecimal():
            self._resync()
            return Bad(f"Content-Length is {length[:40]!r}", where)
        if int(length) > self._file.max_doc_bytes:
            self._pass_over(int(length))
            return Bad(too_large(self._file.max_doc_bytes), where)
        body = b"".join(self._pieces(int(length)))
        after = self._data[self._at : self._at + 5]
        if after and after[:1] not in b"\r\n" and not b"WARC/".startswith(after):
            self._resync()
            return Bad("the record is longer than its Content-Length", where)
        return Record(where, headers, body)

    def _fill(self) -> bool:
        """Get more data; False at the end of the file."""
        event = None if self._ended else next(self._events, None)
        if event is None:
            self._ended = True
            return False
        left = self._data[self._at :]
        self._passed += self._at
        self._at = 0
        if isinstance(event, Damage):
            self._data = b""
            raise _Lost(f"damaged gzip member at byte {event.offset}: {event.reason}")
        if not left:
            self._member = event.offset
        self._data = left + event.data
        return True

    def _skip_blank(self) -> bool:
        while True:
            while self._data[self._at : self._at + 1] in (b"\r", b"\n"):
                self._at += 1
            if self._at < len(self._data):
                return True
            if not self._fill():
                return False

    def _header(self) -> bytes:
        """Everything to the empty line, with it; at most HEADER_BYTES where there is none."""
        searched = 0
        while True:
            begin, end = self._at + max(0, searched - 3), self._at + HEADER_BYTES
            found = [(self._data.find(mark, begin, end), len(mark)) for mark in (b"\r\n\r\n", b"\n\n")]
            found = [(position, length) for position, length in found if position >= 0]
            searched = len(self._data) - self._at
            if found:
                stop = sum(min(found))
            elif searched < HEADER_BYTES and self._fill():
                continue
            else:
                stop = min(len(self._data), self._at + HEADER_BYTES)
                if self._data.startswith(b"WARC/", self._at) and self._ended:
                    self._at = stop
                    raise _Lost("the file is cut inside a record's header")
            head = self._data[self._at : stop]
            self._at = stop
            return head

    def _pieces(self, count: int) -> Iterator[bytes]:
        """The next `count` bytes."""
        left = count
        while left:
            if self._at == len(self._data) and not self._fill():
                raise _Lost(f"the file is cut: {left:,} of {count:,} bytes of the record are missing")
            piece = self._data[self._at : self._at + left]
            self._at += len(piece)
            left -= len(piece)
            yield piece

    def _pass_over(self, count: int) -> None:
        for _ in self._pieces(count):
            pass

    def _resync(self) -> None:
        """Go to the next `WARC/` at the start of a line."""
        self._at = max(0, self._at - 1)  # the line end before it may have been read
        while True:
            position = self._data.find(b"\nWARC/", self._at)
            if position >= 0:
                self._at = position + 1
                return
            self._at = max(self._at, len(self._data) - 5)
            if not self._fill():
                self._at = len(self._data)
                return
