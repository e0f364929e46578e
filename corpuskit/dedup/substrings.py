"""The stages of the step `substrings`, and how a segment cuts what they find.

A window is a span of `length` bytes. To know which documents have each of all windows would take 24 bytes for each byte
of the corpus. So it is asked of the anchors first, of which there are few: windows that two documents have in common
have a common anchor.

`anchors` hashes the anchors of one unit's documents, as `lines` does its lines. Then `repeated` and `repeats` of
          `lines` find those that two documents have.
`windows` hashes the windows of which these are the anchors. Again `repeated` and `repeats` (here `recurring`) find
          those that an earlier document has too.

What is found is so exactly what comparing all windows with all would find, and memory is bounded as that of `lines` is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from corpuskit.core.batch import PartReader
from corpuskit.core.spec import Spec
from corpuskit.core.work import Work
from corpuskit.dedup.cut import Cut, slice_of, standing
from corpuskit.dedup.kinds import Anchored
from corpuskit.dedup.lines import ROW, U64, RunWriter
from corpuskit.documents.dropped import DroppedWriter
from corpuskit.documents.lookup import mapped
from corpuskit.kernels.windows import cut_windows, hash_anchors, hash_windows
from corpuskit.store.removed import removed


def anchors(work: Work[Anchored]) -> None:
    """Body: the anchors of the documents of one unit, as sorted runs.

    Needs `docs` one to one. Parts: as `lines` has them; `place` as `kernels.windows.hash_anchors` has it.
    """
    with RunWriter(work) as runs:
        for batch in PartReader(work.receipt("docs").parts["docs"].local(), ["doc", "text"]):
            runs.add(batch.column("doc").to_numpy(), hash_anchors(batch.column("text"), work.spec.length))
    work.facts["anchors"] = runs.borders[-1]


def windows(work: Work[Anchored]) -> None:
    """Body: the windows of the documents of one unit whose anchor another document has too, as sorted runs.

    Needs `docs` and `shared` one to one. Parts: as `anchors`.
    """
    shared = mapped(work.receipt("shared").parts["cut"].local(), "<u8")
    rows, gone = 0, removed(work.store)
    with RunWriter(work) as runs:
        for batch in PartReader(work.receipt("docs").parts["docs"].local(), ["doc", "text"]):
            docs = batch.column("doc").to_numpy()
            mine = standing(slice_of(shared, rows, batch.num_rows), docs, gone, rows) - (np.uint64(rows) << ROW)
            runs.add(docs, hash_windows(batch.column("text"), work.spec.length, mine))
            rows += batch.num_rows
    work.facts["windows"] = runs.borders[-1]


class CutSpans(Cut):
    """Cuts spans that recur, see `Cut`."""

    def __init__(self, work: Work[Spec], decision: dict[str, Any], place: int, dropped: DroppedWriter | None) -> None:
        super().__init__(work, decision, place, dropped, step="substrings", unit="spans")
        self._length: int = decision["length"]

    def _without(self, text: pa.Array, cut: U64, first: int) -> tuple[pa.Array, int]:
        return cut_windows(text, self._length, cut, first)
