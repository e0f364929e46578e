"""What a step finds in the documents of a batch, as it hands it over beside what it does with them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

GIVEN = pa.schema([("row", pa.int64()), ("what", pa.string()), ("times", pa.int64())])
"""Columns of findings: a row of the batch, rising; what was found in it; how often."""

CHOICE = ("item", "text")
"""Columns of strings that a step may add: which of its kind, and words that show it."""


def counted(counts: Mapping[str, npt.NDArray[np.integer]]) -> pa.RecordBatch:
    """Findings from counts by document; nothing is said where a count is 0.

    Args:
        counts: by what was found, how often in each row of the batch, int[n] each; at least one.
    """
    table = np.stack([np.asarray(one, np.int64) for one in counts.values()], axis=1)
    row, kind = np.nonzero(table)
    what = pa.array(list(counts), pa.string()).take(pa.array(kind))
    return pa.RecordBatch.from_arrays([pa.array(row, pa.int64()), what, pa.array(table[row, kind])], schema=GIVEN)
