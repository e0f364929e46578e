"""A root in a bucket: an object store that `obstore` opens (S3, GCS, Azure, or one in memory)."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import itertools
import os
import re
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pyarrow as pa

from corpuskit.buckets.bucket import REQUESTS, Bucket
from corpuskit.buckets.fetched import own_folder
from corpuskit.errors import UsageError
from corpuskit.store.scratch import at_work, scratch_name

if TYPE_CHECKING:
    import obstore.store

LOG_SECONDS = 10.0
"""Between two times that a log is put."""

_PART = re.compile("stages/[^/]+/parts/")

_opened = itertools.count()
"""Numbers for the stores of this process: what one has fetched, another may find changed in the bucket."""


class ObjectStore:
    """Contents are objects below a prefix; see `corpuskit.core.storage.Store`.

    There is no rename, no lock and no hard link: an object is put whole, put if there is none (a conditional put), or
    copied within the bucket. Units work in `TMPDIR`; parts that a unit reads as files are fetched there until it ends.

    Args:
        bucket: a store of `obstore`. url: what to call it.
    """

    def __init__(self, bucket: obstore.store.ObjectStore, url: str) -> None:
        self.url = url
        self.path: Path | None = None
        self.bucket = Bucket(bucket, url)
        place = hashlib.sha256(url.encode()).hexdigest()[:12]
        self._folder = Path(tempfile.gettempdir()) / f"corpuskit-{os.getuid()}-{place}"
        self._number = next(_opened)
        self.release()  # what a process left that was killed and had the number of this one
        self._parts: dict[str, int] = {}
        """Sizes of parts, which are never written anew with another content; of all else they are asked for."""
        self._threads = ThreadPoolExecutor(REQUESTS)
        weakref.finalize(self, _remove_fetched, self._folder, self._number)  # also when the process ends

    @classmethod
    def from_url(cls, url: str) -> ObjectStore:
        """Open a bucket; see `Bucket.from_url`."""
        bucket = Bucket.from_url(url)
        return cls(bucket.store, bucket.url)

    def put(self, key: str, content: bytes) -> None:
        """Put a content in place of what is there."""
        self.bucket.put(key, content)
        self._know({key: len(content)})

    def put_new(self, key: str, content: bytes) -> bool:
        """A conditional put."""
        return self.bucket.put_new(key, content)

    def put_files(self, files: Mapping[str, Path]) -> None:
        """Upload files, in pieces if they are large."""

        def upload(entry: tuple[str, Path]) -> None:
            key, path = entry
            self.bucket.put(key, path)
            self._know({key: path.stat().st_size})

        list(self._threads.map(upload, files.items()))

    def copy_all(self, copies: Mapping[str, str]) -> None:
        """Copies within the bucket."""

        def copy(entry: tuple[str, str]) -> None:
            target, source = entry
            with self._forgetting(source):
                self.bucket.copy(source, target)

        list(self._threads.map(copy, copies.items()))

    def same(self, source: str, target: str, *, said: bool) -> bool:  # noqa: ARG002 - a bucket knows no links
        """What the manifest said: it goes before any of its files does."""
        return said

    def get(self, key: str) -> bytes:
        """A whole content."""
        with self._forgetting(key):
            return self.bucket.get(key)

    def range(self, key: str, start: int, end: int) -> bytes:
        """Bytes [start, end) of a content; safe to ask from several threads."""
        with self._forgetting(key):
            return self.bucket.range(key, start, end)

    def get_all(self, keys: Iterable[str]) -> Iterator[bytes | None]:
        """Whole contents, many requests at a time."""

        def get(key: str) -> bytes | None:
            try:
                return self.get(key)
            except FileNotFoundError:
                return None

        return self._threads.map(get, keys)

    def list(self, folder: str) -> dict[str, int]:
        """Sizes of all objects below a folder; parts that are not among them are forgotten."""
        found = self.bucket.list(folder)
        for key in [key for key in list(self._parts) if key.startswith(f"{folder}/" if folder else "")]:
            if key not in found:
                del self._parts[key]
        self._know(found)
        return found

    def size(self, key: str) -> int | None:
        """Bytes of an object; of a part as they were when it was last put, listed or asked for."""
        if key in self._parts:
            return self._parts[key]
        found = self.bucket.size(key)
        if found is not None:
            self._know({key: found})
        return found

    def _know(self, sizes: Mapping[str, int]) -> None:
        self._parts |= {key: size for key, size in sizes.items() if _PART.match(key)}

    @contextlib.contextmanager
    def _forgetting(self, key: str) -> Iterator[None]:
        """Forget a part that is gone when it is read: another process has removed it."""
        try:
            yield
        except FileNotFoundError:
            self._parts.pop(key, None)
            raise

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects."""
        for key in keys:
            self._parts.pop(key, None)
            self.bucket.delete(key)

    def open(self, key: str) -> pa.NativeFile:
        """An object that is read by ranges."""
        with self._forgetting(key):
            reader = self.bucket.open(key)
        return pa.PythonFile(_Reader(reader, lambda: self.bucket.asking(f"read {key}")), "r")

    def local(self, key: str) -> Path:
        """A fetched file."""
        if key.startswith("/") or ".." in key.split("/"):
            raise UsageError(f"{self.url} speaks of a file `{key}`, which would not lie in it")
        path = self._fetched / key
        if not path.exists():
            with self._forgetting(key):
                self.bucket.fetch(key, path)
        return path

    def folder(self, key: str) -> Path:
        """Fetched files."""
        list(self._threads.map(self.local, self.list(key)))
        return self._fetched / key

    @property
    def _fetched(self) -> Path:
        return _fetched(own_folder(self._folder), self._number)

    def release(self) -> None:
        """Remove what was fetched by this store."""
        _remove_fetched(self._folder, self._number)

    def scratch(self, stage: str, name: str) -> Path:
        """A folder in TMPDIR."""
        return own_folder(self._folder) / stage / name

    def scratches(self, stage: str | None = None) -> Iterator[Path]:
        """The folders in TMPDIR; of fetched parts those whose processes are gone: one that only looks is no run."""
        for path in self._folder.glob(f"{glob.escape(stage) if stage else '*'}/*"):
            if path.parent.name != "fetched" or at_work(path) is False:
                yield path

    def changed(self, key: str) -> float | None:
        """The time of an object, or of the newest one of a listing."""
        found = self.bucket.changed(key)
        return found.timestamp() if found is not None else None

    def sealing(self) -> AbstractContextManager[None]:
        """No lock: two seals of one plan put the same bytes; do not run two plans in one bucket root at a time."""
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def log(self, key: str) -> Iterator[IO[bytes]]:
        """An object that is put anew every few seconds and at the end; it begins with what was there."""
        stream = _Log(self, key)
        try:
            yield stream
        finally:
            stream.put()


