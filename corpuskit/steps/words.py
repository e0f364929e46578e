"""`words`: how often words and phrases of a list occur in a document, by its language, a signal."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from corpuskit.core import step
from corpuskit.core.batch import Batch
from corpuskit.core.identity import File, file_digest
from corpuskit.errors import UsageError
from corpuskit.steps.holdout import heads_of
from corpuskit.steps.importance import text_lines

WITHOUT_SPACES = ("bo", "dz", "ja", "km", "lo", "my", "th", "wuu", "yue", "zh")
"""Languages that set no space between words."""

_WORD = re.compile(r"\w+")
Counter = Callable[[pa.Array], npt.NDArray[np.int64]]


def _columns(as_: str, **_: Any) -> dict[str, str]:
    return {as_: "int64"}


@step.signal(columns=_columns, reads=True)
def words(
    batch: Batch,
    *,
    lists: Annotated[dict[str, File], Field(min_length=1)],
    by: str | None = None,
    as_: str = "listed_words",
    substrings: list[str] = list(WITHOUT_SPACES),  # noqa: B006 - never changed
) -> dict[str, pa.Array]:
    r"""How often words and phrases of your lists occur in a document.

    C4's rule (Raffel et al. 2020), with the lists that it used, LDNOOBW: `- words: {lists: {en: LDNOOBW/en}}` and
    `- where: listed_words = 0`. An entry is a line; entries and texts are compared in lower case. An entry counts where
    its words stand one behind the other, whatever is between them (`\w+` runs: `class` is not in `classic`, and
    `semi-final` is also found as `semi final`); one that has none, such as an emoji, wherever it stands.

    Args:
        batch: n documents.
        lists: a file for each language, plain or compressed, an entry a line.
        by: the column with the language, of the reader or of a signal above, such as `language`; a document is compared
            with its language's list. Default: all documents with all lists.
        as_: the column's name (`as` in a recipe).
        substrings: languages whose entries count wherever they stand, since no space says where a word ends.

    Returns:
        One column, int64[n]; null for a null text, and for a language without a list: `coalesce(listed_words, 0) = 0`
        keeps these.

    Raises:
        UsageError: there is no column `by`, or a list holds no entry.
        InputError: a line of a list cannot be read.
    """
    text = batch.column("text")
    known = ~text.is_null().to_numpy(zero_copy_only=False)
    counts = np.zeros(batch.num_rows, np.int64)
    if by is None:
        for language, file in lists.items():
            counts += _counter(file, file_digest(Path(file)), language in substrings)(text)
    else:
        spoken = _languages(batch, by)
        known &= np.isin(spoken, list(lists))
        for language, file in lists.items():
            rows = np.flatnonzero((spoken == language) & known)
            if len(rows):
                counts[rows] = _counter(file, file_digest(Path(file)), language in substrings)(
                    text.take(pa.array(rows))
                )
    return {as_: pa.array(counts, pa.int64(), mask=~known)}


def _languages(batch: Batch, by: str) -> npt.NDArray[Any]:
    if by not in batch.schema.names:
        raise UsageError(f"`words` finds no column `{by}`", f"name one in `by`: {', '.join(batch.schema.names)}")
    return np.array([str(value) for value in batch.column(by).to_pylist()], object)


@functools.lru_cache(maxsize=64)
def _counter(file: str, _digest: str, anywhere: bool) -> Counter:
    """What counts the entries of a file in texts."""
    entries = {line.strip().lower() for _, line in text_lines(Path(file), "`words` reads all of its lists")} - {""}
    if not entries:
        raise UsageError(f"`words` finds no entry in {file}", "name a file with an entry a line")
    whole = set() if anywhere else {entry for entry in entries if _WORD.search(entry)}
    parts = ((whole, _of_words), (entries - whole, _of_substrings))
    counters = [make(some) for some, make in parts if some]
    return lambda text: np.asarray(sum((count(text) for count in counters), np.zeros(len(text), np.int64)))


def _of_words(entries: set[str]) -> Counter:
    from corpuskit.kernels.containment import find_grams, word_grams

    by_length: dict[int, list[str]] = {}
    for entry in entries:
        by_length.setdefault(len(_WORD.findall(entry)), []).append(entry)
    keys = np.unique(np.concatenate([word_grams(pa.array(some), length)[0] for length, some in by_length.items()]))
    lengths, (heads, shift) = np.array(sorted(by_length), np.int64), heads_of(keys)

    def count(text: pa.Array) -> npt.NDArray[np.int64]:
        found, times = find_grams(text, lengths, keys, heads, shift)
        return np.bincount(found[:, 0], times, len(text)).astype(np.int64)

    return count


def _of_substrings(entries: set[str]) -> Counter:
    find = re.compile("|".join(map(re.escape, sorted(entries, key=lambda entry: (-len(entry), entry))))).findall
    return lambda text: np.array([len(find(one.lower())) if one else 0 for one in text.to_pylist()], np.int64)
