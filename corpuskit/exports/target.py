"""The folder that an export fills: it is there whole or not at all, and what stands in its place is never touched."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corpuskit.core.checksum import file_sum
from corpuskit.errors import UsageError
from corpuskit.store.files import fsync_folder, link_or_copy
from corpuskit.store.scratch import at_work, scratch_name

RECORD = "export.json"
"""What an export says of itself: format, content, counts, and the size and the CRC-32 of each of its files."""


class Target:
    """A folder under its working name, beside the one that it becomes.

    Attributes:
        path: where files are put; renamed to `final` when all are there.
        final: the folder that the user named.
        counts: what was put, by (split, domain).
        linked, copied, written: numbers of files.
    """

    def __init__(self, path: Path, final: Path) -> None:
        self.path, self.final = path, final
        self.counts: dict[tuple[str, str], Counter[str]] = {}
        self.linked = self.copied = self.written = 0

    def link(self, source: Path, name: str) -> None:
        """Put a file of the run under a name: a hard link on the same file system, else a copy."""
        target = self._ready(name)
        link_or_copy(source, target)
        linked = target.samefile(source)
        self.linked += linked
        self.copied += not linked

    def new(self, name: str) -> Path:
        """The path of a file to write."""
        self.written += 1
        return self._ready(name)

    def write(self, name: str, content: str | bytes) -> None:
        """Write a small file whole."""
        self.new(name).write_bytes(content.encode() if isinstance(content, str) else content)

    def count(self, split: str, domain: str, **found: int) -> None:
        """Add to what was put of a domain: `documents`, `tokens`, `bytes`, `sequences`."""
        self.counts.setdefault((split, domain), Counter()).update(found)

    def _ready(self, name: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def earlier(final: Path, form: str, content: str) -> dict[str, Any] | None:
    """The record of the same export, if `final` holds it whole; None if there is nothing in the way.

    Raises:
        UsageError: something else stands there.
    """
    if not os.path.lexists(final) or (final.is_dir() and not any(final.iterdir())):
        return None
    try:
        record: dict[str, Any] = json.loads((final / RECORD).read_bytes())
        same = (record["format"], record["content"]) == (form, content)
        checked = record["files"] if same and "crc32" in record else ()
        changed = next((name for name in checked if _changed(final, name, record)), None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{final}: is there already, and is no export of corpuskit", "give another --to") from None
    what = "an export of another format, or of another state of a run"
    if same and "crc32" not in record:
        what = "an export that an earlier version of corpuskit made, without the sums by which it would be checked"
    elif changed is not None:  # with a linked file also the run's is damaged, or was
        what = f"an export whose files were changed ({changed} is not what was written)"
    elif same:
        return record
    raise UsageError(f"{final}: holds {what}; nothing is overwritten", f"rm -r {final}, or give another --to")


def _changed(final: Path, name: str, record: dict[str, Any]) -> bool:
    path = final / name
    if not path.is_file():
        return True
    return [path.stat().st_size, file_sum(path)] != [record["files"][name], record["crc32"].get(name)]


@contextlib.contextmanager
def filling(final: Path) -> Iterator[Target]:
    """A folder to fill, which becomes `final` at the end; of an error, or of a killed process, nothing stays."""
    final.parent.mkdir(parents=True, exist_ok=True)
    # the name that a unit's scratch folder has, so that one whose process is gone is known
    prefix = f".{final.name}.export"
    for left in final.parent.glob(f"{glob.escape(prefix)}-*"):
        if at_work(left.with_name(left.name.removeprefix(f".{final.name}."))) is False:
            shutil.rmtree(left)
    path = final.parent / f".{final.name}.{scratch_name('export')}"
    path.mkdir()
    try:
        yield Target(path, final)
        _to_disk(path)
        path.rename(final)  # onto nothing, or onto an empty folder; onto anything else it fails
        fsync_folder(final.parent)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


def _to_disk(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        fsync_folder(path)  # of a file too


def sizes(folder: Path) -> dict[str, int]:
    """Sizes of all files below a folder, by path, sorted."""
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in _files(folder)}


def sums(folder: Path) -> dict[str, str]:
    """CRC-32 of all files below a folder, 8 hex digits, by path, sorted; each is read whole."""
    return {path.relative_to(folder).as_posix(): file_sum(path) for path in _files(folder)}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
