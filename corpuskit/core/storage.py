"""What keeps a run: contents by key, on a file system or in a bucket. `corpuskit.store` has both kinds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Protocol

import pyarrow as pa


class Store(Protocol):
    """Contents by key: a path below the root, its parts joined by `/`.

    A content is there whole or not at all, and is on disk (or acknowledged by the bucket) when a method returns.
    Methods that read a key raise FileNotFoundError where there is none.

    Attributes:
        url: what a user calls the root: a path, or `s3://bucket/prefix`.
        path: the folder, of a local root; None of a bucket.
    """

    url: str
    path: Path | None

    def put(self, key: str, content: bytes) -> None:
        """Put a content, in place of what is there."""

    def put_new(self, key: str, content: bytes) -> bool:
        """Put a content if there is none; whether there was none. Of two at once, one is told so."""

    def put_files(self, files: Mapping[str, Path]) -> None:
        """Put files of the unit's scratch folder, by key, which may be moved; all are there when it returns."""

    def copy_all(self, copies: Mapping[str, str]) -> None:
        """Put at each key the content of another (target: source): by a hard link, or within the bucket."""

    def same(self, source: str, target: str, *, said: bool) -> bool:
        """Whether a copy of `source` stands at `target`, where the folder's manifest and a listing said so or not."""

    def get(self, key: str) -> bytes:
        """A whole content."""

    def get_all(self, keys: Iterable[str]) -> Iterator[bytes | None]:
        """Whole contents, in the order of their keys; None where there is none."""

    def list(self, folder: str) -> dict[str, int]:
        """Sizes in bytes of all contents below a folder, by key, sorted."""

    def size(self, key: str) -> int | None:
        """Bytes of a content; None if there is none."""

    def delete(self, keys: Iterable[str]) -> None:
        """Remove contents, if they are there."""

    def open(self, key: str) -> pa.NativeFile:
        """A content opened for reading at any offset; only what is read is fetched."""

    def local(self, key: str) -> Path:
        """A file of this machine with the content, which stands until `release`; never write to it."""

    def folder(self, key: str) -> Path:
        """A folder of this machine with all contents below a folder of the root, which stands until `release`."""

    def release(self) -> None:
        """Remove what `local` fetched."""

    def scratch(self, stage: str, name: str) -> Path:
        """A folder of this machine to work in, which is not made yet."""

    def scratches(self, stage: str | None = None) -> Iterator[Path]:
        """The scratch folders on this machine, of one stage or of all."""

    def changed(self, key: str) -> float | None:
        """When a content, or one that lies in the folder of this name, was last put, in seconds since the epoch."""

    def sealing(self) -> AbstractContextManager[None]:
        """One run at a time fills published folders, where the store has locks."""

    def log(self, key: str) -> AbstractContextManager[IO[bytes]]:
        """A content to append to; what was flushed can be read, at once or within seconds."""
