"""The raw files behind a source's patterns: globs, folders and files, local or through fsspec, in one order."""

from __future__ import annotations

import glob
import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from corpuskit.buckets.secrets import refuse_secrets
from corpuskit.errors import InputError, UsageError
from corpuskit.sources.base import SourceFile

SHOWN_NAMES = 6


@dataclass(frozen=True)
class RawFile:
    """One raw file as found.

    Attributes:
        path: as fsspec opens it. relative: path below the deepest folder that all patterns share, with `/`.
        size: raw bytes. identity: what changes when the content does: mtime in ns, ETag, or the store's checksum.
    """

    path: str
    relative: str
    size: int
    identity: str

    @cached_property
    def compressed(self) -> bool:
        """Whether the first bytes are those of a compressed file, which cannot be cut into ranges."""
        return SourceFile(self.path, self.relative).compressed()


def list_files(patterns: str | list[str], base: Path) -> list[RawFile]:
    """Find the files of a source, sorted by relative path, each once.

    Args:
        patterns: files, folders (everything below them) and globs (`*`, `?`, `[...]`, `**` for any folders), local or
            URLs (`s3://`, `gs://`, `https://`; `hf://datasets/USER/NAME`, the folder of a data set on the hub, with
            `@REVISION` if wanted). What is no data in such a folder, the readers pass over: `companions.companion`.
        base: folder of local relative patterns.

    Raises:
        UsageError: a pattern that matches nothing, naming the nearest folder that exists and some of what is in it;
            patterns of different stores in one source.
        InputError: a store that cannot be listed.
    """
    wanted = _wanted(patterns, base)
    if not wanted:
        raise UsageError("a source needs at least one path")
    if len({_protocol(pattern) for pattern in wanted}) > 1:
        msg = f"one source cannot span several stores: {', '.join(wanted)}"
        raise UsageError(msg, "make a source of each; they may share a `domain`")
    found: dict[str, tuple[int, str]] = {}
    for pattern in wanted:
        matched = _remote(pattern) if _protocol(pattern) else _local(pattern)
        if not matched:
            raise _nothing(pattern)
        found.update(matched)
    root = _common_folder(wanted, found)
    files = [RawFile(path, path[len(root) :], *found[path]) for path in found]
    return sorted(files, key=lambda file: file.relative)


def require_files(patterns: str | list[str], base: Path) -> None:
    """See that each local pattern of a source matches a file, by the first that it finds; stores are not asked.

    Raises:
        UsageError: as `list_files`.
    """
    for pattern in _wanted(patterns, base):
        if not _protocol(pattern) and not any(os.path.isfile(path) for path in _below(pattern)):  # noqa: PTH113
            raise _nothing(pattern)


def _wanted(patterns: str | list[str], base: Path) -> list[str]:
    return [_absolute(pattern, base) for pattern in ([patterns] if isinstance(patterns, str) else patterns)]


def _protocol(pattern: str) -> str:
    return pattern.split("://", 1)[0] if "://" in pattern else ""


def _absolute(pattern: str, base: Path) -> str:
    """A pattern with its folder, without `.` and `..`; a URL as its store writes it."""
    if _protocol(pattern):
        refuse_secrets(pattern)
        files = filesystem(pattern)
        return str(files.unstrip_protocol(files._strip_protocol(pattern)))  # noqa: SLF001 - one way to write an address
    return os.path.normpath(Path(base, Path(pattern).expanduser()).absolute())


def _local(pattern: str) -> dict[str, tuple[int, str]]:
    found = {}
    for path in _below(pattern):
        if Path(path).is_file():
            status = Path(path).stat()
            found[path] = status.st_size, str(status.st_mtime_ns)
    return found


def _below(pattern: str) -> Iterator[str]:
    """The paths that a local pattern matches, folders among them."""
    if glob.has_magic(pattern) and not Path(pattern).exists():
        yield from glob.iglob(pattern, recursive=True, include_hidden=True)  # noqa: PTH207 - pathlib has no such option
    elif Path(pattern).is_dir():
        yield from (str(path) for path in Path(pattern).rglob("*"))
    else:
        yield pattern


def filesystem(pattern: str) -> Any:
    """The file system of a path or URL, as fsspec has it.

    Raises:
        UsageError: its backend is not installed.
    """
    import fsspec

    try:
        return fsspec.core.url_to_fs(pattern)[0]
    except (ImportError, ValueError) as error:
        msg = f"{pattern}: no access to {_protocol(pattern)}:// paths: {error}"
        raise UsageError(msg, f"install the fsspec backend of {_protocol(pattern)}://") from None


def _remote(pattern: str) -> dict[str, tuple[int, str]]:
    files = filesystem(pattern)
    web = _protocol(pattern) in ("http", "https")  # no folders there, and `?` begins a query
    try:
        if glob.has_magic(pattern) and not web:
            details = files.glob(pattern, detail=True)
        elif not web and files.isdir(pattern):
            details = files.find(pattern, detail=True)
        else:
            details = {pattern: files.info(pattern)} if files.exists(pattern) else {}
    except Exception as error:  # the clients of stores have errors of their own for a network that fails
        first, _, _ = str(error).partition("\n")  # some go on with the whole answer
        msg = f"{pattern}: cannot be listed: {first}"
        raise InputError(msg, "check the address and the credentials in the environment") from error
    found = {}
    for path, info in details.items():
        if info.get("type") != "directory":
            url = path if "://" in path else files.unstrip_protocol(path)
            found[url] = int(info.get("size") or 0), _identity(info)
    return found


def _identity(info: dict[str, Any]) -> str:
    for key in ("ETag", "etag", "md5Hash", "blob_id", "oid", "mtime", "LastModified", "last_modified", "created"):
        if info.get(key):
            return str(info[key]).strip('"')
    raise InputError(
        f"{info.get('name')}: the store gives no ETag, checksum or time by which a change could be seen",
        "copy the file to a disk or an object store",
    )


def _static_folder(pattern: str) -> str:
    """The folder above the first wildcard."""
    head = pattern
    while glob.has_magic(head):
        head = posixpath.dirname(head)
    return head


def _common_folder(patterns: list[str], found: dict[str, Any]) -> str:
    """The deepest folder above the fixed parts of all patterns, as a prefix of the paths found."""
    folders = []
    for pattern in patterns:
        head = posixpath.dirname(pattern) if pattern in found else _static_folder(pattern)
        folders.append(head.rstrip("/"))
    common = folders[0]
    while not all((folder + "/").startswith(common + "/") for folder in folders):
        common = posixpath.dirname(common)
    return common.rstrip("/") + "/"


def _nothing(pattern: str) -> UsageError:
    """Say what is there instead."""
    head = _static_folder(pattern)
    if _protocol(pattern):
        return UsageError(
            f"`{pattern}` matches no file", "check the address, the pattern, and whether it needs a login"
        )
    folder = Path(head)
    while not folder.is_dir():
        folder = folder.parent
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir())
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return UsageError(
        f"`{pattern}` matches no file",
        f"the folder {folder} holds: {', '.join(names[:SHOWN_NAMES]) or 'nothing'}{more}",
    )


def identity(path: str) -> tuple[int, str]:
    """(size, identity) of one file as it is now: compared with its listing, they tell whether it changed.

    Raises:
        InputError: the file is gone.
    """
    found = _remote(path) if _protocol(path) else _local(path)
    if len(found) != 1:
        raise InputError(f"{path} vanished while it was read", "run again: the plan takes the files as they are now")
    return next(iter(found.values()))
