"""The removed documents with their witnesses, as the rest of the run sees them: by document id, and as counts."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpuskit.core.batch import PartWriter
from corpuskit.core.work import Work
from corpuskit.dedup.choice import Choice
from corpuskit.dedup.exact import copies_of
from corpuskit.dedup.index import Index
from corpuskit.dedup.kinds import Compared
from corpuskit.dedup.sort import U64, lower, upper

ROWS = 1 << 16
"""Rows that go to and from the database at a time."""

SCHEMA = pa.schema(
    [
        ("doc", pa.uint64()),
        ("kept_doc", pa.uint64()),
        ("kept_root", pa.string()),
        ("jaccard", pa.float64()),
        ("kind", pa.string()),
        ("domain", pa.string()),
        ("kept_domain", pa.string()),
    ]
)


def write_removed(work: Work[Compared], index: Index, choice: Choice | None) -> dict[str, Any]:
    """Write part `removed` (`SCHEMA`, sorted by doc) from the last choice and the exact copies.

    Parts `removed_docs` (uint64) and `removed_exact` (uint8) hold two of its columns as they are, to be searched by
    whoever looks documents up.

    An exact copy of a document that is itself removed gets that document's witness and similarity: their shingle sets
    are the same.

    Returns:
        facts: by_domain [{domain, kept_domain, exact, near}], and clusters [{size, clusters}], a cluster being a kept
        document with all that it removed.
    """
    mib = max(64, work.memory >> 21)
    settings: dict[str, Any] = {
        "threads": 1,
        "memory_limit": f"{mib}MiB",
        "temp_directory": str(work.scratch / "spill"),
    }
    with duckdb.connect(str(work.scratch / "removed.duckdb"), config=settings) as database:
        database.execute(
            "CREATE TABLE removed (doc UBIGINT, kept_doc UBIGINT, jaccard DOUBLE, exact BOOLEAN, source UINTEGER, "
            "kept_source UINTEGER)"
        )
        _insert_all(work, index, choice, database)
        _write(work, index, database)
        return _counts(index, database)


def _insert_all(work: Work[Compared], index: Index, choice: Choice | None, database: duckdb.DuckDBPyConnection) -> None:
    if choice is not None:
        for at in range(0, len(choice.removed), ROWS):
            end = min(len(choice.removed), at + ROWS)
            _insert(database, index, choice.removed.read(at, end), choice.jaccard.read(at, end), exact=False)
    for copies in copies_of(work.receipts("exact")):
        for at in range(0, len(copies), ROWS):
            pairs = copies.read(at, min(len(copies), at + ROWS))
            jaccard = np.ones(len(pairs))
            if choice is not None:
                copy, first = upper(pairs), lower(pairs)
                witness = choice.witness.gather(first).astype(np.uint64)
                gone = witness != first
                found = np.flatnonzero(gone)[np.argsort(first[gone], kind="stable")]
                near = (first[found].astype(np.uint64) << np.uint64(32)) | witness[found]
                jaccard[found] = choice.jaccard.gather(choice.removed.find(near))
                pairs = (copy.astype(np.uint64) << np.uint64(32)) | witness
            _insert(database, index, pairs, jaccard, exact=True)


def _insert(
    database: duckdb.DuckDBPyConnection, index: Index, pairs: U64, jaccard: npt.NDArray[np.float64], *, exact: bool
) -> None:
    doc, kept = index.numbers(upper(pairs)), index.numbers(lower(pairs))
    rows = pa.table(
        {
            "doc": index.docs(doc),
            "kept_doc": index.docs(kept),
            "jaccard": pa.array(jaccard, from_pandas=True),  # NaN: not compared
            "exact": np.full(len(doc), exact),
            "source": index.source_of(doc).astype(np.uint32),
            "kept_source": index.source_of(kept).astype(np.uint32),
        }
    )
    if rows.num_rows:
        database.register("rows", rows)
        database.execute("INSERT INTO removed SELECT * FROM rows")
        database.unregister("rows")


def _write(work: Work[Compared], index: Index, database: duckdb.DuckDBPyConnection) -> None:
    domains = pa.array([source.domain for source in index.sources], pa.string())
    roots = pa.array([source.root for source in index.sources], pa.string())
    kinds = pa.array(["near", "exact"])
    rows = 0
    docs, flags = work.put("removed_docs", ".u64").open("wb"), work.put("removed_exact", ".u8").open("wb")
    with PartWriter(work.put("removed", ".arrow"), SCHEMA) as writer, docs, flags:
        for batch in database.sql("SELECT * FROM removed ORDER BY doc").to_arrow_reader(ROWS):
            doc, kept, jaccard, exact, source, kept_source = batch.columns
            kind = kinds.take(exact.cast(pa.int8()))
            columns = [
                doc,
                kept,
                roots.take(kept_source),
                jaccard,
                kind,
                domains.take(source),
                domains.take(kept_source),
            ]
            writer.write(pa.record_batch(columns, schema=SCHEMA))
            docs.write(doc.to_numpy().astype("<u8").tobytes())
            flags.write(exact.cast(pa.int8()).to_numpy().astype("u1").tobytes())
            rows += batch.num_rows
    for name in ("removed", "removed_docs", "removed_exact"):
        work.rows(name, rows)


def _counts(index: Index, database: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    names = pa.table({"number": range(len(index.sources)), "domain": [source.domain for source in index.sources]})
    database.register("sources", names)
    by_domain = database.execute(
        "SELECT s.domain, k.domain, count(*) FILTER (exact), count(*) FILTER (NOT exact) FROM removed "
        "JOIN sources s ON s.number = source JOIN sources k ON k.number = kept_source GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()
    clusters = database.execute(
        "SELECT size, count(*) FROM (SELECT count(*) + 1 AS size FROM removed "
        "GROUP BY kept_doc, kept_source) GROUP BY 1 ORDER BY 1"
    ).fetchall()
    return {
        "by_domain": [
            {"domain": one, "kept_domain": two, "exact": exact, "near": near} for one, two, exact, near in by_domain
        ],
        "clusters": [{"size": size, "clusters": count} for size, count in clusters],
    }
