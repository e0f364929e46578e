"""Stage `choose`: which documents go, and for each its witness.

The choice is greedy in priority order (the recipe's `keep` list, longer first, document id): a document is removed if
and only if a kept document of higher priority is a verified candidate of it; the first such is its witness. Verified
edges come sorted by rank and are read once; one bit per document is the state.

Not all pairs of a large bucket were compared. After each choice its members are compared with those kept members that
come before them and before their witness; new edges mean a new choice. Where no edge is new, the choice is that of all
pairs.

`choose: component` removes all but the first document of each connected component instead, for comparison with other
tools; its state is four bytes per document, in a file.
"""

from __future__ import annotations

import json

import numpy as np

from corpuskit.core.work import Work
from corpuskit.dedup.choice import Choice
from corpuskit.dedup.examine import Examination
from corpuskit.dedup.files import ArrayFile, ArrayWriter
from corpuskit.dedup.finished import PARAMETERS
from corpuskit.dedup.index import Index
from corpuskit.dedup.kinds import Compared
from corpuskit.dedup.known import Known
from corpuskit.dedup.removed import write_removed
from corpuskit.dedup.sort import Run, merge
from corpuskit.dedup.verify import Verifier


def choose(work: Work[Compared]) -> None:
    """Choose among all documents, and write which are removed.

    Parts: `removed`, `removed_docs`, `removed_exact`, as `write_removed` says.

    Facts: candidates = ruled_out + compared (distinct pairs, all rounds); similar, of the compared; precision, similar
    / candidates or null; bands, rows; rounds; by_domain and clusters as `write_removed` says.
    """
    params = work.spec.params
    if not params.bands:  # exact copies only
        work.facts |= write_removed(work, Index(work), None)
        return
    parameters = work.put("parameters", ".json", publish=PARAMETERS)
    parameters.write_text(json.dumps(params.dump(), indent=1, sort_keys=True))
    verifier = Verifier(work)
    counts = dict.fromkeys(("candidates", "ruled_out", "compared", "similar"), 0)
    for receipt in work.receipts("verify"):
        for name in counts:
            counts[name] += receipt.facts[name]
    edges: list[Run] = [
        (ArrayFile.of(receipt.parts["pair"]), ArrayFile.of(receipt.parts["jaccard"]))
        for receipt in work.receipts("verify")
    ]
    if len(edges) > 1:
        edges = [_together(work, edges)]
    choice = Choice(work.scratch / "choice-0", verifier, edges)
    rounds, seen = 1, ""
    with Known.Writer(work) as known:
        while params.choose == "priority":
            examination = Examination(work, verifier, choice.witness, [pairs for pairs, _ in edges])
            fresh = examination.run(rounds, seen)
            paths = work.scratch / f"pair-{rounds}.npy", work.scratch / f"jaccard-{rounds}.npy"
            added = verifier.save(fresh, *paths, work.scratch / f"verify-{rounds}", known)
            for name in counts:
                counts[name] += added[name]
            if not added["candidates"] and not examination.cut:
                break
            edges.append((ArrayFile(paths[0]), ArrayFile(paths[1])))
            if added["similar"]:
                choice = Choice(work.scratch / f"choice-{rounds}", verifier, edges)
            rounds, seen = rounds + 1, examination.wide
    precision = counts["similar"] / counts["candidates"] if counts["candidates"] else None
    shape = {"bands": params.bands, "rows": params.rows}
    work.facts |= counts | shape | {"precision": precision, "rounds": rounds}
    work.facts |= write_removed(work, verifier.index, choice)


def _together(work: Work[Compared], edges: list[Run]) -> Run:
    """One file of all pairs: the rounds search it again and again."""
    paths = work.scratch / "pair-0.npy", work.scratch / "jaccard-0.npy"
    with ArrayWriter(paths[0], np.uint64) as pairs_out, ArrayWriter(paths[1], np.float64) as jaccard_out:
        for pairs, jaccard in merge(edges, max(1024, work.memory // 64)):
            assert jaccard is not None
            pairs_out.write(pairs)
            jaccard_out.write(jaccard)
    return ArrayFile(paths[0]), ArrayFile(paths[1])
