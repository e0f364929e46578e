"""What `exact` and `minhash` decided, applied by the next stage that reads the documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from corpuskit.core.batch import Batch
from corpuskit.core.work import Work
from corpuskit.documents.dropped import DroppedWriter
from corpuskit.documents.kinds import Reading
from corpuskit.documents.lookup import Lookup, mapped


class Removed:
    """Leaves removed documents out, and counts them as exact copies or near ones."""

    def __init__(self, work: Work[Reading], decision: dict[str, Any], dropped: DroppedWriter | None) -> None:
        parts = work.receipt(f"decide:{decision['barrier']}").parts
        self._work, self._counts, self._domain = work, dropped is not None, work.spec.domain
        self._removed, self._exact = Lookup(parts["removed_docs"].local()), mapped(parts["removed_exact"].local(), "u1")

    def __call__(self, batch: Batch, _held_out: Callable[[Batch], None]) -> Batch:
        """The documents that stay."""
        found, places = self._removed(batch.column("doc"))
        if self._counts:
            exact = int(self._exact[places].sum())
            self._work.count(self._domain, "exact", exact)
            self._work.count(self._domain, "near", len(places) - exact)
        return batch.filter(pa.array(~found))
