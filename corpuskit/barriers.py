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
from corpuskit.arrow import Batch, ParquetPart, PartReader
from corpuskit.errors import InputError, UsageError
from corpuskit.graph import canonical
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
    params = step.validate(work.run["params"])
    if canonical(step.fingerprint(params)) != canonical(work.spec["step"]):
        raise InputError(f"the code or a file of `{step.name}` changed since the plan was made", "run again")
    return step, params


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
    reader = PartReader(work.receipts("choose")[0].parts["removed"].path)
    docs, rules = _dropped_later(work, reader)
    new = [("kept_root", pa.string()), ("kept_dropped_by", pa.string())]
    schema = pa.schema([*reader.schema, *new])
    with ParquetPart(work.put("duplicates", ".parquet", publish=f"duplicates/{work.key}.parquet"), schema) as part:
        for batch in reader:
            by = rules.take(pc.index_in(batch.column("kept_doc"), docs))
            part.write(pa.RecordBatch.from_arrays([*batch.columns, pa.nulls(len(by), pa.string()), by], schema=schema))
    work.rows("duplicates", part.rows)


def _dropped_later(work: Work, removed: PartReader) -> tuple[pa.Array, pa.Array]:
    """Witnesses that left after `minhash` had kept them: uint64 ids, and by which rule each (or `held_out`).

    In memory: 8 bytes for each document that is a witness.
    """
    witnesses = pa.chunked_array([batch.column("kept_doc") for batch in removed], pa.uint64()).unique()
    docs, rules = [], []
    for name in work.spec["segments"]:
        for receipt in work.receipts(name):
            for part in ("dropped", "holdout"):
                if part in receipt.parts:
                    file = pq.ParquetFile(receipt.parts[part].path)
                    names = ["doc", "rule"] if part == "dropped" else ["doc"]
                    for batch in file.iter_batches(columns=names):
                        left = batch.filter(pc.is_in(batch.column("doc"), witnesses))
                        docs.append(left.column("doc"))
                        held_out = pa.array(["held_out"] * left.num_rows, pa.string())
                        rules.append(left.column("rule") if part == "dropped" else held_out)
    return pa.chunked_array(docs, pa.uint64()).combine_chunks(), pa.chunked_array(rules, pa.string()).combine_chunks()
