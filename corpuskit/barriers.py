"""The bodies of barriers: merge what steps summarized, choose held-out documents, publish the evidence of dedup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpuskit import step as steps_module
from corpuskit.arrow import Batch, ParquetPart, PartReader, PartWriter
from corpuskit.errors import UsageError
from corpuskit.pipeline import STEP_KINDS, Decisions
from corpuskit.states import load_state, save_state
from corpuskit.unit import Work


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
    return step, step.validate(work.run["params"])


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
    with PartWriter(work.put("chosen", ".arrow"), pa.schema([("doc", pa.uint64())])) as writer:
        writer.write(pa.RecordBatch.from_arrays([pa.array(docs, pa.uint64())], names=["doc"]))
    work.rows("chosen", len(docs))
    work.facts["warnings"] = warnings
    if work.spec["holdout"]["dedup_train"]:
        save_state(method.build_index(_texts(work, docs)), work.put("index", ".pickle"))


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
    """Body: publish the witness of every removed document, and what became of the witness afterwards."""
    removed = _part_table(work.receipts("choose")[0].parts["removed"].path)
    later = _dropped_later(work, removed.column("kept_doc"))
    kept = removed.column("kept_doc").to_pylist()
    columns = {
        "doc": removed.column("doc"),
        "kept_doc": removed.column("kept_doc"),
        "kept_root": pa.nulls(removed.num_rows, pa.string()),
        "jaccard": removed.column("jaccard"),
        "kind": removed.column("kind"),
        "domain": removed.column("domain"),
        "kept_domain": removed.column("kept_domain"),
        "kept_dropped_by": pa.array([later.get(doc) for doc in kept], pa.string()),
    }
    table = pa.table(columns)
    with ParquetPart(
        work.put("duplicates", ".parquet", publish=f"duplicates/{work.key}.parquet"), table.schema
    ) as part:
        for batch in table.to_batches():
            part.write(batch)
    work.rows("duplicates", table.num_rows)


def _dropped_later(work: Work, kept: pa.ChunkedArray) -> dict[int, str]:
    """Of the witnesses, those that left after `minhash` had kept them, and by which rule (or `held_out`)."""
    witnesses = kept.unique()
    later: dict[int, str] = {}
    for name in work.spec["segments"]:
        for receipt in work.receipts(name):
            if "dropped" in receipt.parts:
                table = pq.read_table(receipt.parts["dropped"].path, columns=["doc", "rule"])
                table = table.filter(pc.is_in(table.column("doc"), witnesses))
                later |= zip(table.column("doc").to_pylist(), table.column("rule").to_pylist(), strict=True)
            if "holdout" in receipt.parts:
                docs = pq.read_table(receipt.parts["holdout"].path, columns=["doc"]).column("doc")
                later |= dict.fromkeys(docs.filter(pc.is_in(docs, witnesses)).to_pylist(), "held_out")
    return later


def _part_table(path: Path) -> pa.Table:
    reader = PartReader(path)
    return pa.Table.from_batches(list(reader), reader.schema)
