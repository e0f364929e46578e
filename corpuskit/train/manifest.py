"""What the manifests of `shards/` and `tokens/` say of the files that sequences are read from: their digests.

The files lie in the folder, or in a bucket, of which `corpuskit.train.cache` keeps a part on this machine.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpuskit.buckets.bucket import Bucket
from corpuskit.errors import InputError
from corpuskit.train.cache import BLOCK, MEND, Cache, Entry, Wanted
from corpuskit.train.stream import OpenFiles

NAME = "_manifest.json"

TOKENS = "../tokens"
"""Where the index of shards that are not written finds the token files."""


@dataclass(eq=False)
class Stored:
    """A file that sequences are read from.

    Attributes:
        path: where it is; of a file in a bucket its key.
        sha256: that its folder's manifest says; None where there is no manifest, and the file is not checked.
        checked: whether it was compared with it, see `corpuskit.train.checked`.
    """

    path: Path
    sha256: str | None
    checked: bool = False

    @property
    def size(self) -> int | None:
        """Its bytes; None if there is no such file."""
        return self.path.stat().st_size if self.path.is_file() else None

    def blocks(self, start: int, end: int) -> list[Wanted]:  # noqa: ARG002 - there are some of a file in a bucket
        """The blocks by which bytes [start, end) are fetched."""
        return []

    def whole(self) -> Path:
        """The file on this machine, to be mapped."""
        return self.path

    def opened(self) -> Any:
        """What pyarrow reads all of it from."""
        return self.path

    def damaged(self) -> bool:
        """Whether it is not what was written; reads the whole file."""
        if self.sha256 is None:
            return False
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() != self.sha256


class Cached(Stored):
    """A file in a bucket; each block of it is checked when it is fetched."""

    def __init__(self, cache: Cache, entry: Entry) -> None:
        super().__init__(Path(entry.key), entry.sha256, checked=True)
        self.cache, self.entry = cache, entry

    @property
    def size(self) -> int | None:
        """As its manifest says."""
        return self.entry.size

    def blocks(self, start: int, end: int) -> list[Wanted]:
        """See `Stored`."""
        return [(self.entry, block) for block in range(start // BLOCK, -(-end // BLOCK))]

    def whole(self) -> Path:
        """The file, which stays on this machine beside the cache."""
        return self.cache.whole(self.entry)

    def opened(self) -> Any:
        """The content, in memory."""
        return pa.BufferReader(pa.py_buffer(self.cache.content(self.entry)))


class Reader(OpenFiles):
    """The files of a manifest, by their paths, in a folder or in a bucket."""

    def __init__(self, stored: Iterable[Stored]) -> None:
        super().__init__()
        self._cached = {file.path: file for file in stored if isinstance(file, Cached)}

    def read(self, path: Path, view: memoryview, at: int) -> int:
        """See `OpenFiles`."""
        cached = self._cached.get(path)
        return super().read(path, view, at) if cached is None else cached.cache.read(cached.entry, view, at)


class Manifest:
    """The files of a folder of shards, by their names in its index; each is one object, whoever asks for it.

    Args:
        folder: of this machine, or in a bucket, `s3://bucket/run/shards`.
        bucket: the URL below which the files are that the folder's manifest gives a `key`.
        cache: a folder of this machine for a part of what is in a bucket; None: one in TMPDIR.
        cache_bytes: of that part; None: half of what is free on the disk.

    Raises:
        InputError: the folder's manifest is damaged.
    """

    def __init__(
        self,
        folder: str | Path,
        bucket: str | None = None,
        cache: str | None = None,
        cache_bytes: int | None = None,
    ) -> None:
        self.place = str(folder)
        """What to call the folder."""
        self._prefix, self.cache = "", None
        if "://" in self.place:
            bucket, _, name = self.place.rstrip("/").rpartition("/")
            self._prefix = f"{name}/"
        if bucket is not None:
            self.cache = Cache(Bucket.from_url(bucket), Path(cache) if cache else None, cache_bytes)
        self._entries = self._read_entries("")
        self._files: dict[str, Stored] = {}

    def with_tokens(self) -> None:
        """Know the token files beside the folder too."""
        self._entries |= {f"{TOKENS}/{name}": entry for name, entry in self._read_entries(f"{TOKENS}/").items()}

    def file(self, name: str) -> Stored:
        """A file by its name.

        Raises:
            InputError: it is in a bucket, and the manifest does not say what is in it.
        """
        if name not in self._files:
            entry = self._entries.get(name, {})
            if self.cache is not None and (self._prefix or "key" in entry):
                self._files[name] = self._cached(self.cache, name, entry)
            else:
                self._files[name] = Stored(Path(self.place) / name, entry.get("sha256"))
        return self._files[name]

    def read(self, name: str) -> bytes:
        """The content of a small file, checked.

        Raises:
            OSError: it cannot be read. InputError: it is not what was written.
        """
        content = self._get(name)
        if self._entries and self._entries.get(name, {}).get("sha256") != hashlib.sha256(content).hexdigest():
            raise InputError(f"{self.place}/{name} is damaged: its SHA-256 is not the one in {NAME}", MEND)
        return content

    def _cached(self, cache: Cache, name: str, entry: dict[str, Any]) -> Cached:
        if not entry.get("sums") and entry.get("bytes") != 0:
            raise InputError(
                f"{self.place}/{NAME} does not say the checksums of {name}",
                "corpuskit run RECIPE --root ROOT writes it anew",
            )
        key = entry["key"] if "key" in entry else self._key(name)
        return Cached(cache, Entry(key, entry["bytes"], entry["sha256"], entry["sums"]))

    def _key(self, name: str) -> str:
        key = posixpath.normpath(f"{self._prefix}{name}")
        if key.startswith(("../", "/")):
            raise InputError(f"{self.place} names a file `{name}`, which would not lie in its root", MEND)
        return key

    def _get(self, name: str) -> bytes:
        if not self._prefix:
            return (Path(self.place) / name).read_bytes()
        assert self.cache is not None
        return self.cache.bucket.get(self._key(name))

    def _read_entries(self, folder: str) -> dict[str, dict[str, Any]]:
        """What a folder's manifest says of each file by its name; nothing where there is none."""
        try:
            files = json.loads(self._get(f"{folder}{NAME}"))["files"]
            return {name: entry | {"sha256": entry["sha256"]} for name, entry in files.items()}  # none may lack it
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{self.place}/{folder}{NAME} is damaged: {error!r}",
                "corpuskit verify ROOT --repair, then run the recipe",
            ) from None
