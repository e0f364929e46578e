"""Folders of this machine for what was fetched from a bucket: texts and tokens, which others must not read."""

from __future__ import annotations

import os
from pathlib import Path

from corpuskit.errors import UsageError


def own_folder(folder: Path) -> Path:
    """Make a folder that nobody else can read, if it is not there.

    Raises:
        UsageError: somebody else has made it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():
        raise UsageError(f"{folder} is another user's", "set TMPDIR to a folder of your own")
    return folder
