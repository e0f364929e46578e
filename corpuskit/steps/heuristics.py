"""Quality heuristics: one pass over a batch's text gives all columns; presets are expressions over them.

The columns are those of Gopher's quality rules (Rae et al. 2021, https://arxiv.org/abs/2112.11446, appendix A1.1), with
the choices that datatrove's GopherQualityFilter makes where the paper leaves them open.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from corpuskit.core import step
from corpuskit.steps.counts import Counts, counted_together

COLUMNS: Mapping[str, str] = {
    "chars": "int64",
    "words": "int64",
    "symbol_words": "int64",
    "lines": "int64",
    "mean_word_length": "float64",
    "hash_word_ratio": "float64",
    "ellipsis_word_ratio": "float64",
    "alpha_word_share": "float64",
    "bullet_line_share": "float64",
    "ellipsis_line_share": "float64",
    "stop_words": "int64",
}
"""Columns of `heuristics`, with their Arrow types."""


@counted_together(COLUMNS, ("pyarrow",))
def heuristics(counts: Counts) -> dict[str, pa.Array]:
    """Gopher's document statistics (Rae et al. 2021, appendix A1.1), after NFC or whatever edits stand above.

    Columns, each null for a null text:
        chars: Unicode code points (int64).
        words: runs of characters that are not Unicode white space, as `str.split` gives them, with a letter or a number
            among them (int64); near RedPajama-V2's `rps_doc_word_count`, which takes punctuation away first.
        symbol_words: the other runs, such as `=` and `//` (int64). Shares and ratios are over both together.
        lines: what a line feed ends, and a rest after the last one; empty lines count (int64).
        mean_word_length: characters in words / words (float64; null without words).
        hash_word_ratio, ellipsis_word_ratio: `#`, and `...` or U+2026, per run (float64; null without runs);
            RedPajama-V2's `rps_doc_symbol_to_word_ratio`, kept apart as Gopher has it.
        alpha_word_share: share of runs with a letter, Unicode category L (float64; null without runs); one minus
            RedPajama-V2's `rps_doc_frac_no_alph_words`.
        bullet_line_share: share of lines that start, after white space, with `-` or U+2022 (float64; null without
            lines).
        ellipsis_line_share: share of lines that end, before white space, in `...` or U+2026 (float64; null without
            lines).
        stop_words: how many of the, be, to, of, and, that, have, with occur as runs, in lower case (int64, 0 to 8).
    """
    return {
        "chars": counts.whole("chars"),
        "words": counts.whole("words"),
        "symbol_words": pa.array(counts.counts["runs"] - counts.counts["words"], pa.int64(), mask=counts.missing),
        "lines": counts.whole("lines"),
        "mean_word_length": counts.share("word_chars", "words"),
        "hash_word_ratio": counts.share("hashes", "runs"),
        "ellipsis_word_ratio": counts.share("ellipses", "runs"),
        "alpha_word_share": counts.share("alpha_words", "runs"),
        "bullet_line_share": counts.share("bullet_lines", "lines"),
        "ellipsis_line_share": counts.share("ellipsis_lines", "lines"),
        "stop_words": counts.whole("stop_words"),
    }


@step.preset
def gopher_quality(
    *,
    min_words: int = 50,
    max_words: int = 100_000,
    min_mean_word_length: float = 3,
    max_mean_word_length: float = 10,
    max_symbol_word_ratio: float = 0.1,
    max_bullet_line_share: float = 0.9,
    max_ellipsis_line_share: float = 0.3,
    min_alpha_word_share: float = 0.8,
    min_stop_words: int = 2,
) -> list[dict[str, Any]]:
    """Gopher's quality rules (Rae et al. 2021, appendix A1.1) as expressions over the columns of `heuristics`.

    The rules stand in the order of datatrove's GopherQualityFilter, so that a document is dropped by the same one. To
    change a rule beyond its threshold, put this list into the recipe and edit it.
    """
    rules = {
        "gopher_few_words": f"words >= {min_words}",
        "gopher_many_words": f"words <= {max_words}",
        "gopher_short_words": f"mean_word_length >= {min_mean_word_length}",
        "gopher_long_words": f"mean_word_length <= {max_mean_word_length}",
        "gopher_hashes": f"hash_word_ratio <= {max_symbol_word_ratio}",
        "gopher_ellipses": f"ellipsis_word_ratio <= {max_symbol_word_ratio}",
        "gopher_bullet_lines": f"bullet_line_share <= {max_bullet_line_share}",
        "gopher_ellipsis_lines": f"ellipsis_line_share <= {max_ellipsis_line_share}",
        "gopher_letters": f"alpha_word_share >= {min_alpha_word_share}",
        "gopher_stop_words": f"stop_words >= {min_stop_words}",
    }
    return [{"heuristics": {}}, *({"where": expression, "name": name} for name, expression in rules.items())]
