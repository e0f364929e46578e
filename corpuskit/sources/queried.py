"""A Parquet file that DuckDB queries: the bytes that it needs come through fsspec, not through its extensions."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import tempfile
from collections.abc import Iterator
from typing import Any

import duckdb
import fsspec

from corpuskit.errors import CorpuskitError
from corpuskit.sources.ranges import RangedFiles

MEMORY = "256MiB"
"""Of DuckDB; what it cannot hold while it sorts goes to a scratch folder."""

FILE = "one://file"
"""What DuckDB calls the file, in its errors too."""

TABLE = f"read_parquet('{FILE}', hive_partitioning = false)"


@contextlib.contextmanager
def queried(path: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of one thread and `MEMORY`, in which the Parquet file at `path` is `TABLE`; time zones are UTC.

    Raises:
        CorpuskitError: no such file, or its store refuses access or does not answer.
    """
    one = _OneFile(path)
    with tempfile.TemporaryDirectory(prefix="corpuskit-index-") as scratch:
        config: dict[str, Any] = {
            "threads": 1,
            "memory_limit": MEMORY,
            "temp_directory": scratch,
            "autoload_known_extensions": False,
            "autoinstall_known_extensions": False,
            "python_enable_replacements": False,
        }
        with duckdb.connect(":memory:", config=config) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register_filesystem(one)
            try:
                yield connection
            except duckdb.Error:
                if one.error is not None:  # DuckDB makes a text of it, with a traceback
                    raise one.error from None
                raise


class _OneFile(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """A file system with one file, however it is called."""

    protocol = "one"
    cachable = False

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path, self.files = path, RangedFiles(path)
        self.error: CorpuskitError | None = None
        try:
            self.bytes = self.files.size(path)
        except FileNotFoundError:
            raise CorpuskitError(f"{path}: there is no such file", "run again: the plan lists the files anew") from None

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return {"name": path, "size": self.bytes, "type": "file"}

    def modified(self, path: str) -> dt.datetime:  # noqa: ARG002
        return dt.datetime.fromtimestamp(0, dt.UTC)

    def _open(self, path: str, *_: Any, **__: Any) -> io.RawIOBase:  # noqa: ARG002
        return _Opened(self)


class _Opened(io.RawIOBase):
    def __init__(self, one: _OneFile) -> None:
        super().__init__()
        self._one, self._at = one, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset + (0, self._at, self._one.bytes)[whence]
        return self._at

    def readinto(self, target: Any, /) -> int:
        view = memoryview(target).cast("B")
        end = min(self._at + len(view), self._one.bytes)
        try:
            data = self._one.files.read(self._one.path, self._at, end) if end > self._at else b""
        except FileNotFoundError:
            self._one.error = CorpuskitError(f"{self._one.path} vanished while it was read", "run again")
            raise
        except CorpuskitError as error:
            self._one.error = error
            raise
        view[: len(data)] = data
        self._at += len(data)
        return len(data)
