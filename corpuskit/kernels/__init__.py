"""Kernels: numba functions on UTF-8 buffers, compiled once and cached beside their source.

Numba's cache looks at the file of the compiled function only, not at the files of the functions that it inlines: after
an edit (or a `git pull`) of one kernel file, another could go on with old machine code. So compiled code is thrown away
here whenever any file that holds kernels has changed.
"""

from __future__ import annotations

import contextlib
from pathlib import Path


def _discard_stale_code() -> None:
    package = Path(__file__).parent.parent
    folders = [package / name for name in ("kernels", "dedup", "shards")]
    files = sorted(path for folder in folders for path in folder.glob("*.py"))
    stamp = "\n".join(f"{path} {path.stat().st_mtime_ns} {path.stat().st_size}" for path in files)
    known = Path(__file__).parent / "__pycache__" / "kernels.stamp"
    with contextlib.suppress(OSError):  # a read-only installation is replaced whole, with new times, never edited
        if known.exists() and known.read_text() == stamp:
            return
        for folder in folders:
            for compiled in [*folder.glob("__pycache__/*.nbi"), *folder.glob("__pycache__/*.nbc")]:
                compiled.unlink(missing_ok=True)
        known.parent.mkdir(exist_ok=True)
        known.write_text(stamp)


_discard_stale_code()
