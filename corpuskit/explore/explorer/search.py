"""Text search: hits are told as they are found, in the order of the files, with how far the search is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpuskit.core.storage import Store
from corpuskit.errors import UsageError

FOLDERS = ("corpus", "holdout", "dropped")
ROWS = 1024
"""Documents that are read at a time."""

HITS = 500
AROUND = 120
"""Characters that are shown on each side of a hit."""


def search(store: Store, text: str, folder: str, domain: str | None, *, blind: bool) -> Iterator[dict[str, Any]]:
    """Documents that hold `text`, and how far the search is.

    Args:
        store: what keeps the run. folder: one of `FOLDERS`. domain: None for all. blind: to the case of letters.

    Yields:
        {doc, domain, before, match, after} for a hit, {read, of} in documents after each batch, and last
        {done, more}: whether it stopped at `HITS`.

    Raises:
        UsageError: there is nothing to look for, or no such folder.
    """
    if not text or folder not in FOLDERS:
        raise UsageError("there is nothing to look for", f"a text, in one of {', '.join(FOLDERS)}")
    pattern = re.compile(re.escape(text), re.IGNORECASE if blind else 0)
    names = [key for key in store.list(folder) if key.endswith(".parquet") and domain in (None, _domain(key))]
    total, read, hits = sum(_rows(store, name) for name in names), 0, 0
    for name in names:
        for batch in _batches(store, name):
            having = batch.filter(pc.match_substring(batch.column("text"), text, ignore_case=blind))
            for row in having.to_pylist():
                yield {"doc": row["doc"], "domain": _domain(name), **_around(row["text"], pattern)}
                hits += 1
                if hits == HITS:
                    yield {"done": True, "more": True}
                    return
            read += batch.num_rows
            yield {"read": read, "of": total}
    yield {"done": True, "more": False}


def _rows(store: Store, key: str) -> int:
    with store.open(key) as file:  # and closed: a large corpus has more files than a process may open
        return int(pq.read_metadata(file).num_rows)


def _batches(store: Store, key: str) -> Iterator[pa.RecordBatch]:
    with store.open(key) as file:
        yield from pq.ParquetFile(file).iter_batches(ROWS, columns=["doc", "text"])


def _domain(key: str) -> str:
    return key.split("/")[1].removeprefix("domain=")


def _around(text: str, pattern: re.Pattern[str]) -> dict[str, str]:
    found = pattern.search(text)
    first, end = found.span() if found else (0, 0)  # Arrow and Python fold the case of a few letters differently
    return {
        "before": text[max(0, first - AROUND) : first],
        "match": text[first:end],
        "after": text[end : end + AROUND],
    }
