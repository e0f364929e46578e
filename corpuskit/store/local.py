"""A root on a file system of this machine.

The root may be somebody else's: what it says is a key leads nowhere else, and neither does a symbolic link in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

import pyarrow as pa

from corpuskit.errors import UsageError
from corpuskit.store.files import fsync_folder, link, put

_STRANGE = "corpuskit made no such root; of a folder that you moved to another disk, link or mount the whole root"


class LocalStore:
    """Contents are files below a folder; see `corpuskit.core.storage.Store`."""

    def __init__(self, path: Path) -> None:
        self.path: Path | None = path
        self.url = str(path)
        self._base = path
        self._inside: set[str] = set()  # folders that lie below the root

    def put(self, key: str, content: bytes) -> None:
        """Put a content in place of what is there."""
        put(self._ready(key), content)

    def put_new(self, key: str, content: bytes) -> bool:
        """Put a content if there is none; whether there was none."""
        return put(self._ready(key), content, once=True)

    def _place(self, key: str) -> Path:
        """The file of a key.

        Raises:
            UsageError: it is not below the root, by its name or by a link.
        """
        self._check_folder(key)
        path = self._base / key
        if path.is_symlink():
            self._refuse_outside(path)
        return path

    def _check_folder(self, key: str) -> None:
        folder, _, name = key.rpartition("/")
        if folder not in self._inside or name == "..":
            if key.startswith("/") or ".." in key.split("/"):
                raise UsageError(f"{self.url} speaks of a file `{key}`, which would not lie in it", _STRANGE)
            self._refuse_outside(self._base / folder)
            self._inside.add(folder)

    def _refuse_outside(self, path: Path) -> None:
        if not path.resolve().is_relative_to(self._base.resolve()):
            raise UsageError(f"{path} is, or lies behind, a link that leads out of the root {self.url}", _STRANGE)

    def _ready(self, key: str) -> Path:
        path = self._place(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def put_files(self, files: Mapping[str, Path]) -> None:
        """Move files to their keys."""
        targets = {self._ready(key): path for key, path in files.items()}
        for path in targets.values():
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())
        for target, path in targets.items():
            path.replace(target)
        for folder in {target.parent for target in targets}:
            fsync_folder(folder)

    def copy_all(self, copies: Mapping[str, str]) -> None:
        """Hard links, or copies where the file system has none."""
        for target, source in copies.items():
            link(self._place(source), self._place(target))
        for folder in {(self._base / target).parent for target in copies}:
            fsync_folder(folder)

    def same(self, source: str, target: str, *, said: bool) -> bool:  # noqa: ARG002 - the file system knows better
        """Whether two keys are one file."""
        one, other = self._place(source), self._place(target)
        return other.exists() and other.samefile(one)

    def get(self, key: str) -> bytes:
        """A whole content."""
        return self._place(key).read_bytes()

    def get_all(self, keys: Iterable[str]) -> Iterator[bytes | None]:
        """Whole contents, in the order of their keys."""
        for key in keys:
            try:
                yield self.get(key)
            except FileNotFoundError:
                yield None

    def list(self, folder: str) -> dict[str, int]:
        """Sizes of all files below a folder."""
        found: dict[str, int] = {}
        waiting = [folder]
        while waiting:
            key = waiting.pop()
            place = self._place(key)
            with contextlib.suppress(FileNotFoundError), os.scandir(place) as entries:
                for entry in entries:
                    below = f"{key}/{entry.name}" if key else entry.name
                    if entry.is_symlink():
                        self._refuse_outside(Path(entry.path))
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(below)
                    elif entry.is_file():
                        with contextlib.suppress(FileNotFoundError):  # it went while the folder was read
                            found[below] = entry.stat().st_size
        return dict(sorted(found.items()))

    def size(self, key: str) -> int | None:
        """Bytes of a file."""
        try:
            self._check_folder(key)
            found = os.lstat(f"{self.url}/{key}")
            return found.st_size if not stat.S_ISLNK(found.st_mode) else self._place(key).stat().st_size
        except FileNotFoundError:
            return None

    def delete(self, keys: Iterable[str]) -> None:
        """Remove files, and the folders that this leaves empty."""
        folders = set()
        for key in keys:
            path = self._place(key)
            path.unlink(missing_ok=True)
            folders.add(path.parent)
        for folder in sorted(folders, reverse=True):
            if folder.is_dir():
                fsync_folder(folder)
            with contextlib.suppress(OSError):  # it is not empty, or is the root's
                while folder != self._base:
                    folder.rmdir()
                    folder = folder.parent  # noqa: PLW2901

    def open(self, key: str) -> pa.NativeFile:
        """A file, not mapped: what was read of a map stays resident."""
        return pa.OSFile(str(self._place(key)))

    def local(self, key: str) -> Path:
        """The file itself."""
        return self._place(key)

    def folder(self, key: str) -> Path:
        """The folder itself."""
        return self._place(key)

    def release(self) -> None:
        """Nothing was fetched."""

    def scratch(self, stage: str, name: str) -> Path:
        """A folder beside the stage's parts: what is moved to its key moves within one file system."""
        return self._place(f"stages/{stage}/scratch/{name}")

    def scratches(self, stage: str | None = None) -> Iterator[Path]:
        """The scratch folders on this file system; other machines may have made some."""
        return self._base.glob(f"stages/{glob.escape(stage) if stage else '*'}/scratch/*")

    def changed(self, key: str) -> float | None:
        """The time of a file, or of a folder, which is that of its newest name."""
        try:
            return self._place(key).stat().st_mtime
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def sealing(self) -> Iterator[None]:
        """A lock that the system gives back when its process ends, however it ends."""
        self._base.mkdir(parents=True, exist_ok=True)
        with self._place(".seal").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def log(self, key: str) -> Iterator[IO[bytes]]:
        """A file that is appended to."""
        with self._ready(key).open("ab", buffering=0) as stream:
            yield stream
