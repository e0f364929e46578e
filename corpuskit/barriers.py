"""The bodies of barriers: merge what steps summarized, choose held-out documents, publish the evidence of dedup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpuskit import step as steps_module
from corpuskit.arrow import Batch, ParquetPart, PartReader
from corpuskit.errors import InputError, UsageError
from corpuskit.graph import canonical
from corpuskit.pipeline import STEP_KINDS, Decisions, Lookup, mapped
from corpuskit.states import load_state, save_state
from corpuskit.unit import Receipt, Work


def summary(work: Work) -> None:
    """Body: `summarize` of a step over the documents of one unit; the state is merged batch by batch."""
    step, params = _summarized(work)
    state = None
    for batch in PartReader(work.receipt("docs").parts["docs"].path):
        one = step.summarize_function(batch, **params)
        state = one if state is None else step.merge_function(state, one)
    save_state(state, work.put("state", ".pickle"))


def state(work: Work) -> None:
    """Body: merge the states of all units, in the order of their sources and numbers."""
    step, _ = _summarized(work)
    merged = None
    for source in work.spec["sources"]:
        for receipt in work.receipts(source):
            one = load_state(receipt.parts["state"].path)
            if one is not None:
                merged = one if merged is None else step.merge_function(merged, one)
    save_state(merged, work.put("state", ".pickle"))


def _summarized(work: Work) -> tuple[Any, dict[str, Any]]:
    step = steps_module.resolve(work.run["reference"], STEP_KINDS, Path(work.run["base"]))
    if step.merge_function is None:
        raise UsageError(f"`{step.name}` has `summarize` but no `merge`", f"add @{step.name}.merge")
    params = step.summarized(step.validate(work.run["params"]))
    if canonical(step.fingerprint(params)) != canonical(work.spec["step"]):
        raise InputError(f"the code or a file of `{step.name}` changed since the plan was made", "run again")
    return step, params


def model(work: Work) -> None:
    """Body: `train` of a step. Part `model`: what it wrote; the facts say what it was made of."""
    step = steps_module.resolve(work.run["reference"], STEP_KINDS, Path(work.run["base"]))
    params, identity = step.trained(step.validate(work.run["params"]))
    if canonical(identity) != canonical(work.spec["step"]):
        raise InputError(f"the code or a file of `{step.name}` changed since the plan was made", "run again")
    assert step.train_function is not None
    work.facts["trained"] = dict(step.train_function(work.put("model", ".bin"), **params))


# -- dedup ---------------------------------------------------------------------------------------------------------


def decide(work: Work) -> None:
    """Body: what the choice of `minhash` says of the documents of one unit.

    Needs `docs` one to one and `choose`. Parts: removed_docs, uint64, sorted; removed_exact, uint8, whether each is an
    exact copy. In memory: 9 bytes for each document of this unit that is removed.
    """
    parts = work.receipts("choose")[0].parts
    removed, exact = Lookup(parts["removed_docs"].path), mapped(parts["removed_exact"].path, "u1")
    docs, flags = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint8)]
    for batch in PartReader(work.receipt("docs").parts["docs"].path, ["doc"]):
        _, places = removed(batch.column("doc"))
        docs.append(removed.docs[places])
        flags.append(exact[places])
    found, kind = np.concatenate(docs), np.concatenate(flags)
    order = np.argsort(found)
    work.put("removed_docs", ".u64", rows=len(found)).write_bytes(found[order].astype("<u8").tobytes())
    work.put("removed_exact", ".u8", rows=len(found)).write_bytes(kind[order].astype("u1").tobytes())


# -- validation documents ------------------------------------------------------------------------------------------


def candidates(work: Work) -> None:
    """Body: the documents of one unit that may be held out, by keyed hash of the normalized text."""
    from corpuskit.steps import holdout as method

    decide = Decisions(work, None)
    found = None
    for batch in PartReader(work.receipt("docs").parts["docs"].path):
        left = decide(batch, _nowhere)
        if left.num_rows:
            one = method.select(left.column("doc"), left.column("text"), **_selection(work.spec["holdout"]))
            found = one if found is None else method.merge(found, one)
    save_state(found, work.put("state", ".pickle"))


def _nowhere(_batch: Batch) -> None:
    raise AssertionError("documents are held out once")


def _selection(params: dict[str, Any]) -> dict[str, Any]:
    return {"tokens": params["tokens"], "seed": params["seed"]}


def holdout(work: Work) -> None:
    """Body: choose the held-out documents of each domain; index their shingles for `dedup_train`."""
    from corpuskit.steps import holdout as method

    by_domain: dict[str, Any] = {}
    for source, domain in sorted(work.spec["sources"].items()):
        for receipt in work.receipts(f"candidates:{source}"):
            one = load_state(receipt.parts["state"].path)
            if one is not None:
                by_domain[domain] = one if domain not in by_domain else method.merge(by_domain[domain], one)
    chosen, warnings = [], []
    for domain, found in sorted(by_domain.items()):
        docs, warning = method.chosen(found)
        chosen.append(docs)
        if warning:
            warnings.append(f"{domain}: {warning}")
    docs = np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.uint64)
    work.put("chosen", ".u64", rows=len(docs)).write_bytes(docs.astype("<u8").tobytes())
    work.facts["warnings"] = warnings
    if work.spec["holdout"]["dedup_train"]:
        save_state(method.build_index(_texts(work, docs)), work.put("index", ".pickle"))


def decide_holdout(work: Work) -> None:
    """Body: which documents of one unit are held out, and which are then left out because they overlap with those.

    Needs `docs` one to one, `holdout`, and what earlier barriers decided. Parts: chosen, contaminated; uint64, sorted.
    In memory: 8 bytes for each of these.
    """
    from corpuskit.steps.holdout import contaminated

    parts = work.receipts("holdout")[0].parts
    chosen = Lookup(parts["chosen"].path)
    index = load_state(parts["index"].path) if "index" in parts else None
    decide = Decisions(work, None)
    held_out, overlapping = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    for batch in PartReader(work.receipt("docs").parts["docs"].path):
        left = decide(batch, _nowhere)
        found, places = chosen(left.column("doc"))
        held_out.append(chosen.docs[places])
        left = left.filter(pa.array(~found))
        if index is not None and left.num_rows:
            bad = contaminated(left.column("text"), index)
            overlapping.append(left.column("doc").to_numpy()[bad])
    for name, docs in (("chosen", held_out), ("contaminated", overlapping)):
        found_docs = np.sort(np.concatenate(docs))
        work.put(name, ".u64", rows=len(found_docs)).write_bytes(found_docs.astype("<u8").tobytes())


def _texts(work: Work, docs: npt.NDArray[np.uint64]) -> pa.Array:
    """Texts of the chosen documents, in the order of sources, units and rows."""
    wanted = pa.array(docs, pa.uint64())
    found = []
    for source in sorted(work.spec["sources"]):
        for receipt in work.receipts(f"docs:{source}"):
            reader = PartReader(receipt.parts["docs"].path, ["doc", "text"])
            found += [batch.filter(pc.is_in(batch.column("doc"), wanted)).column("text") for batch in reader]
    return pa.chunked_array(found, pa.string()).combine_chunks()


# -- evidence ------------------------------------------------------------------------------------------------------


def duplicates(work: Work) -> None:
    """Body: publish the witness of every removed document, and what became of the witness afterwards.

    Part `duplicates`, sorted by doc: the columns of `removed`, and kept_dropped_by: the rule by which the witness left
    after it had been kept, `held_out`, or the second of `exact` and `minhash` for a witness of the first; null if it is
    in the corpus.
    """
    settings: dict[str, Any] = {"threads": 1, "memory_limit": f"{max(128, work.memory >> 21)}MiB"}
    settings["temp_directory"] = str(work.scratch / "spill")
    with duckdb.connect(str(work.scratch / "duplicates.duckdb"), config=settings) as database:
        database.execute("CREATE TABLE later (doc UBIGINT, rule VARCHAR)")
        schema = _removed(work, database)
        for name in work.spec["segments"]:
            for receipt in work.receipts(name):
                _left(receipt, database)
        query = (
            "SELECT r.* EXCLUDE (choice), later.rule AS kept_dropped_by FROM removed r "
            "LEFT JOIN later ON later.doc = r.kept_doc AND r.kept_root IS NULL ORDER BY r.doc"
        )
        schema = schema.append(pa.field("kept_dropped_by", pa.string()))
        with ParquetPart(work.put("duplicates", ".parquet", publish=f"duplicates/{work.key}.parquet"), schema) as part:
            for batch in database.sql(query).to_arrow_reader(1 << 16):
                part.write(batch.cast(schema))
    work.rows("duplicates", part.rows)


def _removed(work: Work, database: duckdb.DuckDBPyConnection) -> pa.Schema:
    """Fill the table `removed` from all choices; those of a later one are `later` for an earlier."""
    for number, name in enumerate(work.spec["choices"]):
        reader = PartReader(work.receipts(name)[0].parts["removed"].path)
        batches = pa.RecordBatchReader.from_batches(reader.schema, reader)
        create = "INSERT INTO removed" if number else "CREATE TABLE removed AS"
        database.register("batches", batches)
        database.execute(f"{create} SELECT *, {number} AS choice FROM batches")
        database.unregister("batches")
    last = "exact" if work.spec["choices"][-1].startswith("exact-") else "minhash"
    database.execute(f"INSERT INTO later SELECT doc, '{last}' FROM removed WHERE choice > 0")
    return reader.schema


def _left(receipt: Receipt, database: duckdb.DuckDBPyConnection) -> None:
    """Add what a unit after dedup dropped or held out to the table `later`."""
    for part, rule in (("dropped", "rule"), ("holdout", "'held_out'")):
        if part in receipt.parts:
            columns = ["doc", "rule"] if part == "dropped" else ["doc"]
            for batch in pq.ParquetFile(receipt.parts[part].path).iter_batches(columns=columns):
                database.register("batch", pa.Table.from_batches([batch]))
                database.execute(f"INSERT INTO later SELECT doc, {rule} FROM batch")
                database.unregister("batch")
