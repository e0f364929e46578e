"""`repetition`: what a document says more than once, and Gopher's rules on it as expressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from corpuskit.core import step
from corpuskit.steps.counts import Counts, counted_together

TOP, DUPLICATE = (2, 3, 4), (5, 6, 7, 8, 9, 10)

COLUMNS: Mapping[str, str] = dict.fromkeys(
    [
        "duplicate_line_share",
        "duplicate_line_char_share",
        "duplicate_paragraph_share",
        "duplicate_paragraph_char_share",
        *(f"top_{n}gram_char_share" for n in TOP),
        *(f"duplicate_{n}gram_char_share" for n in DUPLICATE),
        "unique_word_share",
        "word_entropy",
    ],
    "float64",
)
"""Columns of `repetition`, with their Arrow types."""


@counted_together(COLUMNS, ("numba",))
def repetition(counts: Counts) -> dict[str, pa.Array]:
    r"""What a document repeats within itself (Gopher: Rae et al. 2021, appendix A1.1; RedPajama-V2).

    Words are runs of characters that are not white space, as `str.split` gives them. Lines stand between line feeds;
    blank ones do not count. Paragraphs stand between two line feeds or more. Where Gopher's paper leaves it open, the
    columns are what datatrove's GopherRepetitionFilter computes, given these words.

    Columns, each float64, null for a null text and where there is nothing to take a share of:
        duplicate_line_share, duplicate_paragraph_share: lines (paragraphs) that stand further up already, per line
            (paragraph).
        duplicate_line_char_share, duplicate_paragraph_char_share: their characters per character of the text.
        top_2gram_char_share, top_3gram_char_share, top_4gram_char_share: characters of the most frequent n-gram of
            words, one blank between two, times its occurrences, per character; of several the first counts. 0 for a
            text of fewer words. RedPajama-V2's `rps_doc_frac_chars_top_2gram` and so on.
        duplicate_5gram_char_share to duplicate_10gram_char_share: characters of words in n-grams that stand further up
            already, each word at most once, per character. RedPajama-V2's `rps_doc_frac_chars_dupe_5grams` and so on.
        unique_word_share: different words per word; near `rps_doc_frac_unique_words`, which is of lower-case words
            without punctuation.
        word_entropy: entropy of the words' frequencies in nats; near `rps_doc_unigram_entropy`.
    """
    return {
        "duplicate_line_share": counts.share("duplicate_lines", "text_lines"),
        "duplicate_line_char_share": counts.share("duplicate_line_chars", "chars"),
        "duplicate_paragraph_share": counts.share("duplicate_paragraphs", "paragraphs"),
        "duplicate_paragraph_char_share": counts.share("duplicate_paragraph_chars", "chars"),
        **{f"top_{n}gram_char_share": counts.share(f"top_{n}gram_chars", "chars") for n in TOP},
        **{f"duplicate_{n}gram_char_share": counts.share(f"duplicate_{n}gram_chars", "chars") for n in DUPLICATE},
        "unique_word_share": counts.share("unique_words", "runs"),
        "word_entropy": pa.array(counts.entropy, pa.float64(), mask=counts.missing | (counts.counts["runs"] == 0)),
    }


@step.preset
def gopher_repetition(
    *,
    max_duplicate_line_share: float = 0.3,
    max_duplicate_paragraph_share: float = 0.3,
    max_duplicate_line_char_share: float = 0.2,
    max_duplicate_paragraph_char_share: float = 0.2,
    max_top_2gram_char_share: float = 0.2,
    max_top_3gram_char_share: float = 0.18,
    max_top_4gram_char_share: float = 0.16,
    max_duplicate_5gram_char_share: float = 0.15,
    max_duplicate_6gram_char_share: float = 0.14,
    max_duplicate_7gram_char_share: float = 0.13,
    max_duplicate_8gram_char_share: float = 0.12,
    max_duplicate_9gram_char_share: float = 0.11,
    max_duplicate_10gram_char_share: float = 0.1,
) -> list[dict[str, Any]]:
    """Gopher's rules on repetition (Rae et al. 2021, table A1) as expressions over the columns of `repetition`.

    The rules stand in the order of datatrove's GopherRepetitionFilter, so that a document is dropped by the same one.
    To change a rule beyond its threshold, put this list into the recipe and edit it.
    """
    most = {
        "duplicate_paragraph_share": max_duplicate_paragraph_share,
        "duplicate_paragraph_char_share": max_duplicate_paragraph_char_share,
        "duplicate_line_share": max_duplicate_line_share,
        "duplicate_line_char_share": max_duplicate_line_char_share,
        "top_2gram_char_share": max_top_2gram_char_share,
        "top_3gram_char_share": max_top_3gram_char_share,
        "top_4gram_char_share": max_top_4gram_char_share,
        "duplicate_5gram_char_share": max_duplicate_5gram_char_share,
        "duplicate_6gram_char_share": max_duplicate_6gram_char_share,
        "duplicate_7gram_char_share": max_duplicate_7gram_char_share,
        "duplicate_8gram_char_share": max_duplicate_8gram_char_share,
        "duplicate_9gram_char_share": max_duplicate_9gram_char_share,
        "duplicate_10gram_char_share": max_duplicate_10gram_char_share,
    }
    rules = [{"where": f"{column} <= {limit}", "name": f"gopher_{column}"} for column, limit in most.items()]
    return [{"repetition": {}}, *rules]
