"""Verified edges in DuckDB, on disk: sorted by priority, they are read once to choose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from corpuskit.dedup.index import I64, Index
from corpuskit.dedup.sort import U64, Sorter, lower, open_array, pack, upper

ROWS = 1 << 16
"""Rows that go to and from the database at a time."""


class Edges:
    """All verified edges.

    Args:
        scratch: where the database and its spill files live.
        memory: for the database and sorting.
        index: for the documents' priorities.
    """

    def __init__(self, scratch: Path, memory: int, index: Index) -> None:
        self._memory, self._index = memory, index
        mib = max(128, memory >> 21)
        settings: dict[str, Any] = {"threads": 1, "memory_limit": f"{mib}MiB", "temp_directory": str(scratch / "spill")}
        self.database = duckdb.connect(str(scratch / "edges.duckdb"), config=settings)
        self.database.execute(
            "CREATE TABLE edges (pair UBIGINT, jaccard DOUBLE, "
            "low1 UBIGINT, low2 UBIGINT, high1 UBIGINT, high2 UBIGINT)"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    def insert(self, table: str, columns: dict[str, npt.NDArray[Any]]) -> None:
        """Append rows to a table of the database."""
        rows = pa.table(columns)
        self.database.register("rows", rows)
        self.database.execute(f"INSERT INTO {table} SELECT * FROM rows")
        self.database.unregister("rows")

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        """The result of a query; tables may be written meanwhile."""
        with self.database.cursor() as cursor:
            yield from cursor.sql(query).to_arrow_reader(ROWS)

    def add(self, pair_path: Path, jaccard_path: Path, threshold: float) -> None:
        """Add those of the compared pairs that are similar."""
        all_pairs, all_jaccard = open_array(pair_path), open_array(jaccard_path)
        for at in range(0, len(all_pairs), ROWS):
            similar = all_jaccard[at : at + ROWS] >= threshold
            pairs, jaccard = all_pairs[at : at + ROWS][similar], all_jaccard[at : at + ROWS][similar]
            low, high = self._index.order_keys(upper(pairs)), self._index.order_keys(lower(pairs))
            keys = {"low1": low[0], "low2": low[1], "high1": high[0], "high2": high[1]}
            self.insert("edges", {"pair": pairs, "jaccard": jaccard} | keys)

    def choose(self, path: Path) -> U64:
        """Choose by the edges so far; the table `near` (doc, kept, jaccard: numbers of documents) is made anew.

        Returns:
            uint64, sorted, memory-mapped from `path`: a removed document in the upper half, its witness in the lower.
        """
        removed_bits = np.zeros(self._index.documents // 8 + 1, np.uint8)
        self.database.execute("CREATE OR REPLACE TABLE near (doc UBIGINT, kept UBIGINT, jaccard DOUBLE)")
        sorter = Sorter(path.with_suffix(""), self._memory // 8)
        query = "SELECT pair, jaccard FROM edges ORDER BY low1, low2, high1, high2"
        for batch in self.batches(query):
            pairs = batch.column("pair").to_numpy()
            low, high = upper(pairs), lower(pairs)
            chosen = np.zeros(len(pairs), np.bool_)
            _greedy(low, high, removed_bits, chosen)
            jaccard = batch.column("jaccard").to_numpy()[chosen]
            self.insert(
                "near", {"doc": low[chosen].astype(np.uint64), "kept": high[chosen].astype(np.uint64), "j": jaccard}
            )
            sorter.add(pack(low[chosen], high[chosen]))
        sorter.save(path)
        return open_array(path)


@njit(nogil=True, cache=True)
def _greedy(low: I64, high: I64, removed: npt.NDArray[np.uint8], chosen: npt.NDArray[np.bool_]) -> None:
    """Mark the edges that remove: the first of a document whose other end is kept. Edges come in priority order."""
    for i in range(len(low)):
        x, y = low[i], high[i]
        if (removed[x >> 3] >> (x & 7)) & 1 or (removed[y >> 3] >> (y & 7)) & 1:
            continue
        removed[x >> 3] |= np.uint8(1 << (x & 7))
        chosen[i] = True
