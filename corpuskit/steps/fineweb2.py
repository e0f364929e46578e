"""FineWeb2's rules: FineWeb's, with thresholds and stop words by language, from a table that the user can edit."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pydantic

from corpuskit.core import step
from corpuskit.core.batch import Batch
from corpuskit.core.identity import File
from corpuskit.errors import UsageError, did_you_mean


class LanguageThresholds(pydantic.BaseModel):
    """What FineWeb2's `configs/LANGUAGE.yml` says of a language, under its names.

    Pairs are of a length in words and a share. `max_non_alpha_words_ratio` is the least share of words with a letter.
    """

    model_config = pydantic.ConfigDict(extra="forbid")

    language_score: float
    dup_line_frac: float
    top_n_grams: list[tuple[int, float]]
    dup_n_grams: list[tuple[int, float]]
    line_punct_thr: float
    new_line_ratio: float
    min_avg_word_length: float
    max_avg_word_length: float
    max_non_alpha_words_ratio: float
    stopwords: list[str]


@step.signal(columns={"language_stop_words": "int64"}, reads=True, libraries=("numba",))
def language_stop_words(
    batch: Batch,
    *,
    lists: Annotated[dict[str, list[str]], pydantic.Field(min_length=1)],
    by: str = "language",
) -> pa.Array:
    """How many of the stop words of its language a document has, each counted once.

    Words are runs of characters that are not white space, compared as they stand, as in datatrove's
    GopherQualityFilter; a language that sets no space between words has few of them.

    Args:
        batch: n documents.
        lists: the stop words of each language.
        by: the column with the language, of the reader or of a signal above, such as `language`.

    Returns:
        int64[n]; null for a null text and for a language without a list.

    Raises:
        UsageError: there is no column `by`.
    """
    from corpuskit.kernels.stop_words import count_listed

    if by not in batch.schema.names:
        names = ", ".join(batch.schema.names)
        raise UsageError(f"`language_stop_words` finds no column `{by}`", f"name one in `by`: {names}")
    keys, ends = _keys(tuple((language, tuple(words)) for language, words in sorted(lists.items())))
    places = {language: place for place, language in enumerate(sorted(lists))}
    which = np.array([places.get(language, -1) for language in batch.column(by).to_pylist()], np.int64)
    text = batch.column("text")
    missing = text.is_null().to_numpy(zero_copy_only=False) | (which < 0)
    counts = count_listed(text, keys, np.where(missing, 0, ends[which]), np.where(missing, 0, ends[which + 1]))
    return pa.array(counts, pa.int64(), mask=missing)


@functools.lru_cache(maxsize=8)
def _keys(lists: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """The hashes of all lists, uint64[m], and where each begins and ends, int64[lists + 1]."""
    from corpuskit.kernels.stop_words import word_keys

    found = [word_keys(list(words)) for _, words in lists]
    return np.concatenate(found), np.cumsum([0, *map(len, found)])


@step.preset
def fineweb2(
    *,
    thresholds: File,
    by: str = "language",
    max_repeated_line_char_share: float = 0.1,
    min_words: int = 50,
    max_words: int = 100_000,
    max_symbol_word_ratio: float = 0.1,
    max_bullet_line_share: float = 0.9,
    max_ellipsis_line_share: float = 0.3,
    min_stop_words: int = 2,
) -> list[dict[str, Any]]:
    """FineWeb2's rules (Penedo et al. 2025, arXiv:2506.20920): FineWeb's with thresholds by language, from your table.

    The table is YAML: under each language, as the column `by` has it, what FineWeb2's `configs/LANGUAGE.yml` says;
    `docs/recipes.md` says how to make one of FineWeb2's own files, and how to measure thresholds for a language that it
    lacks. A document of another language is dropped by the rule `fineweb2_language`.
    The rules stand in the order of FineWeb2's pipeline, behind its least language score, with its thresholds for all
    languages as defaults: short lines, paragraphs and characters of duplicate lines are not looked at. To change a rule
    beyond its threshold, put this list into the recipe and edit it.

    Args:
        thresholds: the table. by: the column with the language; that of `language` has its score beside it.

    Raises:
        UsageError: the table cannot be read or lacks a threshold.
    """
    table = read_thresholds(Path(thresholds))

    def each(value: Callable[[LanguageThresholds], float]) -> str:
        """A threshold by language, in SQL."""
        values = {language: value(one) for language, one in table.items()}
        if len(set(values.values())) == 1:
            return f"{next(iter(values.values()))}"
        return f"CASE {by} " + " ".join(f"WHEN {_quoted(key)} THEN {one}" for key, one in values.items()) + " END"

    def of_length(pairs: str, n: int) -> str:
        return each(lambda one: dict(getattr(one, pairs))[n])

    rules = {
        "fineweb2_language": f"{by} IN ({', '.join(map(_quoted, table))})",
        "fineweb2_language_score": f"language_score >= {each(lambda one: one.language_score)}",
        "fineweb2_duplicate_lines": f"duplicate_line_share <= {each(lambda one: one.dup_line_frac)}",
        **{f"fineweb2_top_{n}gram": f"top_{n}gram_char_share <= {of_length('top_n_grams', n)}" for n in TOP},
        **{
            f"fineweb2_duplicate_{n}gram": f"duplicate_{n}gram_char_share <= {of_length('dup_n_grams', n)}"
            for n in DUPLICATE
        },
        "fineweb2_terminal_lines": f"terminal_line_share >= {each(lambda one: one.line_punct_thr)}",
        "fineweb2_repeated_lines": f"repeated_line_char_share <= {max_repeated_line_char_share}",
        "fineweb2_line_feeds": f"line_feed_word_ratio <= {each(lambda one: one.new_line_ratio)}",
        "fineweb2_few_words": f"words >= {min_words}",
        "fineweb2_many_words": f"words <= {max_words}",
        "fineweb2_short_words": f"mean_word_length >= {each(lambda one: one.min_avg_word_length)}",
        "fineweb2_long_words": f"mean_word_length <= {each(lambda one: one.max_avg_word_length)}",
        "fineweb2_hashes": f"hash_word_ratio <= {max_symbol_word_ratio}",
        "fineweb2_ellipses": f"ellipsis_word_ratio <= {max_symbol_word_ratio}",
        "fineweb2_bullet_lines": f"bullet_line_share <= {max_bullet_line_share}",
        "fineweb2_ellipsis_lines": f"ellipsis_line_share <= {max_ellipsis_line_share}",
        "fineweb2_letters": f"alpha_word_share >= {each(lambda one: one.max_non_alpha_words_ratio)}",
        "fineweb2_stop_words": f"language_stop_words >= {min_stop_words}",
    }
    lists = {language: one.stopwords for language, one in table.items()}
    return [
        {"repetition": {}},
        {"page_heuristics": {}},
        {"heuristics": {}},
        {"language_stop_words": {"lists": lists, "by": by}},
        *({"where": expression, "name": name} for name, expression in rules.items()),
    ]


TOP, DUPLICATE = (2, 3, 4), (5, 6, 7, 8, 9, 10)
"""Lengths of n-grams that a table has thresholds for."""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def read_thresholds(path: Path) -> Mapping[str, LanguageThresholds]:
    """The thresholds of each language, of a table in YAML.

    Raises:
        UsageError: it cannot be read; or what is wrong with a language, with the nearest name.
    """
    import yaml

    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    if not isinstance(table, dict) or not table:
        raise UsageError(f"{path}: is no table of languages", "under each language, its thresholds")
    return {str(language): _read_language(f"{path}: `{language}`", one) for language, one in table.items()}


def _read_language(where: str, given: Any) -> LanguageThresholds:
    try:
        found = LanguageThresholds.model_validate(given)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        hint = did_you_mean(name, LanguageThresholds.model_fields) if first["type"] == "extra_forbidden" else None
        raise UsageError(f"{where}: `{name}`: {first['msg']}", hint) from None
    for name, lengths in (("top_n_grams", TOP), ("dup_n_grams", DUPLICATE)):
        lacking = sorted(set(lengths) - dict(getattr(found, name)).keys())
        if lacking:
            raise UsageError(f"{where}: `{name}` has no share for {lacking[0]} words", f"lengths: {lengths}")
    return found
