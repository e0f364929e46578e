"""`decontaminate`: documents that hold items of benchmarks, found by runs of words that they share, a filter."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
from pydantic import Field

from corpuskit.core import step
from corpuskit.core.batch import Batch
from corpuskit.core.identity import file_digest
from corpuskit.errors import InputError, UsageError
from corpuskit.steps.holdout import heads_of
from corpuskit.steps.importance import TextFile, Texts, text_lines

LEAST_WORDS = 8
"""An item of fewer words is not looked for, as in GPT-3's rule."""

TELLING = 4
"""An n-gram of fewer distinct words of two characters and more, with a letter, is trivial: 1 2 3, a b c, ha ha ha."""

LONGEST_TEXT = 1000
"""Characters of shared words that findings show of one item in one document."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, eq=False)
class Benchmarks:
    """The n-grams of all items of some benchmarks.

    Attributes:
        names: of the benchmarks. items: (number of its benchmark, number in its file from 0) of each item.
        words: of each text of each item, as they are compared.
        lengths: of n-grams, in words: n, and those of shorter items, int64[k].
        keys, heads, shift: hashes of the n-grams, distinct and sorted, uint64[m]; see `heads_of`.
        trivial: bool[m]. text, place, length: where an n-gram stands first: number of the text, of the word; int64[m].
        owners, borders: items of each n-gram, int64[borders[m]], int64[m + 1].
    """

    names: list[str]
    items: list[tuple[int, int]]
    words: list[list[str]]
    lengths: npt.NDArray[np.int64]
    keys: npt.NDArray[np.uint64]
    heads: npt.NDArray[np.int64]
    shift: int
    trivial: npt.NDArray[np.bool_]
    text: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    owners: npt.NDArray[np.int64]
    borders: npt.NDArray[np.int64]

    def found(self, text: pa.Array) -> npt.NDArray[np.int64]:
        """(row, number of the n-gram), int64[k, 2], sorted and distinct."""
        from corpuskit.kernels.containment import find_grams

        return find_grams(text, self.lengths, self.keys, self.heads, self.shift)[0]

    def owned(self, keys: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Each item of each n-gram: place in `keys`, item, int64[k] both."""
        counts = np.diff(self.borders)[keys]
        place = np.repeat(np.arange(len(keys)), counts)
        within = np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts, counts)
        return place, self.owners[self.borders[keys][place] + within]

    def shown(self, keys: npt.NDArray[np.int64]) -> str:
        """The words of n-grams, those that overlap as one run, runs apart by ` … `."""
        runs: list[list[int]] = []
        for key in keys[np.lexsort((self.place[keys], self.text[keys]))].tolist():
            text, place, end = (
                int(one) for one in (self.text[key], self.place[key], self.place[key] + self.length[key])
            )
            if runs and runs[-1][0] == text and place <= runs[-1][2]:
                runs[-1][2] = max(end, runs[-1][2])
            else:
                runs.append([text, place, end])
        said = " … ".join(" ".join(self.words[text][place:end]) for text, place, end in runs)
        return said if len(said) <= LONGEST_TEXT else said[:LONGEST_TEXT] + " …"


def _loaded(against: list[TextFile], fields: list[str] | None, n: int) -> Benchmarks:
    return _load(tuple((one, file_digest(Path(one))) for one in against), tuple(fields or ()), n)


@functools.lru_cache(maxsize=4)
def _load(against: tuple[tuple[TextFile, str], ...], fields: tuple[str, ...], n: int) -> Benchmarks:
    from corpuskit.kernels.containment import word_grams

    names: list[str] = []
    items: list[tuple[int, int]] = []
    owner: list[int] = []
    texts: list[str] = []
    for file, _ in against:
        names.append(_name(file))
        for number, found in _items(file, fields):
            owner += [len(items)] * len(found)
            items.append((len(names) - 1, number))
            texts += found
    words = [_WORD.findall(text.lower()) for text in texts]
    sizes = np.array([len(one) for one in words], np.int64)
    owners = np.array(owner, np.int64)
    long_item = np.zeros(len(items), bool)
    long_item[owners[sizes >= n]] = True
    parts = []
    for length in sorted({n, *sizes[(sizes >= LEAST_WORDS) & (sizes < n) & ~long_item[owners]].tolist()}):
        used = np.flatnonzero(sizes >= n if length == n else (sizes == length) & ~long_item[owners])
        hashes, ends = word_grams(pa.array([texts[number] for number in used], pa.large_string()), length)
        counts = np.diff(ends)
        place = np.arange(len(hashes)) - np.repeat(ends[:-1], counts)
        parts.append((hashes, np.repeat(used, counts), place, np.full(len(hashes), length)))
    hashes, text, place, length = (np.concatenate(column) for column in zip(*parts, strict=True))
    if not len(hashes):
        said = ", ".join(names)
        raise UsageError(f"no item of {said} has {LEAST_WORDS} words", "name benchmarks with longer items, or `fields`")
    order = np.lexsort((place, text, hashes))
    keys, first = np.unique(hashes[order], return_index=True)
    pairs = np.unique(np.stack([np.searchsorted(keys, hashes), owners[text]], axis=1), axis=0)
    borders = np.searchsorted(pairs[:, 0], np.arange(len(keys) + 1))
    text, place, length = (column[order][first] for column in (text, place, length))
    trivial = [
        _trivial(words[a][b : b + c]) for a, b, c in zip(text.tolist(), place.tolist(), length.tolist(), strict=True)
    ]
    return Benchmarks(
        names, items, words, np.unique(length), keys, *heads_of(keys), np.array(trivial), text, place, length,
        pairs[:, 1], borders,
    )  # fmt: skip


