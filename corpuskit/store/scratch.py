"""The folders that units work in, and whose they are."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path


def scratch_name(key: str) -> str:
    """The name of the folder that a unit works in: its key, and the machine and process that work on it."""
    return f"{key}-{platform.node()}-{os.getpid()}"


def at_work(scratch: Path) -> bool | None:
    """Whether the process behind a scratch folder lives; None if it is another machine's."""
    _, _, rest = scratch.name.partition("-")
    machine, _, process = rest.rpartition("-")
    if machine != platform.node() or not process.isdigit():
        return None
    return _lives(int(process))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    # a process that was killed is a zombie until its parent asks for it: an orphan in a container, perhaps for ever
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    return True
