"""The evidence of dedup: the witness of every removed document, and the rule by which it left later, if it did."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from corpuskit.core.batch import ParquetPart, PartReader
from corpuskit.core.work import Receipt, Work
from corpuskit.dedup.kinds import Evidence
from corpuskit.store.removed import RULE, removed


def duplicates(work: Work[Evidence]) -> None:
    """Body: publish the witness of every removed document, and the rule by which it left afterwards, if it did.

    Part `duplicates`, sorted by doc: the columns of `removed`, and kept_dropped_by: the rule by which the witness left
    after it had been kept, `held_out`, or the second of `exact` and `minhash` for a witness of the first; null if it is
    in the corpus.
    """
    settings: dict[str, Any] = {"threads": 1, "memory_limit": f"{max(64, work.memory >> 21)}MiB"}
    settings["temp_directory"] = str(work.scratch / "spill")
    with duckdb.connect(str(work.scratch / "duplicates.duckdb"), config=settings) as database:
        database.execute("CREATE TABLE later (doc UBIGINT, rule VARCHAR)")
        schema = _removed(work, database)
        for name in work.spec.segments:
            for receipt in work.receipts(name):
                _left(receipt, database)
        _taken_down(work, database)
        query = (
            "SELECT r.* EXCLUDE (choice), later.rule AS kept_dropped_by FROM removed r "
            "LEFT JOIN later ON later.doc = r.kept_doc AND r.kept_root IS NULL ORDER BY r.doc"
        )
        schema = schema.append(pa.field("kept_dropped_by", pa.string()))
        with ParquetPart(work.put("duplicates", ".parquet", publish=f"duplicates/{work.key}.parquet"), schema) as part:
            for batch in database.sql(query).to_arrow_reader(1 << 16):
                part.write(batch.cast(schema))
    work.rows("duplicates", part.rows)


def _removed(work: Work[Evidence], database: duckdb.DuckDBPyConnection) -> pa.Schema:
    """Fill the table `removed` from all choices; those of a later one are `later` for an earlier."""
    for number, name in enumerate(work.spec.choices):
        reader = PartReader(work.receipts(name)[0].parts["removed"].local())
        batches = pa.RecordBatchReader.from_batches(reader.schema, reader)
        create = "INSERT INTO removed" if number else "CREATE TABLE removed AS"
        database.register("batches", batches)
        database.execute(f"{create} SELECT *, {number} AS choice FROM batches")
        database.unregister("batches")
    last = "exact" if work.spec.choices[-1].startswith("exact-") else "minhash"
    database.execute(f"INSERT INTO later SELECT doc, '{last}' FROM removed WHERE choice > 0")
    return reader.schema


def _taken_down(work: Work[Evidence], database: duckdb.DuckDBPyConnection) -> None:
    """Forget documents that were taken down since the choice was made, but as witnesses."""
    gone = removed(work.store)
    if len(gone):
        database.register("gone", pa.table({"doc": gone}))
        database.execute("DELETE FROM removed WHERE doc IN (SELECT doc FROM gone)")
        database.execute("DELETE FROM later WHERE doc IN (SELECT doc FROM gone)")
        database.execute(f"INSERT INTO later SELECT doc, '{RULE}' FROM gone")
        database.unregister("gone")


def _left(receipt: Receipt, database: duckdb.DuckDBPyConnection) -> None:
    """Add what a unit after dedup dropped or held out to the table `later`, but for duplicates, which are there."""
    for part, rule in (("dropped", "rule"), ("holdout", "'held_out'")):
        if part in receipt.parts:
            columns = ["doc", "rule"] if part == "dropped" else ["doc"]
            for batch in pq.ParquetFile(receipt.parts[part].local()).iter_batches(columns=columns):
                database.register("batch", pa.Table.from_batches([batch]))
                database.execute(f"INSERT INTO later SELECT doc, {rule} FROM batch ANTI JOIN removed USING (doc)")
                database.unregister("batch")
