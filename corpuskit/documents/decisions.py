"""What barriers decided about documents, applied batch by batch by whatever reads them next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from corpuskit.core.batch import Batch
from corpuskit.core.kinds import kinds, load
from corpuskit.core.work import Work
from corpuskit.documents.dropped import DroppedWriter

HeldOut = Callable[[Batch], None]


class Applied(Protocol):
    """A class that applies what stages of a kind decided; `StageKind.applied` names it.

    It is made with the unit's work, the decision as it stands in `spec["apply"]`, and the writer of what is dropped
    (None where documents are only looked at: then nothing is counted). It is called with a batch and a function that
    takes held-out documents, and gives the documents that stay.
    """

    def __init__(self, work: Work, decision: dict[str, Any], dropped: DroppedWriter | None) -> None: ...

    def __call__(self, batch: Batch, held_out: HeldOut) -> Batch:
        """The documents that stay."""


class Decisions:
    """Applies all decisions of a unit, in the order of the recipe."""

    def __init__(self, work: Work, dropped: DroppedWriter | None) -> None:
        makers = {barrier: kind.applied for kind in kinds().values() for barrier in kind.barriers}
        self._steps: list[Applied] = [
            load(makers[decision["barrier"]])(work, decision, dropped) for decision in work.spec["apply"]
        ]

    def __call__(self, batch: Batch, held_out: HeldOut) -> Batch:
        """The documents that stay; held-out ones go to `held_out`."""
        for apply in self._steps:
            if batch.num_rows:
                batch = apply(batch, held_out)
        return batch
