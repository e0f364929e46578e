"""Signals whose columns come from one pass over a text: what one of them needs is counted for the others as well."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Collection, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpuskit.core import step
from corpuskit.core.batch import Batch, utf8

Columns = dict[str, pa.Array]


class Table:
    """Counts of the n texts of a batch, as columns.

    Attributes:
        counts: int64[n] by name. missing: bool[n], where the text is null.
    """

    def __init__(self, text: pa.Array, counts: dict[str, npt.NDArray[np.int64]]) -> None:
        self.counts = counts
        self.missing: npt.NDArray[np.bool_] = text.is_null().to_numpy(zero_copy_only=False)

    def whole(self, name: str) -> pa.Array:
        """A count, int64[n]; null for a null text."""
        return pa.array(self.counts[name], pa.int64(), mask=self.missing)

    def share(self, part: str, of: str) -> pa.Array:
        """One count by another, float64[n]; null for a null text and where there is nothing to take a share of."""
        total = self.counts[of]
        return pa.array(self.counts[part] / np.maximum(total, 1), pa.float64(), mask=self.missing | (total == 0))


class Counts(Table):
    """What was counted in one pass.

    Attributes:
        texts: as `utf8` views them. entropy: float64[n].
    """

    def __init__(self, batch: Batch, signals: Collection[str]) -> None:
        # The kernel's module is imported here because it loads numba, which `check` does not need.
        from corpuskit.kernels import heuristics as kernel
        from corpuskit.kernels.scan import PAGE, QUALITY, REPETITION

        text = batch.column("text")
        parts = {
            "heuristics": QUALITY,
            "repetition": REPETITION,
            "page_heuristics": PAGE,
            "dolma_heuristics": REPETITION,
        }
        self.texts = utf8(text)
        wanted = functools.reduce(operator.or_, (parts[name] for name in signals))
        table, self.entropy = kernel.count(*self.texts, wanted)
        super().__init__(text, dict(zip(kernel.COUNTS, table.T, strict=True)))


_columns: dict[str, Callable[[Counts], Columns]] = {}


def _together(batch: Batch, signals: Collection[str]) -> dict[str, Columns]:
    counts = Counts(batch, signals)
    return {name: _columns[name](counts) for name in signals}


def counted_together(
    columns: Mapping[str, str], libraries: tuple[str, ...]
) -> Callable[[Callable[[Counts], Columns]], step.Step]:
    """Make a function of counts a signal with these columns."""

    def wrap(function: Callable[[Counts], Columns]) -> step.Step:
        name = function.__name__
        _columns[name] = function

        @functools.wraps(function)
        def alone(batch: Batch) -> Columns:
            return _together(batch, [name])[name]

        return step.signal(columns=columns, libraries=libraries, together=_together)(alone)

    return wrap