def _trivial(words: list[str]) -> bool:
    """Whether too few distinct words have more than one character, one of them no digit."""
    return sum(len(word) > 1 and word.strip("_0123456789") != "" for word in set(words)) < TELLING


def _name(file: str) -> str:
    """The name of a file without the endings that say how it is written."""
    name = Path(file).name
    return re.sub(r"(?:\.(?:jsonl?|ndjson|txt|gz|zst|bz2|xz))+$", "", name, flags=re.IGNORECASE) or name


def _items(file: TextFile, fields: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """The items of a file by their numbers from 0, each with its texts.

    Raises:
        InputError: a line is no JSON object, or has none of the fields.
    """
    path, because = Path(file), "`decontaminate` looks for all of its items"
    number = -1
    for line, text in text_lines(path, because):
        if not text.strip():
            continue
        number += 1
        if not file.is_json:
            yield number, [text]
            continue
        try:
            record = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise InputError(f"{path}: line {line}: no JSON: {error}", f"fix or remove it: {because}") from None
        if not isinstance(record, dict):
            raise InputError(f"{path}: line {line}: no JSON object", f"fix or remove it: {because}")
        if fields and not any(name in record for name in fields):
            has, wanted = (", ".join(f"`{name}`" for name in names) for names in (record, fields))
            raise InputError(
                f"{path}: line {line}: it has {has or 'no field'}, not {wanted}", "name others in `fields`"
            )
        yield number, [one for name in fields or record for one in _texts(record.get(name))]


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in below for text in _texts(one)]


@step.filter
def decontaminate(
    batch: Batch,
    *,
    against: Texts,
    fields: list[str] | None = None,
    n: Annotated[int, Field(ge=LEAST_WORDS, le=50)] = 13,
    ratio: Annotated[float, Field(gt=0, le=1)] | None = None,
    frequent: Annotated[int, Field(ge=1)] | None = 10,
    report: bool = False,
    state: npt.NDArray[np.int64] | None = None,
) -> tuple[pa.Array, pa.Array, pa.RecordBatch]:
    r"""Drop documents that share a run of words with an item of a benchmark (Brown et al. 2020, GPT-3, appendix C).

    Compared are runs of `n` words (n-grams), words being `\w+` runs of the lower-cased text, so that punctuation, white
    space and line breaks do not count. What is found stands in `findings/`: `what` is the benchmark, `item` the number
    of the item in its file from 0, `times` the distinct n-grams of it, `text` their words, overlapping ones together.
    The reason of a dropped document names the item of which it has most. Left aside, and counted as
    "BENCHMARK: trivial" and "BENCHMARK: frequent", are

    - trivial n-grams, with fewer than four distinct words that are neither numbers nor single characters, such as
      `1 2 3 4 ...`, `a b c d ...` and `ha ha ha ...`;
    - n-grams in more than `frequent` documents, of all domains that the step applies to together: phrases and
      quotations that benchmarks have from the same places. Put the step behind `minhash`, or copies of an item make
      it frequent.

    Args:
        batch: n documents.
        against: files of benchmarks, or patterns: JSON Lines, an item a line, or `.txt`, an item a line; plain or
            compressed. A benchmark is named as its file without endings.
        fields: of JSON Lines, which fields are compared; default: all that are text, at any depth, each for itself.
        n: words of an n-gram. An item of which no text has so many is compared by whole texts of at least 8 words;
            shorter ones are not looked for.
        ratio: the share of an item's n-grams, those left aside not counted, that a document must have; default: one
            n-gram is enough.
        frequent: as above; `null`: no n-gram is frequent, and the documents need not be read first.
        report: drop nothing, find all the same.
        state: in how many documents each n-gram is.

    Returns:
        Masks, bool[n], reasons, string[n], and findings.

    Raises:
        InputError: a line of a benchmark cannot be read.
        UsageError: no item has 8 words.
    """
    index = _loaded(against, fields, n)
    common = index.trivial if state is None else index.trivial | (state > (frequent or 0))
    found = index.found(batch.column("text"))
    good = found[~common[found[:, 1]]]
    hits = _hits(index, good, common, ratio)
    reasons: list[str | None] = [None] * batch.num_rows
    most: dict[int, int] = {}
    for row, item, keys in hits:
        if len(keys) > most.get(row, 0):
            most[row] = len(keys)
            reasons[row] = f"{_said(index, item)}: {index.shown(keys)}"
    mask = pa.array([report or row not in most for row in range(batch.num_rows)], pa.bool_())
    aside = [_aside(index, found[index.trivial[found[:, 1]]], "trivial")]
    aside.append(_aside(index, found[(common & ~index.trivial)[found[:, 1]]], "frequent"))
    return mask, pa.array(reasons, pa.string()), _findings(index, hits, [row for rows in aside for row in rows])


