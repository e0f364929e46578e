"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


def put(path: Path, content: bytes, *, once: bool = False) -> bool:
    """Write a file so that it is there whole or not at all; with `once`, only if none is there: whether it did."""
    done = True
    waiting = path.with_name(f".{path.name}.{os.getpid()}")
    waiting.unlink(missing_ok=True)  # what stands there is no file of ours, a link perhaps
    try:
        with waiting.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        waiting.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    if once:
        try:
            os.link(waiting, path)
        except FileExistsError:
            done = False
        waiting.unlink()
    else:
        waiting.replace(path)
    fsync_folder(path.parent)
    return done


def fsync_folder(path: Path) -> None:
    """See that the names in a folder are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link(source: Path, target: Path) -> None:
    """Put a hard link (a copy where the file system has none) in place of whatever stands at `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        with contextlib.suppress(OSError):
            os.link(source, target)  # whole at once: a kill leaves nothing behind
            return
    elif target.samefile(source):
        return  # a link to it would not be renamed over it
    waiting = target.with_name(f".{target.name}.{os.getpid()}")
    waiting.unlink(missing_ok=True)
    link_or_copy(source, waiting)
    waiting.replace(target)


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link, or a copy that is on disk when this returns."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
        with target.open("rb+") as stream:
            os.fsync(stream.fileno())
