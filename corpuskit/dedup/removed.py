"""The removed documents with their witnesses, as the rest of the run sees them: by document id, and as counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from corpuskit.arrow import PartWriter
from corpuskit.dedup.edges import ROWS, Edges
from corpuskit.dedup.exact import copies_of
from corpuskit.dedup.index import Index
from corpuskit.dedup.sort import U64, lower, pack, upper
from corpuskit.unit import Work

SCHEMA = pa.schema(
    [
        ("doc", pa.uint64()),
        ("kept_doc", pa.uint64()),
        ("jaccard", pa.float64()),
        ("kind", pa.string()),
        ("domain", pa.string()),
        ("kept_domain", pa.string()),
    ]
)


def write_removed(work: Work, index: Index, edges: Edges) -> dict[str, Any]:
    """Write part `removed` (`SCHEMA`, sorted by doc) from the last choice and the exact copies.

    Parts `removed_docs` (uint64) and `removed_exact` (uint8) hold two of its columns as they are, to be memory-mapped
    by whoever looks documents up.

    An exact copy of a document that is itself removed gets that document's witness and similarity: their shingle sets
    are the same.

    Returns:
        facts: by_domain [{domain, kept_domain, exact, near}], and clusters [{size, clusters}], a cluster being a kept
        document with all that it removed.
    """
    domains = sorted({source.domain for source in index.sources})
    number = np.array([domains.index(source.domain) for source in index.sources], np.int64)
    edges.database.execute(
        "CREATE TABLE removed (doc UBIGINT, kept_doc UBIGINT, jaccard DOUBLE, "
        "exact BOOLEAN, domain UINTEGER, kept_domain UINTEGER)"
    )

    def insert(pairs: U64, jaccard: Any, exact: bool) -> None:
        doc, kept = upper(pairs), lower(pairs)
        if not len(doc):
            return
        edges.insert(
            "removed",
            {
                "doc": index.gather("doc", doc),
                "kept_doc": index.gather("doc", kept),
                "jaccard": np.asarray(jaccard, np.float64),
                "exact": np.full(len(doc), exact),
                "domain": number[index.source_of(doc)].astype(np.uint32),
                "kept_domain": number[index.source_of(kept)].astype(np.uint32),
            },
        )

    edges.database.execute("CREATE TABLE copies (doc UBIGINT, first UBIGINT)")
    for copies in copies_of(work.receipts("exact")):
        for at in range(0, len(copies), ROWS):
            block = copies[at : at + ROWS]
            edges.insert("copies", {"doc": upper(block).astype(np.uint64), "first": lower(block).astype(np.uint64)})
    joined = (
        "SELECT c.doc, coalesce(n.kept, c.first) AS kept, coalesce(n.jaccard, 1.0) AS jaccard "
        "FROM copies c LEFT JOIN near n ON n.doc = c.first ORDER BY c.doc"
    )
    for query, exact in (("SELECT doc, kept, jaccard FROM near ORDER BY doc", False), (joined, True)):
        edges.database.execute(f"CREATE OR REPLACE TABLE resolved AS {query}")
        for batch in edges.batches("SELECT * FROM resolved ORDER BY doc"):
            doc, kept, jaccard = (batch.column(i).to_numpy() for i in range(3))
            insert(pack(doc, kept), jaccard, exact)
    names, kinds = pa.array(domains, pa.string()), pa.array(["near", "exact"])
    rows = 0
    docs, flags = work.put("removed_docs", ".u64").open("wb"), work.put("removed_exact", ".u8").open("wb")
    with PartWriter(work.put("removed", ".arrow"), SCHEMA) as writer, docs, flags:
        for batch in edges.batches("SELECT * FROM removed ORDER BY doc"):
            kind = kinds.take(batch.column("exact").cast(pa.int8()))
            by_name = [names.take(batch.column(name)) for name in ("domain", "kept_domain")]
            writer.write(pa.record_batch([*batch.columns[:3], kind, *by_name], schema=SCHEMA))
            docs.write(batch.column("doc").to_numpy().astype("<u8").tobytes())
            flags.write(batch.column("exact").cast(pa.int8()).to_numpy().astype("u1").tobytes())
            rows += batch.num_rows
    work.put("removed", ".arrow", rows=rows)
    return _counts(edges, domains)


def _counts(edges: Edges, domains: list[str]) -> dict[str, Any]:
    by_domain = edges.database.execute(
        "SELECT domain, kept_domain, count(*) FILTER (exact), count(*) FILTER (NOT exact) "
        "FROM removed GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()
    clusters = edges.database.execute(
        "SELECT size, count(*) FROM (SELECT count(*) + 1 AS size FROM removed GROUP BY kept_doc) GROUP BY 1 ORDER BY 1"
    ).fetchall()
    return {
        "by_domain": [
            {"domain": domains[one], "kept_domain": domains[two], "exact": exact, "near": near}
            for one, two, exact, near in by_domain
        ],
        "clusters": [{"size": size, "clusters": count} for size, count in clusters],
    }
