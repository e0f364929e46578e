"""The folder that a trainer writes to, which outlives its unit: in a local root itself, of a bucket a copy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corpuskit.core.work import Work
from corpuskit.store.objects import ObjectStore
from corpuskit.train.kept import Copy


@contextlib.contextmanager
def kept(work: Work[Any], folder: str) -> Iterator[Path]:
    """The folder of this machine whose files are, or become, those of the root's `folder`; see `Copy`.

    Raises:
        CorpuskitError: the bucket refuses what is put; raised at the end.
    """
    if not isinstance(work.store, ObjectStore):
        yield work.store.local(folder)
        return
    copy = Copy(work.store.bucket, folder, work.scratch / folder)
    copy.fetch()
    with copy.followed():
        yield copy.here
