"""Shards are checked before their first use: each file once for all processes, by its digest in `_manifest.json`."""

from __future__ import annotations

from collections.abc import Iterable

from corpuskit.errors import InputError
from corpuskit.train.cache import MEND
from corpuskit.train.data import Source
from corpuskit.train.manifest import Stored
from corpuskit.train.parallel import World


def check(source: Source, start: int, stop: int, group: World) -> None:
    """Check the files that hold sequences [start, stop) and were not used before; every process calls it with the same.

    What says where the sequences are comes first. Files of a folder without a manifest are not checked.

    Raises:
        InputError: a file is not what was written; in every process.
    """
    _compare(source.indexes, group)
    _compare(source.files(start, stop), group)


def _compare(files: Iterable[Stored], group: World) -> None:
    new = [file for file in files if not file.checked]
    if not new:
        return
    damaged = next((file.path for file in new[group.rank :: group.size] if file.damaged()), None)
    (count,) = group.total(float(damaged is not None))
    if count:
        which = damaged if damaged is not None else "a file of shards that another process has looked at"
        raise InputError(f"{which} is damaged: its SHA-256 is not the one in _manifest.json", MEND)
    for file in new:
        file.checked = True
