"""A step of corpuskit as a block of a pipeline of datatrove: `corpuskit.steps.gopher_quality().in_datatrove()`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from datatrove.pipeline.base import PipelineStep

DOCUMENTS = 1000
"""Worked on at a time."""


class CorpuskitStep(PipelineStep):  # type: ignore[misc]
    """Hands on the documents that the step keeps, with its texts, and its columns in their metadata.

    datatrove counts those that it drops as `dropped_RULE`.

    Args:
        step: a `corpuskit.steps.frames.OnFrames`.
    """

    type = "CORPUSKIT"

    def __init__(self, step: Any) -> None:
        self.step = step
        self.name = step.name  # before datatrove names its statistics by it
        super().__init__()

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """The documents that stay, in their order."""
        del rank, world_size
        for some in _batched(data):
            table = pa.table({"text": [one.text for one in some], "place": range(len(some))})
            kept, dropped = self.step.split(table)
            for rule in dropped["rule"].to_pylist():
                self.stat_update(f"dropped_{rule}")
            for row in kept.to_pylist():
                one = some[row.pop("place")]
                one.text = row.pop("text")
                one.metadata.update(row)
                self.stat_update("forwarded")
                yield one


def _batched(data: Any) -> Iterator[list[Any]]:
    """Documents in lists."""
    each = iter(data)
    while some := list(itertools.islice(each, DOCUMENTS)):
        yield some
