"""The documents that were taken down: a list in the root, which readers of raw files leave out from then on."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpuskit.core.storage import Store
from corpuskit.errors import UsageError

LIST = "removed/documents.parquet"
"""Columns `doc`, and `copy_of`: the document that was asked for where this one went as its copy, else null."""

PENDING = "removed/pending.json"
"""A takedown that has begun and is not complete."""

RULE = "removed"
"""The rule that these documents are counted under."""

SCHEMA = pa.schema([("doc", pa.uint64()), ("copy_of", pa.uint64())])


def listed(store: Store) -> pa.Table:
    """The list, sorted by doc."""
    try:
        return pq.read_table(pa.BufferReader(store.get(LIST)))
    except FileNotFoundError:
        return SCHEMA.empty_table()


def removed(store: Store) -> npt.NDArray[np.uint64]:
    """Ids of all documents that were taken down, sorted."""
    return np.asarray(listed(store).column("doc").to_numpy(), np.uint64)


def without(batch: pa.RecordBatch, gone: npt.NDArray[np.uint64]) -> pa.RecordBatch:
    """A batch without these documents: parts that rows are numbered in keep a row of theirs, which is blank."""
    if not len(gone):
        return batch
    return batch.filter(pa.array(~np.isin(batch.column("doc").to_numpy(zero_copy_only=False), gone)))


def pending(store: Store) -> dict[str, Any] | None:
    """The takedown that is not complete, if there is one."""
    try:
        found: dict[str, Any] = json.loads(store.get(PENDING))
    except FileNotFoundError:
        return None
    return found


def refuse_pending(store: Store) -> None:
    """Raise UsageError if a takedown is not complete: until it is, parts and lists may disagree."""
    if pending(store) is not None:
        raise UsageError(f"a takedown in {store.url} was interrupted", f"complete it: corpuskit remove {store.url}")
