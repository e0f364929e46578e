"""Members of 7z archives, decompressed as they are read: nothing is unpacked to disk, and no member is held whole."""

from __future__ import annotations

import lzma
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import IO, Any

import py7zr
from py7zr.io import Py7zIO, WriterFactory

from corpuskit.errors import InputError
from corpuskit.sources.base import SourceFile
from corpuskit.sources.raw import KEEP_HINT

PIECE_BYTES = 1 << 20
"""What is handed on at a time: py7zr gives up to 128 MB at once of what is packed tightly."""

WAITING = 8
"""Pieces that wait to be read."""


def names(file: SourceFile) -> list[str]:
    """The members of an archive that are files, in its order.

    Raises:
        InputError: the archive is damaged, cut or encrypted.
    """
    with file.seekable() as handle, _opened(file, handle) as archive:
        return [entry.filename for entry in archive.list() if not entry.is_directory]


def member(file: SourceFile, name: str) -> Iterator[bytes]:
    """The content of one member, in pieces.

    Raises:
        InputError: damaged or cut, after every whole piece before.
    """
    pieces: queue.Queue[bytes | Exception | None] = queue.Queue(WAITING)
    stopped = threading.Event()

    def give(piece: bytes | Exception | None) -> None:
        while not stopped.is_set():
            try:
                pieces.put(piece, timeout=0.1)
            except queue.Full:
                continue
            return
        raise _Stopped

    def unpack() -> None:
        try:
            with file.seekable() as handle, _opened(file, handle) as archive:
                archive.extract(targets=[name], factory=_Writers(give))
            give(None)
        except _Stopped:
            return
        except Exception as error:  # noqa: BLE001 - told where the pieces are read
            give(error)

    thread = threading.Thread(target=unpack, name="7z", daemon=True)
    thread.start()
    try:
        while (piece := pieces.get()) is not None:
            if isinstance(piece, InputError):
                raise piece
            if isinstance(piece, Exception):
                raise _damaged(file, piece) from None
            yield piece
    finally:
        stopped.set()
        thread.join()


class _Stopped(Exception):
    """Nobody reads further."""


def _opened(file: SourceFile, handle: IO[bytes]) -> Any:
    try:
        archive = py7zr.SevenZipFile(handle)
        encrypted = archive.needs_password()
    except _ERRORS as error:
        raise _damaged(file, error) from None
    if encrypted:
        raise InputError(f"{file.path}: the 7z archive is encrypted", "decrypt it first")
    return closing(archive)


_ERRORS = (py7zr.exceptions.ArchiveError, lzma.LZMAError, OSError, EOFError, ValueError, LookupError, TypeError)
"""What py7zr raises on damaged archives: its own errors, and those of its parser on headers that make no sense."""


def _damaged(file: SourceFile, error: Exception) -> InputError:
    if not isinstance(error, _ERRORS):
        raise error
    return InputError(f"{file.path}: 7z data damaged: {error or type(error).__name__}", KEEP_HINT)


class _Writers(WriterFactory):
    """Hands what py7zr writes for a member on."""

    def __init__(self, give: Callable[[bytes], None]) -> None:
        self._give = give

    def create(self, filename: str, mode: str = "wb") -> Py7zIO:  # noqa: ARG002 - named so by py7zr
        return _Pipe(self._give)


class _Pipe(Py7zIO):
    def __init__(self, give: Callable[[bytes], None]) -> None:
        self._give = give
        self._size = 0

    def write(self, s: bytes | bytearray) -> int:
        for start in range(0, len(s), PIECE_BYTES):
            self._give(bytes(s[start : start + PIECE_BYTES]))
        self._size += len(s)
        return len(s)

    def read(self, size: int | None = None) -> bytes:  # noqa: ARG002
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:  # noqa: ARG002
        return offset

    def flush(self) -> None:
        pass

    def size(self) -> int:
        return self._size
