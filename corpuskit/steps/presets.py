"""Presets made of others: the rules by which whole corpora were filtered, in their order."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic

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


@step.preset
def slimpajama(*, min_clean_chars: int = 200) -> list[dict[str, Any]]:
    """SlimPajama's one rule on quality: 200 characters of more than form (Soboleva et al. 2023).

    SlimPajama has `normalize: {unicode: NFC}` before and `minhash: {preset: slimpajama}` behind.
    """
    return [{"clean_chars": {}}, {"where": f"clean_chars >= {min_clean_chars}", "name": "slimpajama_short"}]


@step.preset
def ccnet(
    *,
    by: str = "ppl",
    keep: Annotated[list[Literal["head", "middle", "tail"]], pydantic.Field(min_length=1)] = ["head"],  # noqa: B006
    head: float = 1 / 3,
    middle: float = 2 / 3,
) -> list[dict[str, Any]]:
    """CCNet's buckets (Wenzek et al. 2019, arXiv:1911.00359, section 3.3): head, middle and tail by perplexity.

    They are thirds of the documents that reach the preset, as measured; CCNet's code has other borders, percentiles 30
    and 60 of a table made beforehand. Behind `perplexity: {model: {train_on: wikipedia, order: 5}, as: ppl}`; `only:`
    gives each language a measure of its own.

    Args:
        by: the column with the perplexity. keep: the buckets that stay.
        head, middle: the share of documents up to which a bucket goes, the best first.
    """
    bucket = f"CASE WHEN ppl_quantile <= {head} THEN 'head' WHEN ppl_quantile <= {middle} THEN 'middle'"
    bucket += " WHEN ppl_quantile IS NOT NULL THEN 'tail' END"
    chosen = ", ".join(f"'{name}'" for name in keep)
    return [
        {"quantile": {"by": by, "as": "ppl_quantile"}},
        {"where": f"{bucket} IN ({chosen})", "name": "ccnet_bucket"},
    ]