Hit = tuple[int, int, npt.NDArray[np.int64]]
"""Row, item, numbers of the item's n-grams that the row has."""


def _hits(
    index: Benchmarks, found: npt.NDArray[np.int64], common: npt.NDArray[np.bool_], ratio: float | None
) -> list[Hit]:
    """Items that documents have, by row and item."""
    place, item = index.owned(found[:, 1])
    row, key = found[place, 0], found[place, 1]
    order = np.lexsort((key, item, row))
    row, item, key = row[order], item[order], key[order]
    starts = np.flatnonzero(np.diff(row, prepend=-1) | np.diff(item, prepend=-1))
    parts = np.split(key, starts)[1:]
    hits = [(int(row[at]), int(item[at]), keys) for at, keys in zip(starts.tolist(), parts, strict=True)]
    if ratio is None:
        return hits
    of_key = np.repeat(np.arange(len(index.keys)), np.diff(index.borders))
    sizes = np.bincount(index.owners[~common[of_key]], minlength=len(index.items))
    return [hit for hit in hits if len(hit[2]) >= ratio * sizes[hit[1]]]


def _said(index: Benchmarks, item: int) -> str:
    benchmark, number = index.items[item]
    return f"{index.names[benchmark]} item {number}"


def _aside(index: Benchmarks, found: npt.NDArray[np.int64], why: str) -> list[tuple[int, str, int]]:
    """(row, what, n-grams), by row."""
    place, item = index.owned(found[:, 1])
    benchmark = np.array([one for one, _ in index.items], np.int64)[item]
    pairs = np.unique(np.stack([found[place, 0], benchmark, found[place, 1]], axis=1), axis=0)[:, :2]
    rows, counts = np.unique(pairs, axis=0, return_counts=True)
    return [
        (row, f"{index.names[one]}: {why}", count)
        for (row, one), count in zip(rows.tolist(), counts.tolist(), strict=True)
    ]


def _findings(index: Benchmarks, hits: list[Hit], aside: list[tuple[int, str, int]]) -> pa.RecordBatch:
    rows: list[tuple[int, str, int, str | None, str | None]] = [
        (row, index.names[index.items[item][0]], len(keys), str(index.items[item][1]), index.shown(keys))
        for row, item, keys in hits
    ]
    rows += [(*one, None, None) for one in aside]
    rows.sort(key=lambda one: one[0])
    types = {"row": pa.int64(), "what": pa.string(), "times": pa.int64(), "item": pa.string(), "text": pa.string()}
    return pa.record_batch(
        {name: pa.array([row[place] for row in rows], kind) for place, (name, kind) in enumerate(types.items())}
    )


@decontaminate.summarize(when=lambda params: params["frequent"] is not None)
def _summarize(batch: Batch, *, against: list[TextFile], fields: list[str] | None, n: int) -> npt.NDArray[np.int64]:
    index = _loaded(against, fields, n)
    return np.bincount(index.found(batch.column("text"))[:, 1], minlength=len(index.keys)).astype(np.int64)


@decontaminate.merge
def _merge(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return one + other
