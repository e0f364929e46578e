"""What `exact` and `minhash` decided, applied by the next stage that reads the documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpuskit.core.batch import Batch
from corpuskit.core.work import Work
from corpuskit.documents.dropped import DroppedWriter
from corpuskit.documents.kinds import Reading
from corpuskit.documents.lookup import Lookup, mapped

KINDS = np.array(["near", "exact"], object)
"""Categories of the books."""


class Removed:
    """Leaves removed documents out, and counts them as exact copies or near ones.

    Where every dropped text is kept (`keep_dropped`), theirs are too: with the step as their rule and the kind as the
    reason. What they are duplicates of stands in `duplicates/` in any case.
    """

    def __init__(
        self, work: Work[Reading], decision: dict[str, Any], place: int, dropped: DroppedWriter | None
    ) -> None:
        self._step, self._place, self._dropped = str(decision["barrier"]), place, dropped
        self._work, self._domain = work, work.spec.domain
        parts = work.receipt(f"decide:{self._step}").parts
        self._removed, self._exact = Lookup(parts["removed_docs"].local()), mapped(parts["removed_exact"].local(), "u1")

    def __call__(self, batch: Batch, _held_out: Callable[[Batch], None]) -> Batch:
        """The documents that stay."""
        found, places = self._removed(batch.column("doc"))
        if self._dropped is not None:
            self._count(batch, found, KINDS[self._exact[places]])
        return batch.filter(pa.array(~found))

    def _count(self, batch: Batch, found: npt.NDArray[np.bool_], kinds: npt.NDArray[Any]) -> None:
        assert self._dropped is not None
        if self._dropped.every == 1 and len(kinds):
            rules = np.full(batch.num_rows, None, object)
            rules[found] = kinds
            reasons = pa.array(rules, pa.string())
            self._dropped.write(self._place, batch, found, rules, reasons, name=self._step)
        else:
            for kind in KINDS:
                self._work.count(self._domain, kind, int((kinds == kind).sum()))
