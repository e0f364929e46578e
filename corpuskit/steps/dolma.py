"""Dolma's rules for web pages: the edit that cuts lines without a mark at their end, and Gopher's rules in its form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from corpuskit.core import step
from corpuskit.core.batch import Batch, set_column
from corpuskit.core.findings import counted
from corpuskit.steps.counts import Counts, counted_together

TOP = (2, 3, 4)
RECURRING = (5, 6, 7, 8, 9, 10)
"""Lengths of n-grams, as in `corpuskit.kernels.repetition`, whose module loads numba."""

COLUMNS: Mapping[str, str] = {
    "median_word_length": "float64",
    "symbol_word_share": "float64",
    "stop_word_count": "int64",
    "marked_line_share": "float64",
    "ellipsis_end_share": "float64",
    "recurring_line_share": "float64",
    "recurring_line_char_ratio": "float64",
    **{f"top_{n}gram_letter_share": "float64" for n in TOP},
    **{f"recurring_{n}gram_share": "float64" for n in RECURRING},
}
"""Columns of `dolma_heuristics`, with their Arrow types."""


@counted_together(COLUMNS, ("numba",))
def dolma_heuristics(counts: Counts) -> dict[str, pa.Array]:
    r"""Gopher's statistics as Dolma's tagger `gopher_v1` takes them (Soldaini et al. 2024, arXiv:2402.00159).

    They differ from `heuristics` and `repetition` in what they divide by and in what counts as repeated. Words are runs
    of characters that are not white space, with punctuation; lines are what `text.split("\n")` gives, blank ones too.

    Columns, null for a null text and, but for the counts and shares of lines, without words:
        median_word_length: characters (float64).
        symbol_word_share: words with `#` or U+2026 in them, per word (float64).
        stop_word_count: how many words are one of Gopher's eight, in lower case (int64); `stop_words` of `heuristics`
            counts each of the eight once.
        marked_line_share, ellipsis_end_share: lines whose first character is `*` or `-`, whose last is U+2026, per line
            (float64).
        recurring_line_share: lines that occur more than once, the first among them, per line (float64).
        recurring_line_char_ratio: their characters per character that is in a word (float64; null without words).
        top_2gram_letter_share to top_4gram_letter_share: characters of the words of the most frequent n-gram times its
            occurrences, per character in a word (float64; 0 for a text of fewer words).
        recurring_5gram_share to recurring_10gram_share: characters of the words of all n-grams that occur more than
            once, per character of the words of all n-grams (float64; 0 for a text of fewer words).
    """
    # The kernel's module is imported here because it loads numba, which `check` does not need.
    from corpuskit.kernels import dolma as kernel

    found = dict(zip(kernel.COUNTS, kernel.count(*counts.texts).T, strict=True))
    wordless = counts.missing | (found["words"] == 0)

    def ratio(part: Any, whole: Any, mask: Any = wordless) -> pa.Array:
        return pa.array(part / np.maximum(whole, 1), pa.float64(), mask=mask)

    def top(n: int) -> pa.Array:
        blanks = (n - 1) * counts.counts[f"top_{n}gram_times"]
        return ratio(counts.counts[f"top_{n}gram_chars"] - blanks, found["word_chars"])

    def recurring(n: int) -> pa.Array:
        return ratio(counts.counts[f"recurring_{n}gram_chars"], counts.counts[f"{n}gram_chars"])

    return {
        "median_word_length": ratio(found["median_word_length_twice"] / 2, 1),
        "symbol_word_share": ratio(found["symbol_words"], found["words"]),
        "stop_word_count": pa.array(found["stop_words"], pa.int64(), mask=counts.missing),
        "marked_line_share": ratio(found["bullet_lines"], found["lines"], counts.missing),
        "ellipsis_end_share": ratio(found["ellipsis_lines"], found["lines"], counts.missing),
        "recurring_line_share": ratio(found["recurring_lines"], found["lines"], counts.missing),
        "recurring_line_char_ratio": ratio(found["recurring_line_chars"], found["word_chars"]),
        **{f"top_{n}gram_letter_share": top(n) for n in TOP},
        **{f"recurring_{n}gram_share": recurring(n) for n in RECURRING},
    }


@step.edit(libraries=("numba",))
def dolma_lines(batch: Batch) -> tuple[Batch, pa.RecordBatch]:
    r"""Cut the lines that do not end, white space apart, in `.`, `?`, `!` or `"`: the one rule that Dolma has of C4's.

    It is the `lines_with_no_ending_punctuation` of Dolma's tagger `c4_v1` (Soldaini et al. 2024, "C4 NoPunc"); blank
    lines go as well, white space around a line stays. A document of which nothing is left is `empty`.

    Counted in `stats` and, by document, in `findings/` are the lines (`no_end_mark`).
    """
    from corpuskit.kernels.dolma import cut_unmarked_lines

    text, cuts = cut_unmarked_lines(batch.column("text"))
    return set_column(batch, "text", text), counted({"no_end_mark": cuts})


@step.preset
def dolma(
    *,
    min_words: int = 50,
    max_words: int = 100_000,
    min_median_word_length: float = 3,
    max_median_word_length: float = 10,
    max_symbol_word_share: float = 0.1,
    min_alpha_word_share: float = 0.8,
    min_stop_words: int = 2,
    max_bullet_line_share: float = 0.9,
    max_ellipsis_line_share: float = 0.3,
    max_recurring_line_share: float = 0.3,
    max_recurring_line_char_ratio: float = 0.3,
    max_top_gram_shares: tuple[float, float, float] = (0.2, 0.18, 0.16),
    max_recurring_gram_shares: tuple[float, float, float, float, float, float] = (0.15, 0.14, 0.13, 0.12, 0.11, 0.1),
) -> list[dict[str, Any]]:
    """Dolma's rules of quality for web pages: `dolma_lines`, then Gopher's (Soldaini et al. 2024; `gopher_v1`).

    Thresholds and order are those of `configs/dolma-v1_6/mixing/cc-head.yaml` of the Dolma toolkit. Left out: CCNet
    before (`ccnet`), documents of a hundred tokens in repetition, hate speech and adult content (classifiers: `quality`
    with the user's model), personal data (`pii`), and duplicates. To change a rule beyond its threshold, put this list
    into the recipe and edit it.

    Args:
        max_top_gram_shares: of n-grams of 2, 3 and 4 words. max_recurring_gram_shares: of 5 to 10.
    """
    rules = {
        "dolma_few_words": f"words + symbol_words >= {min_words}",
        "dolma_many_words": f"words + symbol_words <= {max_words}",
        "dolma_short_words": f"median_word_length >= {min_median_word_length}",
        "dolma_long_words": f"median_word_length <= {max_median_word_length}",
        "dolma_symbols": f"symbol_word_share <= {max_symbol_word_share}",
        "dolma_letters": f"alpha_word_share >= {min_alpha_word_share}",
        "dolma_stop_words": f"stop_word_count >= {min_stop_words}",
        "dolma_bullet_lines": f"marked_line_share <= {max_bullet_line_share}",
        "dolma_ellipsis_lines": f"ellipsis_end_share <= {max_ellipsis_line_share}",
        "dolma_recurring_lines": f"recurring_line_share <= {max_recurring_line_share}",
        "dolma_recurring_line_chars": f"recurring_line_char_ratio <= {max_recurring_line_char_ratio}",
    }
    for n, limit in zip(TOP, max_top_gram_shares, strict=True):
        rules[f"dolma_top_{n}gram"] = f"top_{n}gram_letter_share <= {limit}"
    for n, limit in zip(RECURRING, max_recurring_gram_shares, strict=True):
        rules[f"dolma_recurring_{n}gram"] = f"recurring_{n}gram_share <= {limit}"
    return [
        {"dolma_lines": {}},
        {"heuristics": {}},
        {"dolma_heuristics": {}},
        *({"where": expression, "name": name} for name, expression in rules.items()),
    ]
