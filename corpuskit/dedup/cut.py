"""How a segment cuts from its documents what stages found to recur: lines here, spans in `substrings`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpuskit.core.batch import Batch, set_column, text_bytes
from corpuskit.core.spec import Spec
from corpuskit.core.work import Work
from corpuskit.dedup.lines import ROW, U64
from corpuskit.documents.dropped import DroppedWriter
from corpuskit.documents.lookup import mapped
from corpuskit.kernels.lines import Unit, cut_lines
from corpuskit.store.removed import removed


class Cut(ABC):
    """Cuts what recurs from the documents of one unit, batch by batch in their order.

    Args:
        work: a segment; its fact `step` says how many of `unit`, and bytes, its documents lost.
        decision: what the plan says of the step. place: of the decision.
        dropped: for documents of which nothing is left.
    """

    by_row = True

    def __init__(
        self,
        work: Work[Spec],
        decision: dict[str, Any],
        place: int,
        dropped: DroppedWriter | None,
        *,
        step: str,
        unit: str,
    ) -> None:
        assert dropped is not None, f"what `{step}` leaves of the documents is written before others read them"
        self._place, self._dropped, self._counted = place, dropped, unit
        self._cut = mapped(work.receipt(decision["repeats"]).parts["cut"].local(), "<u8")
        self._rows = 0
        self._gone = removed(work.store)
        self._facts = work.facts.setdefault(step, {}).setdefault(
            decision["name"], {"documents": 0, unit: 0, "bytes": 0}
        )

    @abstractmethod
    def _without(self, text: pa.Array, cut: U64, first: int) -> tuple[pa.Array, int]:
        """Texts, of rows from `first` on, without what is to be cut of them, and how many pieces that is."""

    def __call__(self, batch: Batch, _held_out: Callable[[Batch], None]) -> Batch:
        """The batch as it is left; documents without any text go to `dropped/` as they were, as `empty`."""
        first, self._rows = self._rows, self._rows + batch.num_rows
        cut = standing(slice_of(self._cut, first, batch.num_rows), batch.column("doc").to_numpy(), self._gone, first)
        if not len(cut):
            return batch
        text, count = self._without(batch.column("text"), cut, first)
        changed = np.unique(cut >> ROW).astype(np.int64) - first
        self._facts["documents"] += len(changed)
        self._facts[self._counted] += count
        self._facts["bytes"] += int((text_bytes(batch.column("text")) - text_bytes(text)).sum())
        left = pc.utf8_length(pc.utf8_trim_whitespace(text.take(pa.array(changed)))).to_numpy()
        blank = np.zeros(batch.num_rows, np.bool_)
        blank[changed] = left == 0
        if blank.any():
            self._dropped.write(self._place, batch, blank, np.full(batch.num_rows, "empty", object))
        return set_column(batch, "text", text).filter(pa.array(~blank))


class CutLines(Cut):
    """Cuts lines or paragraphs that recur, see `Cut`."""

    def __init__(self, work: Work[Spec], decision: dict[str, Any], place: int, dropped: DroppedWriter | None) -> None:
        super().__init__(work, decision, place, dropped, step="lines", unit="lines")
        self._unit: Unit = decision["unit"]

    def _without(self, text: pa.Array, cut: U64, first: int) -> tuple[pa.Array, int]:
        return cut_lines(text, self._unit, cut, first), len(cut)


def slice_of(places: U64, first: int, rows: int) -> U64:
    """Of sorted places those in some rows, uint64[m]."""
    borders = np.array([first, first + rows], np.uint64) << ROW
    return np.asarray(places[slice(*np.searchsorted(places, borders))])


def standing(places: U64, docs: U64, gone: U64, first: int) -> U64:
    """Places in rows from `first` on, but for those of documents that were taken down: their rows are blank."""
    if not len(gone):
        return places
    down = np.flatnonzero(np.isin(docs, gone)) + first
    return places[~np.isin((places >> ROW).astype(np.int64), down)]
