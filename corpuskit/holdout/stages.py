"""The stages of `holdout`: candidates by unit, the choice, and each unit's slice of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpuskit.core.batch import Batch, PartReader
from corpuskit.core.state import load_state, save_state
from corpuskit.core.work import Work
from corpuskit.documents.decisions import Decisions
from corpuskit.documents.kinds import Reading
from corpuskit.documents.lookup import Lookup
from corpuskit.holdout.kinds import Candidates, Chosen
from corpuskit.steps import holdout as method


def candidates(work: Work[Candidates]) -> None:
    """Body: the documents of one unit that may be held out, by keyed hash of the normalized text."""
    decide = Decisions(work, None)
    found = None
    for batch in PartReader(work.receipt("docs").parts["docs"].local()):
        left = decide(batch, _nowhere)
        if left.num_rows:
            one = method.select(left.column("doc"), left.column("text"), **_selection(work.spec.holdout))
            found = one if found is None else method.merge(found, one)
    save_state(found, work.put("state", ".state"), method.Candidates)


def _nowhere(_batch: Batch) -> None:
    raise AssertionError("documents are held out once")


def _selection(params: dict[str, Any]) -> dict[str, Any]:
    return {"tokens": params["tokens"], "seed": params["seed"]}


def holdout(work: Work[Chosen]) -> None:
    """Body: choose the held-out documents of each domain; index their shingles for `dedup_train`."""
    by_domain: dict[str, Any] = {}
    for source, domain in sorted(work.spec.sources.items()):
        for receipt in work.receipts(f"candidates:{source}"):
            one = load_state(receipt.parts["state"].local(), method.Candidates)
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
    if work.spec.holdout["dedup_train"]:
        save_state(method.build_index(_texts(work, docs)), work.put("index", ".state"), method.Index)


def decide_holdout(work: Work[Reading]) -> None:
    """Body: which documents of one unit are held out, and which are then left out because they overlap with those.

    Needs `docs` one to one, `holdout`, and what earlier barriers decided. Parts: chosen, contaminated; uint64, sorted.
    In memory: 8 bytes for each of these.
    """
    parts = work.receipts("holdout")[0].parts
    chosen = Lookup(parts["chosen"].local())
    index = load_state(parts["index"].local(), method.Index) if "index" in parts else None
    decide = Decisions(work, None)
    held_out, overlapping = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    for batch in PartReader(work.receipt("docs").parts["docs"].local()):
        left = decide(batch, _nowhere)
        found, places = chosen(left.column("doc"))
        held_out.append(chosen.docs[places])
        left = left.filter(pa.array(~found))
        if index is not None and left.num_rows:
            bad = method.contaminated(left.column("text"), index)
            overlapping.append(left.column("doc").to_numpy()[bad])
    for name, docs in (("chosen", held_out), ("contaminated", overlapping)):
        found_docs = np.sort(np.concatenate(docs))
        work.put(name, ".u64", rows=len(found_docs)).write_bytes(found_docs.astype("<u8").tobytes())


def _texts(work: Work[Chosen], docs: npt.NDArray[np.uint64]) -> pa.Array:
    """Texts of the chosen documents, in the order of sources, units and rows.

    Only the units that such a document is a candidate of are opened, and of these only the batches that hold one.
    """
    wanted = pa.array(docs, pa.uint64())
    found = []
    for source in sorted(work.spec.sources):
        units = work.receipts(f"docs:{source}")
        for number, receipt in enumerate(work.receipts(f"candidates:{source}")):
            one = load_state(receipt.parts["state"].local(), method.Candidates)
            if one is None or not np.isin(one.docs, docs).any():
                continue
            part = units[number].parts["docs"]
            ids, texts = PartReader(part.open(), ["doc"]), PartReader(part.open(), ["doc", "text"])
            for place, batch in enumerate(ids.each()):
                if pc.any(pc.is_in(batch.column("doc"), wanted)).as_py():
                    whole = texts.batch(place)
                    found.append(whole.filter(pc.is_in(whole.column("doc"), wanted)).column("text"))
    return pa.chunked_array(found, pa.string()).combine_chunks()
