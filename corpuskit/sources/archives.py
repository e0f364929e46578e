"""Members of tar and zip archives in archive order, streamed: each in memory only when asked for, none on disk.

The standard library's tar reader takes a damaged header for the end of the archive; this one says so.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from corpuskit.core.step import Bad
from corpuskit.errors import InputError
from corpuskit.sources.base import SourceFile
from corpuskit.sources.lines import too_large

BLOCK = 512
HEADER_DATA_BYTES = 1 << 20
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")


@dataclass(frozen=True)
class Entry:
    """A regular file in an archive.

    Attributes:
        name: its path. size: bytes, as the header says. link: it is a link or device, with no content of its own.
        content: reads it, or says why it cannot be read.
    """

    name: str
    size: int
    link: bool
    content: Callable[[], bytes | Bad]


def archive_kind(file: SourceFile) -> str | None:
    """Tell `tar`, `zip` or no archive (None) by the first bytes of the (decompressed) content."""
    head = file.first_bytes(BLOCK)
    if head.startswith(_ZIP_MAGIC):
        return "zip"
    if len(head) == BLOCK and head[257:262] == b"ustar":
        return "tar"
    if len(head) == BLOCK and head[0]:
        try:  # tars older than POSIX have nothing but the header's checksum
            tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            return None
        return "tar"
    return None


def entries(file: SourceFile, kind: str) -> Iterator[Entry]:
    """The files of an archive; content must be asked for before the next entry is.

    Raises:
        InputError: damaged or cut, after every whole member before.
    """
    if kind == "zip":
        yield from _zip_entries(file)
    else:
        with file.open() as stream:
            yield from tar_entries(stream, file)


def tar_entries(stream: io.RawIOBase | IO[bytes], file: SourceFile) -> Iterator[Entry]:
    """The regular files and links of a tar stream (ustar, pax, GNU)."""
    tar = _Tar(stream, file)
    while (info := tar.next()) is not None:
        if info.isdir():
            continue
        name = info.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        yield Entry(name, info.size, not info.isreg(), tar.content)


class _Tar:
    """Position in a tar stream."""

    def __init__(self, stream: io.RawIOBase | IO[bytes], file: SourceFile) -> None:
        self._stream, self._file = stream, file
        self._offset = 0
        self._left = 0  # bytes of the current member that were not read, with padding
        self._size = 0

    def next(self) -> tarfile.TarInfo | None:
        extra: dict[str, str] = {}
        self._skip(self._left)
        self._left = 0
        while True:
            start = self._offset
            header = self._read(BLOCK)
            if not header:
                raise self._damaged(start, "the archive is cut: its end mark is missing")
            if len(header) < BLOCK:
                raise self._damaged(start, "the archive is cut inside a header")
            if not header.strip(b"\0"):
                while self._stream.read(1 << 18):  # to the end, so that a cut compressed file is noticed
                    pass
                return None
            try:
                info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
            except tarfile.HeaderError as error:
                raise self._damaged(start, f"bad header: {error}") from None
            if info.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE):
                try:
                    values = _pax(self._whole(info.size))
                except ValueError as error:
                    raise self._damaged(start, str(error)) from None
                extra |= values if info.type != tarfile.XGLTYPE else {}
            elif info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
                value = self._whole(info.size).split(b"\0")[0].decode("utf-8", "surrogateescape")
                extra |= {"path": value} if info.type == tarfile.GNUTYPE_LONGNAME else {}
            else:
                break
        info.name = extra.get("path", info.name)
        size = extra.get("size", str(info.size))
        if not size.isdigit():
            raise self._damaged(start, f"a member of size {size!r}")
        info.size = int(size)
        if not (info.isreg() or info.type not in tarfile.SUPPORTED_TYPES):
            info.size = 0
        self._size, self._left = info.size, -(-info.size // BLOCK) * BLOCK
        return info

    def content(self) -> bytes | Bad:
        """The current member's bytes."""
        if self._size > self._file.max_doc_bytes:
            return Bad(too_large(self._file.max_doc_bytes))
        data = self._read(self._size)
        self._left -= len(data)
        if len(data) < self._size:
            raise self._damaged(self._offset, "the archive is cut inside a member")
        return data

    def _whole(self, size: int) -> bytes:
        if size > HEADER_DATA_BYTES:
            raise self._damaged(self._offset, f"a name of {size:,} bytes")
        data = self._read(-(-size // BLOCK) * BLOCK)
        return data[:size]

    def _read(self, count: int) -> bytes:
        pieces = []
        while count and (data := self._stream.read(count) or b""):
            pieces.append(data)
            count -= len(data)
            self._offset += len(data)
        return b"".join(pieces)

    def _skip(self, count: int) -> None:
        while count:
            data = self._stream.read(min(count, 1 << 20))
            if not data:
                raise self._damaged(self._offset, "the archive is cut inside a member")
            count -= len(data)
            self._offset += len(data)

    def _damaged(self, offset: int, reason: str) -> InputError:
        return self._file.damaged(f"tar data damaged at byte {offset} of the unpacked archive: {reason}")


def _pax(data: bytes) -> dict[str, str]:
    r"""Records `LENGTH KEY=VALUE\n` of a pax header."""
    values: dict[str, str] = {}
    while data[:1].isdigit():
        digits, _, _ = data.partition(b" ")
        if not digits.isdigit() or not len(digits) < int(digits) <= len(data):
            raise ValueError("a malformed pax header")
        length = int(digits)
        key, _, value = data[:length].split(b" ", 1)[1].rstrip(b"\n").partition(b"=")
        values[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        data = data[length:]
    return values


def _zip_entries(file: SourceFile) -> Iterator[Entry]:
    with file.seekable() as handle:
        try:
            archive = zipfile.ZipFile(handle)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise file.damaged(f"not a whole zip archive: {error}") from None
        with archive:
            for info in archive.infolist():
                if not info.is_dir():
                    yield Entry(info.filename, info.file_size, link=False, content=_ZipContent(file, archive, info))


@dataclass(frozen=True)
class _ZipContent:
    file: SourceFile
    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    def __call__(self) -> bytes | Bad:
        limit = self.file.max_doc_bytes
        try:
            with self.archive.open(self.info) as stream:
                data = stream.read(limit + 1)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError) as error:
            return Bad(f"cannot be unpacked: {error}", self.info.filename)
        return data if len(data) <= limit else Bad(too_large(limit), self.info.filename)
