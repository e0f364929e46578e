"""Where DuckDB finds the files of a root: below its folder, or in its bucket through the store that is open already.

DuckDB's own access to buckets is an extension, which would be fetched and would ask for credentials. Here it gets a
file system of Python's that reads one root, by ranges, and nothing else: a query fetches the columns that it names.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import threading
from typing import Any

import duckdb
import fsspec

from corpuskit.errors import CorpuskitError
from corpuskit.store.objects import ObjectStore
from corpuskit.store.root import Root


class Place:
    """The files of a root, as queries name them.

    Args:
        root: of the run. name: what a bucket's files are called by, `name://KEY`; another one for each root of a query.

    Attributes:
        start: what the glob patterns of its files begin with. folders: where a query may read, as DuckDB compares it.
    """

    def __init__(self, root: Root, name: str = "root") -> None:
        self._bucket = _Bucket(root.store, name) if isinstance(root.store, ObjectStore) else None
        if self._bucket is not None:
            self.start, self.folders = f"{name}://", [f"{name}://"]
        else:
            self._base = root.path.resolve()
            pattern = _exactly(str(self._base))
            self.start, self.folders = f"{pattern}/", [str(self._base), pattern]  # as text: a pattern too

    def open_to(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a connection read it."""
        if self._bucket is not None:
            connection.register_filesystem(self._bucket)

    def only(self, filename: str) -> str:
        """The glob pattern, behind `start`, of the one file that DuckDB calls so."""
        base = self.start if self._bucket is not None else f"{self._base}/"
        return _exactly(filename.removeprefix(base))

    def has(self, pattern: str) -> bool:
        """Whether there is a file that matches a glob pattern."""
        if self._bucket is not None:
            return bool(self._bucket.glob(pattern))
        return next(self._base.glob(pattern), None) is not None


def _exactly(path: str) -> str:
    return "".join(f"[{c}]" if c in "[*?" else c for c in path)


class _Bucket(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """The contents of one root, to read."""

    cachable = False

    def __init__(self, store: ObjectStore, name: str) -> None:
        super().__init__()
        self.protocol = name
        self._store = store
        self._listed: dict[str, dict[str, int]] = {}

    def _key(self, path: str) -> str:
        return path.removeprefix(f"{self.protocol}://").strip("/")

    def glob(self, path: str, **_: Any) -> list[str]:
        """Keys that match a pattern, sorted; of each folder as it was when it was first asked for."""
        key = self._key(path)
        folder = re.split(r"[*?\[]", key)[0].rpartition("/")[0]
        if not fsspec.core.has_magic(key):
            return [key] if self._store.size(key) is not None else []
        matches = re.compile(fsspec.utils.glob_translate(key)).match
        if folder not in self._listed:
            self._listed[folder] = self._store.list(folder)
        return [found for found in self._listed[folder] if matches(found)]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Size of a content."""
        return {"name": path, "size": self._size(self._key(path)), "type": "file"}

    def _size(self, key: str) -> int:
        """As it was listed, or else asked for."""
        size = next((listed[key] for listed in self._listed.values() if key in listed), None)
        if size is None:
            size = self._store.size(key)
        if size is None:
            raise FileNotFoundError(f"{self._store.url} holds no {key}")
        return size

    def modified(self, path: str) -> dt.datetime:  # noqa: ARG002 - a part never changes under its name
        """The same for all."""
        return dt.datetime.fromtimestamp(0, dt.UTC)

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if mode != "rb":
            raise PermissionError(f"a query changes nothing in {self._store.url}")
        key = self._key(path)
        return _Opened(self._store, key, self._size(key))


class _Opened(io.RawIOBase):
    """A content for DuckDB, whose threads share a file and each seek before they read: each has a place of its own."""

    def __init__(self, store: ObjectStore, key: str, size: int) -> None:
        super().__init__()
        self._store, self._key, self._size = store, key, size
        self._of_thread = threading.local()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return getattr(self._of_thread, "at", 0)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._of_thread.at = offset + (0, self.tell(), self._size)[whence]
        return self.tell()

    def read(self, size: int = -1, /) -> bytes:
        start = self.tell()
        end = self._size if size < 0 else min(start + size, self._size)
        found = self._store.range(self._key, start, end) if start < end else b""
        self._of_thread.at = start + len(found)
        return found


def failure(error: duckdb.Error) -> CorpuskitError | None:
    """What a bucket said, where that is why DuckDB failed: it makes a text of an exception, with a traceback."""
    said = re.findall(r"^[\w.]+(?:Error|File): (.+)", str(error), re.MULTILINE)
    if not said or not str(error).startswith("Traceback "):
        return None
    return CorpuskitError(said[-1], "see to the bucket, then ask again")
