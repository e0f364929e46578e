"""Objects by key below a prefix of a bucket (S3, GCS, Azure), as `obstore` asks for them; safe to use from threads.

Requests that fail are asked again by obstore, ten times, which takes some seconds; what then fails is said in one line,
without a credential. A key that is not there raises FileNotFoundError.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from corpuskit.buckets.secrets import refuse_secrets, without_secrets
from corpuskit.errors import CorpuskitError, UsageError, install

if TYPE_CHECKING:
    import datetime as dt

    import obstore.store

REQUESTS = 16
"""Requests at a time."""

PIECE = 1 << 20
"""Bytes that a file opened for reading, or fetched, is taken in at least."""


PATIENCE = 180.0
"""Seconds for which a bucket that does not answer is asked again where much is lost if it never does."""

T = TypeVar("T")


def insist(ask: Callable[[], T], closed: threading.Event | None = None) -> T:
    """Ask a bucket that may be away for a while, for `PATIENCE` seconds.

    Args:
        ask: is done again after a CorpuskitError. closed: ends it early.
    """
    deadline, closed = time.monotonic() + PATIENCE, closed or threading.Event()
    while True:
        try:
            return ask()
        except CorpuskitError:  # obstore has asked ten times, which takes some seconds
            if time.monotonic() > deadline or closed.wait(1.0):
                raise


class Bucket:
    """A prefix of a bucket.

    Args:
        store: of `obstore`. url: what to call it.
    """

    def __init__(self, store: obstore.store.ObjectStore, url: str) -> None:
        import obstore

        self.url = url
        self._obstore, self.store = obstore, store

    @classmethod
    def from_url(cls, url: str) -> Bucket:
        """Open a bucket; credentials and endpoint come from the environment, as obstore takes them.

        Raises:
            UsageError: obstore is not installed, or does not know such a URL; or there is a credential in it.
        """
        refuse_secrets(url)
        try:
            from obstore.store import from_url
        except ImportError:
            raise UsageError(f"{url}: a bucket needs obstore, which is not installed", install("bucket")) from None
        from obstore.exceptions import BaseError

        try:
            return cls(from_url(url), url.rstrip("/"))
        except (BaseError, ValueError) as error:
            raise UsageError(f"{url}: {_first_line(error)}", "name it as s3://bucket/prefix") from None

    @contextlib.contextmanager
    def asking(self, what: str) -> Iterator[None]:
        """Say in one line that the bucket did not do what it was asked."""
        from obstore.exceptions import AlreadyExistsError, BaseError

        try:
            yield
        except AlreadyExistsError:
            raise
        except BaseError as error:
            raise CorpuskitError(
                f"{self.url}: the bucket refused or did not answer ({what}): {_first_line(error)}",
                "check the bucket's name, the credentials and the endpoint in the environment, then run again",
            ) from None  # a traceback would show what the store said, which may repeat a credential

    def put(self, key: str, content: bytes | Path) -> None:
        """Put a content, or a file, in pieces if it is large, in place of what is there."""
        with self.asking(f"put {key}"):
            self._obstore.put(self.store, key, content)

    def put_new(self, key: str, content: bytes) -> bool:
        """A conditional put; whether there was nothing."""
        from obstore.exceptions import AlreadyExistsError

        try:
            with self.asking(f"put {key}"):
                self._obstore.put(self.store, key, content, mode="create")
        except AlreadyExistsError:
            return False
        return True

    def copy(self, source: str, target: str) -> None:
        """A copy within the bucket."""
        with self.asking(f"copy {source}"):
            self._obstore.copy(self.store, source, target)

    def get(self, key: str) -> bytes:
        """A whole content."""
        with self.asking(f"get {key}"):
            return bytes(self._obstore.get(self.store, key).bytes())

    def range(self, key: str, start: int, end: int) -> bytes:
        """Bytes [start, end) of a content."""
        with self.asking(f"read {key}"):
            return bytes(self._obstore.get_range(self.store, key, start=start, end=end))

    def fetch(self, key: str, path: Path) -> None:
        """A whole content to a file, which is there whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        waiting = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        with waiting.open("wb") as stream, self.asking(f"get {key}"):
            for piece in self._obstore.get(self.store, key).stream(min_chunk_size=PIECE):
                stream.write(piece)
        waiting.replace(path)

    def list(self, folder: str) -> dict[str, int]:
        """Sizes of all objects below a folder, by key, sorted."""
        with self.asking(f"list {folder}"):
            pages = self._obstore.list(self.store, f"{folder}/" if folder else None)
            return dict(sorted((entry["path"], entry["size"]) for page in pages for entry in page))

    def size(self, key: str) -> int | None:
        """Bytes of an object; None if there is none."""
        try:
            with self.asking(f"head {key}"):
                return int(self._obstore.head(self.store, key)["size"])
        except FileNotFoundError:
            return None

    def changed(self, key: str) -> dt.datetime | None:
        """When an object, or the newest one below a folder of this name, was put."""
        with self.asking(f"look at {key}"):
            try:
                return self._obstore.head(self.store, key)["last_modified"]
            except FileNotFoundError:
                pages = self._obstore.list(self.store, f"{key}/")
                return max((entry["last_modified"] for page in pages for entry in page), default=None)

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        with self.asking(f"delete {key}"), contextlib.suppress(FileNotFoundError):  # gone is what was wanted
            self._obstore.delete(self.store, key)

    def open(self, key: str) -> obstore.ReadableFile:
        """A reader by ranges; ask within `asking`."""
        with self.asking(f"open {key}"):
            return self._obstore.open_reader(self.store, key, buffer_size=PIECE)


def _first_line(error: Exception) -> str:
    return without_secrets(str(error)).partition("\n")[0]
