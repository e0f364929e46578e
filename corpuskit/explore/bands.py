"""How often pairs of known similarity agree in a band of their signatures: the S-curve, measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpuskit.core.plan import Plan
from corpuskit.steps.lsh import Minhash
from corpuskit.store.root import Root

PAIRS = 2000
"""Most pairs that are looked at; chosen evenly from all, in the order of their documents."""

WIDTH = 0.02
"""Pairs whose similarities are this close are one point."""


@dataclass(frozen=True)
class Measured:
    """Pairs of about one similarity, and their chance to agree in any of the bands, if all bands are alike."""

    jaccard: float
    pairs: int
    caught: float


def measured(root: Root, plan: Plan, params: Minhash) -> list[Measured]:
    """Points of the S-curve, from the near duplicates that were removed for a document of this corpus.

    A pair that agrees in no band was never found and is not among them: where the curve is low, the points lie high.
    """
    stage = plan.stages.get("duplicates")
    tables = [pq.read_table(one.parts["duplicates"].local()) for one in root.complete(stage)] if stage else []
    if not tables or not params.bands:
        return []
    found = pa.concat_tables(tables, promote_options="default")
    near = (pc.field("kind") == "near") & pc.field("kept_root").is_null() & pc.field("jaccard").is_valid()
    found = found.filter(near).sort_by("doc")
    found = found.take(pa.array(np.arange(0, len(found), max(1, -(-len(found) // PAIRS)))))
    docs, kept = (np.asarray(found[name].to_numpy(), np.uint64) for name in ("doc", "kept_doc"))
    one, two = (_signatures(root, plan, wanted) for wanted in (docs, kept))
    known = np.array(
        [doc in one and other in two for doc, other in zip(docs.tolist(), kept.tolist(), strict=True)], bool
    )
    if not known.any():
        return []
    similarity = found["jaccard"].to_numpy()[known]
    pairs = [(one[doc], two[other]) for doc, other in zip(docs[known].tolist(), kept[known].tolist(), strict=True)]
    share = np.array([_agreeing(a, b, params) for a, b in pairs])
    return list(_points(similarity, share, params.bands))


def _points(similarity: npt.NDArray[Any], share: npt.NDArray[Any], bands: int) -> Iterator[Measured]:
    place = np.floor(similarity / WIDTH + 1e-9).astype(int)
    for here in np.unique(place):
        chosen = place == here
        agree = float(share[chosen].mean())
        yield Measured(float(similarity[chosen].mean()), int(chosen.sum()), 1 - (1 - agree) ** bands)


def _agreeing(one: npt.NDArray[Any], two: npt.NDArray[Any], params: Minhash) -> float:
    """The share of bands in which two signatures are equal."""
    equal = (one == two)[: params.bands * params.rows].reshape(params.bands, params.rows)
    return float(equal.all(axis=1).mean())


def _signatures(root: Root, plan: Plan, wanted: npt.NDArray[np.uint64]) -> dict[int, npt.NDArray[Any]]:
    """Signatures of documents by id, of those that the run has."""
    found: dict[int, npt.NDArray[Any]] = {}
    for stage in plan.stages.values():
        if stage.kind != "signatures":
            continue
        for receipt in root.complete(stage):
            docs, signatures = (np.load(receipt.parts[name].local(), mmap_mode="r") for name in ("doc", "signature"))
            for row in np.flatnonzero(np.isin(docs, wanted)):
                found[int(docs[row])] = np.array(signatures[row])
    return found
