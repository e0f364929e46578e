"""RefinedWeb's rules on lines: a column that says how much they would cut, the edit that cuts it, both as a preset."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from corpuskit.core import step
from corpuskit.core.batch import Batch, set_column
from corpuskit.core.findings import counted


@step.signal(columns={"refinedweb_cut": "float64"}, libraries=("numba",))
def refinedweb_cut(batch: Batch) -> pa.Array:
    """Share of the words that `refinedweb_lines` would cut (float64; null for a null text and without words)."""
    from corpuskit.kernels.refinedweb import cut_lines

    text = batch.column("text")
    _, _, words = cut_lines(text)
    before, after = words.T
    missing = text.is_null().to_numpy(zero_copy_only=False) | (before == 0)
    return pa.array((before - after) / np.maximum(before, 1), pa.float64(), mask=missing)


@step.edit(version=2, libraries=("numba",))
def refinedweb_lines(batch: Batch) -> tuple[Batch, pa.RecordBatch]:
    """Cut the lines that RefinedWeb cuts (Penedo et al. 2023, appendix G.2), by the choices of DCLM's code.

    A line is cut, by the first rule that it breaks, if more than half of its characters are capital letters; if all are
    digits; if it is a counter such as `3 likes` or `1.2k views`; if it has one word or is of white space alone. From
    lines of at most ten words, in any case of letters, `items in cart` goes, `Read more...` at the end and `Sign-in` at
    the beginning, with the white space character beside it; a line of which nothing is left goes as well. Empty lines
    stay, but not at the ends of a text of which something was cut.

    Counted in `stats` and, by document, in `findings/` are lines by their rule (`capitals`, `digits`, `counter`,
    `one_word`), those that lost `phrases`, and texts that are `changed`.
    """
    from corpuskit.kernels.refinedweb import cut_lines

    text, cuts, _ = cut_lines(batch.column("text"))
    return set_column(batch, "text", text), counted(cuts)


@step.preset
def refinedweb(*, max_cut_share: float = 0.05) -> list[dict[str, Any]]:
    """RefinedWeb's rules on lines (Penedo et al. 2023, appendix G.2): pages of which too much would go, and the cuts.

    RefinedWeb has `gopher_quality` and `gopher_repetition` before. To change a rule beyond its threshold, put this list
    into the recipe and edit it.
    """
    return [
        {"refinedweb_cut": {}},
        {"where": f"refinedweb_cut <= {max_cut_share}", "name": "refinedweb_cut_lines"},
        {"refinedweb_lines": {}},
    ]
