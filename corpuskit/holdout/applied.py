"""What `holdout` decided, applied by the next stage that reads the documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from corpuskit.core.batch import Batch
from corpuskit.core.work import Work
from corpuskit.documents.dropped import DroppedWriter
from corpuskit.documents.kinds import Reading
from corpuskit.documents.lookup import Lookup


class HeldOut:
    """Hands held-out documents over, and drops those that overlap with them."""

    def __init__(
        self, work: Work[Reading], _decision: dict[str, Any], place: int, dropped: DroppedWriter | None
    ) -> None:
        parts = work.receipt("decide:holdout").parts
        self._work, self._place, self._dropped, self._domain = work, place, dropped, work.spec.domain
        self._chosen, self._contaminated = Lookup(parts["chosen"].local()), Lookup(parts["contaminated"].local())

    def __call__(self, batch: Batch, held_out: Callable[[Batch], None]) -> Batch:
        """The documents that stay."""
        found, _ = self._chosen(batch.column("doc"))
        if found.any():
            self._work.count(self._domain, "held_out", int(found.sum()))
            held_out(batch.filter(pa.array(found)))
            batch = batch.filter(pa.array(~found))
        bad, _ = self._contaminated(batch.column("doc"))
        if bad.any() and self._dropped is not None:
            self._dropped.write(self._place, batch, bad, np.full(batch.num_rows, "contaminated", object))
            batch = batch.filter(pa.array(~bad))
        return batch
