"""What the rooms that add stages to a plan are given: what is known while the steps of a recipe are walked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from corpuskit.core.calls import Source
from corpuskit.core.plan import Need, Stage, Unit

PARTITION_BYTES = 4 << 30
"""Raw bytes for each unit of a stage over all documents (rounded up to a power of two of units)."""

FEW_BYTES = 256 << 20
"""The same of a corpus that would give fewer than four units: a few workers then need not wait for one."""


@dataclass(frozen=True)
class Decision:
    """What a barrier decided about documents: the stage that holds it, and how the next segment applies it.

    Attributes:
        label: under which the segment finds the stage.
        need: the stage.
        told: what `corpuskit.documents.decisions` is told of it; `barrier` names the step.
    """

    label: str
    need: Need
    told: dict[str, Any]


class Planner(Protocol):
    """The plan in the making.

    Attributes:
        path, base: the recipe's file, and the folder that relative paths start from.
        sources: of the recipe, by name.
        stages: that were added, by name.
        docs: the stage that holds each source's documents; None while they are not read.
        decisions: what barriers decided about each source's documents and no segment has applied yet.
        raw_bytes: of all files.
    """

    path: Path
    base: Path
    sources: dict[str, Source]
    stages: dict[str, Stage]
    docs: dict[str, str | None]
    decisions: dict[str, list[Decision]]
    raw_bytes: int

    def add(
        self, stage: Stage, *, like: str | None = None, raw: list[Unit] | None = None, count: int | None = None
    ) -> None:
        """Give a stage its key and its units: one per unit of the stage `like`, these over raw files, or `count`."""

    def flush(self, sources: list[Source], before: str) -> None:
        """See that the documents of these sources stand in a stage, and that what barriers decided is applied."""

    def write(self, sources: list[Source], before: str) -> None:
        """See that the texts of these sources stand in a stage; documents that a barrier removed may be among them."""

    def partitions(self) -> int:
        """Units of a stage over all documents: one for each 4 GiB of raw files, or four, a power of two."""

    def holding(self, source: str) -> str:
        """The stage that holds the documents of a source that was read."""