def _fetched(folder: Path, number: int) -> Path:
    return folder / "fetched" / scratch_name(f"parts{number}")


def _remove_fetched(folder: Path, number: int) -> None:
    shutil.rmtree(_fetched(folder, number), ignore_errors=True)


class _Log(io.BytesIO):
    """Lines in memory, put whole now and then."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        super().__init__()
        with contextlib.suppress(FileNotFoundError):  # the run's first log
            self.write(store.get(key))
        self._store, self._key, self._at = store, key, time.monotonic()

    def flush(self) -> None:
        """Put what there is, if that was not done for some seconds."""
        if time.monotonic() - self._at > LOG_SECONDS:
            self.put()

    def put(self) -> None:
        """Put what there is."""
        self._store.put(self._key, self.getvalue())
        self._at = time.monotonic()


class _Reader(io.RawIOBase):
    """obstore's reader as a file of Python's: `read` gives bytes."""

    def __init__(self, reader: obstore.ReadableFile, asking: Callable[[], AbstractContextManager[None]]) -> None:
        self._reader, self._asking = reader, asking

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._reader.seek(offset, whence)

    def tell(self) -> int:
        return self._reader.tell()

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        with self._asking():
            data = self._reader.read(len(view))
        view[: len(data)] = memoryview(data)
        return len(data)
