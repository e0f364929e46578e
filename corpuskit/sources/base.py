"""The raw file that a reader gets: opened through fsspec, decompressed while streaming, digested while read.

A compressed file is never unpacked to disk, and never held in memory. A compression is recognized by the first bytes,
not by the name.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from corpuskit.errors import CorpuskitError, InputError
from corpuskit.sources.decompress import codec_of, decompressed
from corpuskit.sources.raw import KEEP_HINT, RawStream


@dataclass
class SourceFile(os.PathLike[str]):
    """One raw file, or one byte range of a splittable one.

    Attributes:
        path: as fsspec opens it (`/data/x.jsonl.gz`, `s3://bucket/x.warc.gz`).
        relative: path relative to the source's root, with `/`; part of document ids.
        start, end: byte range of a splittable file: a reader yields the records whose first byte lies in
            [start, end); None means the whole file.
        max_doc_bytes: a larger record is `Bad`, and must not be held in memory.
        raw_record: what the reader made the record at hand of, for `corpuskit peek --raw`: text, bytes, pieces in order
            or files by name; readers set it to what they have at hand, and make nothing for it.
    """

    path: str
    relative: str
    start: int | None = None
    end: int | None = None
    max_doc_bytes: int = 64 << 20
    raw_record: Any = field(default="", repr=False, init=False)
    _digest: str | None = field(default=None, repr=False, init=False)

    def __fspath__(self) -> str:
        return self.path

    @property
    def local(self) -> bool:
        """Whether the file lies in the local file system."""
        return "://" not in self.path and "::" not in self.path

    @property
    def digest(self) -> str | None:
        """SHA-256 of the raw bytes; None for a range, and for a remote file that was not read in order to its end."""
        if self.start is not None or self.end is not None:
            return None
        if self._digest is None and self.local:
            with Path(self.path).open("rb") as stream:
                self._digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return self._digest

    @contextlib.contextmanager
    def seekable(self) -> Iterator[IO[bytes]]:
        """The raw bytes as a file that can seek, for formats with a directory at their end.

        Raises:
            InputError: if the file cannot be opened.
        """
        with contextlib.ExitStack() as stack:
            try:
                if self.local:
                    handle: IO[bytes] = stack.enter_context(Path(self.path).open("rb"))
                else:
                    import fsspec

                    handle = stack.enter_context(fsspec.open(self.path, "rb"))
            except Exception as error:  # noqa: BLE001 - the clients of stores have errors of their own
                msg = f"{self.path}: cannot be opened: {getattr(error, 'strerror', None) or error}"
                raise CorpuskitError(msg, "check the path and its permissions") from None
            yield handle

    @contextlib.contextmanager
    def raw(self) -> Iterator[RawStream]:
        """The raw bytes from the first to the last, digested while they pass.

        Raises:
            InputError: if the file cannot be opened.
        """
        with self.seekable() as handle:
            stream = RawStream(self.path, handle)
            yield stream
            if stream.complete:
                self._digest = stream.hexdigest()

    def chunks(self) -> Iterator[bytes]:
        """The content, decompressed, in pieces of at most some MiB.

        Raises:
            InputError: at the place where the file is damaged or cut, after every byte before it.
        """
        with self.raw() as stream:
            yield from decompressed(stream)

    def open(self) -> io.RawIOBase:
        """The content, decompressed, as a binary stream: `read(n)` gives between 1 and n bytes until the end.

        Raises:
            InputError: while reading; see `chunks`.
        """
        return _ChunkStream(self.chunks())

    def content(self) -> bytes | None:
        """All of the content, decompressed; None where it is larger than `max_doc_bytes`.

        Raises:
            InputError: see `chunks`.
        """
        pieces, size = [], 0
        with contextlib.closing(cast("Any", self.chunks())) as chunks:
            for chunk in chunks:
                size += len(chunk)
                if size > self.max_doc_bytes:
                    return None
                pieces.append(chunk)
        return b"".join(pieces)

    def first_bytes(self, count: int) -> bytes:
        """The first bytes of the content, decompressed; fewer where the file is shorter or damaged."""
        found = b""
        with contextlib.suppress(InputError), contextlib.closing(cast("Any", self.chunks())) as chunks:
            for chunk in chunks:
                found += chunk
                if len(found) >= count:
                    break
        return found[:count]

    def compressed(self) -> bool:
        """Whether the raw bytes are those of a compressed stream, which tells by itself whether it is whole."""
        with self.raw() as raw:
            return codec_of(raw.take(10)) != "plain"

    def damaged(self, reason: str, hint: str = KEEP_HINT) -> InputError:
        """The error that says that this file cannot be read (further)."""
        return InputError(f"{self.path}: {reason}", hint)


class BatchedFile(SourceFile):
    """A raw file whose reader may yield record batches in place of dicts (see `step.source`)."""


class _ChunkStream(io.RawIOBase):
    """A generator of bytes as a stream; an error surfaces only when every byte before it was read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any, /) -> int:
        view = memoryview(target).cast("B")
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            cast("Any", self._chunks).close()
        super().close()
