"""What barriers decided about documents, applied batch by batch by whatever reads them next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from corpuskit.core.batch import Batch
from corpuskit.core.kinds import barriers, load
from corpuskit.core.work import Work
from corpuskit.documents.dropped import DroppedWriter
from corpuskit.documents.kinds import Reading
from corpuskit.store import removed

HeldOut = Callable[[Batch], None]


class Applied(Protocol):
    """A class that applies what stages of a kind decided; `Barrier.applied` names it.

    It is made with the unit's work, the decision as it stands in `apply` of its spec, its place there from 1, and the
    writer of what is dropped (None where documents are only looked at: then nothing is counted). It is called with a
    batch and a function that takes held-out documents, and gives the documents that stay. One that has an attribute
    `by_row` is given all rows of the unit, blank ones of documents that were taken down too.
    """

    def __init__(
        self, work: Work[Reading], decision: dict[str, Any], place: int, dropped: DroppedWriter | None
    ) -> None: ...

    def __call__(self, batch: Batch, held_out: HeldOut) -> Batch:
        """The documents that stay."""


class Decisions:
    """Applies all decisions of a unit, in the order of the recipe."""

    def __init__(self, work: Work[Reading], dropped: DroppedWriter | None) -> None:
        self._gone = removed.removed(work.store)
        self._steps: list[Applied] = [
            load(barriers()[decision["barrier"]].applied)(work, decision, place, dropped)
            for place, decision in enumerate(work.spec.apply, start=1)
        ]

    def __call__(self, batch: Batch, held_out: HeldOut) -> Batch:
        """The documents that stay; held-out ones go to `held_out`."""
        for apply in self._steps:
            if not hasattr(apply, "by_row"):
                batch = removed.without(batch, self._gone)
            if batch.num_rows:
                batch = apply(batch, held_out)
        return removed.without(batch, self._gone)
