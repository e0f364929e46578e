"""Shards are checked before their first use: each file once for all processes, by its digest in `_manifest.json`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from corpuskit.errors import InputError
from corpuskit.train.data import MEND, ShardFile
from corpuskit.train.parallel import World


def check(files: Iterable[ShardFile], group: World) -> None:
    """Check those that were not used before, and their sidecars; every process calls it with the same files.

    Files of a folder without a manifest are not checked.

    Raises:
        InputError: a file is not what was written; in every process.
    """
    new = [file for file in files if not file.checked]
    if not new:
        return
    told = [
        (path, sha) for file in new for path, sha in ((file.path, file.sha256), (file.sidecar, file.sidecar_sha256))
    ]
    mine = told[group.rank :: group.size]
    damaged = next((path for path, sha in mine if sha is not None and _digest(path) != sha), None)
    (count,) = group.total(float(damaged is not None))
    if count:
        which = damaged if damaged is not None else "a shard that another process has looked at"
        raise InputError(
            f"{which} is damaged: its SHA-256 is not the one in _manifest.json",
            MEND,
        )
    for file in new:
        file.checked = True


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
