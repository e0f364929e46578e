"""`page_heuristics`: how a web page's lines end, what it is of and what gives it away; rules on it as expressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from corpuskit.core import step
from corpuskit.steps.counts import Counts, counted_together

_COUNTS = ("text_lines", "sentences", "curly_braces", "policy_phrases", "javascript", "lorem_ipsum")
_SHARES = (
    "terminal_line_share",
    "short_line_share",
    "repeated_line_char_share",
    "line_feed_word_ratio",
    "digit_share",
    "capital_share",
    "space_share",
    "capital_word_share",
)

COLUMNS: Mapping[str, str] = {**dict.fromkeys(_COUNTS, "int64"), **dict.fromkeys(_SHARES, "float64")}
"""Columns of `page_heuristics`, with their Arrow types."""


@counted_together(COLUMNS, ("numba",))
def page_heuristics(counts: Counts) -> dict[str, pa.Array]:
    r"""What C4, FineWeb and RedPajama-V2 judge web pages by, beside `heuristics` and `repetition`.

    Sources: C4 (Raffel et al. 2020, section 2.2, and the code of its release), FineWeb (Penedo et al. 2024, section
    3.6), RedPajama-V2 (Weber et al. 2024, appendix). Words are runs of characters that are not white space, lines
    stand between line feeds and are not blank. Letters and digits are Unicode's, as Python has them.

    Counts (int64, null for a null text):
        text_lines: lines that are not blank.
        sentences: words that end a sentence: that end, quotation marks and brackets apart, in a mark of Unicode's
            Sentence_Terminal, or are the last of a line. Abbreviations count, and a line that wraps counts as one more.
            C4 and `rps_doc_num_sentences` split sentences in other ways.
        curly_braces: `{` and `}`; `rps_doc_curly_bracket` is their share of the characters.
        policy_phrases: `terms of use`, `privacy policy`, `cookie policy`, `uses cookies`, `use of cookies`,
            `use cookies`, in any case of letters (C4).
        javascript, lorem_ipsum: these words, in any case of letters (C4; `rps_lines_javascript_counts`,
            `rps_doc_lorem_ipsum`).

    Shares and ratios (float64, null for a null text and where there is nothing to take a share of):
        terminal_line_share: lines whose last character, white space among them, ends sentences (FineWeb); near
            `rps_lines_ending_with_terminal_punctution_mark`.
        short_line_share: lines of at most 30 characters (FineWeb).
        repeated_line_char_share: characters of lines that stand further up already, per character that is no line feed
            (FineWeb; `duplicate_line_char_share` of `repetition` is per any character).
        line_feed_word_ratio: line feeds per word (FineWeb).
        digit_share, capital_share, space_share: per character (`rps_lines_numerical_chars_fraction` and
            `rps_lines_uppercase_letter_fraction` are by line).
        capital_word_share: words that have letters, all of them capitals, per word (`rps_doc_frac_all_caps_words`).
    """
    counts.counts["other_chars"] = counts.counts["chars"] - counts.counts["line_feeds"]
    return {
        **{name: counts.whole(name) for name in _COUNTS},
        "terminal_line_share": counts.share("terminal_lines", "text_lines"),
        "short_line_share": counts.share("short_lines", "text_lines"),
        "repeated_line_char_share": counts.share("duplicate_line_chars", "other_chars"),
        "line_feed_word_ratio": counts.share("line_feeds", "runs"),
        "digit_share": counts.share("digits", "chars"),
        "capital_share": counts.share("capitals", "chars"),
        "space_share": counts.share("spaces", "chars"),
        "capital_word_share": counts.share("capital_words", "runs"),
    }


@step.preset
def fineweb(
    *,
    min_terminal_line_share: float = 0.12,
    max_short_line_share: float = 0.67,
    max_repeated_line_char_share: float = 0.01,
    max_line_feed_word_ratio: float = 0.3,
) -> list[dict[str, Any]]:
    """FineWeb's own rules (Penedo et al. 2024, section 3.6) as expressions over the columns of `page_heuristics`.

    Thresholds and order are those of datatrove's FineWebQualityFilter, so that a document is dropped by the same rule.
    FineWeb itself has `gopher_quality`, `gopher_repetition` and C4's rules but for the one on the ends of lines before.
    To change a rule beyond its threshold, put this list into the recipe and edit it.
    """
    rules = {
        "fineweb_terminal_lines": f"terminal_line_share >= {min_terminal_line_share}",
        "fineweb_short_lines": f"short_line_share <= {max_short_line_share}",
        "fineweb_repeated_lines": f"repeated_line_char_share <= {max_repeated_line_char_share}",
        "fineweb_line_feeds": f"line_feed_word_ratio <= {max_line_feed_word_ratio}",
    }
    return [{"page_heuristics": {}}, *({"where": expression, "name": name} for name, expression in rules.items())]
