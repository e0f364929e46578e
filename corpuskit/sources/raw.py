"""The raw bytes of a file as they are read: offsets for errors, and a digest."""

from __future__ import annotations

import hashlib
from typing import IO

from corpuskit.errors import InputError

READ_BYTES = 1 << 18
KEEP_HINT = "fetch the file again, or set `on_error: drop` at the source: what was read before this place is then kept"


class RawStream:
    """Raw bytes in order, with their offset and a running SHA-256; bytes can be put back.

    Attributes:
        path: for errors. offset: of the byte that `read` gives next; of the first, where `handle` is a part of a file.
    """

    def __init__(self, path: str, handle: IO[bytes], offset: int = 0) -> None:
        self.path = path
        self.offset = offset
        self.complete = False
        self._handle = handle
        self._hash = hashlib.sha256()
        self._back = b""
        self._at = 0  # of what was read from the file and not given yet

    def read(self, count: int) -> bytes:
        """Between 1 and `count` bytes, or none at the end."""
        if self._at == len(self._back):
            self._back, self._at = self._handle.read(max(count, READ_BYTES)), 0
            self._hash.update(self._back)
            self.complete = self.complete or not self._back
        data = self._back[self._at : self._at + count]
        self._at += len(data)
        self.offset += len(data)
        return data

    def take(self, count: int) -> bytes:
        """Exactly `count` bytes, fewer only at the end of the file."""
        data = self.read(count)
        while len(data) < count and (more := self.read(count - len(data))):
            data += more
        return data

    def unread(self, data: bytes) -> None:
        """Put back bytes that were just read."""
        self._back, self._at = data + self._back[self._at :], 0
        self.offset -= len(data)

    def hexdigest(self) -> str:
        """SHA-256 of all bytes that came from the file."""
        return self._hash.hexdigest()

    def damaged(self, kind: str, reason: str, offset: int | None = None) -> InputError:
        """The error for damage at `offset` (default: here)."""
        place = self.offset if offset is None else offset
        return InputError(f"{self.path}: {kind} data damaged at byte {place}: {reason}", KEEP_HINT)
