"""Presets made of others: the rules by which whole corpora were filtered, in their order."""

from __future__ import annotations

from typing import Any

from corpuskit.core import step


@step.preset
def redpajama_v2(
    *,
    min_words: int = 50,
    max_words: int = 10_000,
    min_mean_word_length: float = 3,
    max_mean_word_length: float = 10,
    max_symbol_word_ratio: float = 0.1,
    max_bullet_line_share: float = 0.9,
    max_top_2gram_char_share: float = 0.2,
) -> list[dict[str, Any]]:
    """The rules of thumb that RedPajama-V2 publishes with its signals (Weber et al. 2024; `gopher_rules_pass`).

    They are an example of its card, and a few of Gopher's: RedPajama-V2 itself filters nothing. Its words are of lower
    case and without punctuation, ours as `heuristics` counts them. Its symbols are `#` and ellipses together.
    """
    symbols = f"hash_word_ratio + ellipsis_word_ratio <= {max_symbol_word_ratio}"
    rules = {
        "redpajama_few_words": f"words >= {min_words}",
        "redpajama_many_words": f"words <= {max_words}",
        "redpajama_short_words": f"mean_word_length >= {min_mean_word_length}",
        "redpajama_long_words": f"mean_word_length <= {max_mean_word_length}",
        "redpajama_symbols": symbols,
        "redpajama_bullet_lines": f"bullet_line_share <= {max_bullet_line_share}",
        "redpajama_top_2gram": f"top_2gram_char_share <= {max_top_2gram_char_share}",
    }
    return [
        {"heuristics": {}},
        {"repetition": {}},
        *({"where": expression, "name": name} for name, expression in rules.items()),
    ]


@step.preset
def dclm(*, max_cut_share: float = 0.05) -> list[dict[str, Any]]:
    """DCLM's heuristics, which are RefinedWeb's (Li et al. 2024, section 4.2, and `dclm_baseline_refinedweb.yaml`).

    `gopher_quality`, `gopher_repetition` and `refinedweb` at the published thresholds. Before them DCLM has lists of
    URLs and `language` (English, 0.65), behind them removal of duplicates and a fastText classifier (`quality`, with
    the user's model) of which the best tenth stays. To change a rule, put this list into the recipe and edit it.
    """
    return [{"gopher_quality": {}}, {"gopher_repetition": {}}, {"refinedweb": {"max_cut_share": max_cut_share}}]
