"""The heuristics mean what their Python twin says, and the Gopher preset decides as datatrove's filter does."""

import json
import math
import random
import types

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.core.sql import columns_of
from corpuskit.steps.heuristics import COLUMNS, gopher_quality, heuristics
from corpuskit.steps.where import where

STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}


def twin(text):
    """The definition of every column, in plain Python."""
    if text is None:
        return dict.fromkeys(COLUMNS)
    runs = text.split()
    words = [run for run in runs if any(c.isalnum() for c in run)]
    lines = text.split("\n")
    lines = lines if lines[-1] else lines[:-1]

    def share(part, whole):
        return part / whole if whole else None

    return {
        "chars": len(text),
        "words": len(words),
        "symbol_words": len(runs) - len(words),
        "lines": len(lines),
        "mean_word_length": share(sum(map(len, words)), len(words)),
        "hash_word_ratio": share(text.count("#"), len(runs)),
        "ellipsis_word_ratio": share(text.count("...") + text.count("…"), len(runs)),
        "alpha_word_share": share(sum(any(c.isalpha() for c in run) for run in runs), len(runs)),
        "bullet_line_share": share(sum(line.lstrip().startswith(("-", "•")) for line in lines), len(lines)),
        "ellipsis_line_share": share(sum(line.rstrip().endswith(("...", "…")) for line in lines), len(lines)),
        "stop_words": len(STOP_WORDS & set(runs)),
    }


def measured(texts):
    columns = heuristics(pa.record_batch({"text": pa.array(texts, pa.string())}))
    assert {name: str(column.type).replace("double", "float64") for name, column in columns.items()} == dict(COLUMNS)
    return pa.table(columns).to_pylist()


PIECES = ["the", "be", "with", "The", "thee", "#", ".", "..", "...", "…", "•", "-", "\n", "\r\n", " ", "\t", "\x1c"]
PIECES += [
    "\x85",
    "\xa0",
    "\u2003",
    "\u3000",
    "é",
    "日本",
    "\U0001d4b3",
    "²",
    "½",
    "\u0661",
    "x1",
    "\0",
    "==",
    "\u0301",
    "ʰ",
]
PIECES += ["‥", "•-", "\u200b"]


@settings(max_examples=400)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.none(), max_size=4))
def test_columns_are_what_the_twin_says_on_hostile_pieces(texts):
    assert measured(texts) == [twin(text) for text in texts]


@settings(max_examples=150)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cn"])), min_size=1, max_size=3))
def test_columns_are_what_the_twin_says_on_any_unicode(texts):
    assert measured(texts) == [twin(text) for text in texts]


def test_nothing_depends_on_where_a_step_of_the_kernel_ends():
    tail = "x = É9 … ### ... -- ½ \u2028•\u3000日\n- … the\xa0* of\x85\n..."
    texts = [word * size + tail for size in range(130) for word in ("a", "=", "9", "½")]
    assert measured(texts) == [twin(text) for text in texts]


def test_a_share_of_nothing_is_null_and_not_a_number_that_passes_or_fails():
    (blank,) = measured([" \t"])
    assert blank["words"] == 0
    assert blank["mean_word_length"] is None
    assert blank["lines"] == 1
    assert measured([""])[0]["bullet_line_share"] is None


def test_the_preset_is_a_list_that_a_person_can_put_into_the_recipe():
    steps = gopher_quality(min_words=20)
    assert steps[0] == {"heuristics": {}}
    assert {"where": "words >= 20", "name": "gopher_few_words"} in steps
    names = [entry["name"] for entry in steps[1:]]
    assert len(set(names)) == len(names) == 10
    assert set().union(*(columns_of(entry["where"]) for entry in steps[1:])) <= set(COLUMNS)
    assert all(not isinstance(value, float) or math.isfinite(value) for entry in steps for value in entry.values())


def first_rule(texts):
    """The first rule of the preset that drops each text, None where all keep it."""
    batch = pa.record_batch({"text": texts})
    first = [None] * len(texts)
    for entry in gopher_quality():
        if "heuristics" in entry:
            for name, column in heuristics(batch).items():
                batch = batch.append_column(name, column)
            continue
        for row, kept in enumerate(where(batch, expr=entry["where"])[0].to_pylist()):
            first[row] = first[row] or (None if kept else entry["name"])
    return first


REASONS = {
    "gopher_few_words": "gopher_short_doc",
    "gopher_many_words": "gopher_long_doc",
    "gopher_short_words": "gopher_below_avg_threshold",
    "gopher_long_words": "gopher_above_avg_threshold",
    "gopher_hashes": "gopher_too_many_hashes",
    "gopher_ellipses": "gopher_too_many_ellipsis",
    "gopher_bullet_lines": "gopher_too_many_bullets",
    "gopher_ellipsis_lines": "gopher_too_many_end_ellipsis",
    "gopher_letters": "gopher_below_alpha_threshold",
    "gopher_stop_words": "gopher_enough_stop_words",
}


def datatrove_rule():
    """datatrove's own rule, with its words split at white space: the tokenizer is not what is compared."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import GopherQualityFilter

    rule = GopherQualityFilter.filter
    names = {**rule.__globals__, "split_into_words": lambda text, _language: text.split()}
    same_rule = types.FunctionType(rule.__code__, names, "filter")
    instance = GopherQualityFilter()

    def decide(text):
        result = same_rule(instance, Document(text=text, id=""))
        return None if result is True else result[1]

    return decide


def read(path, field, most=6_000_000):
    texts, size = [], 0
    with zstandard.open(path, "rt", encoding="utf-8") as stream:
        for line in stream:
            text = json.loads(line)[field]
            if text:
                texts.append(text)
                size += len(text)
            if size > most:
                break
    return texts


def made(count=600):
    """Texts on both sides of every rule's border: some words, some of what each rule counts."""
    rng = random.Random(2)
    found = []
    for _ in range(count):
        rare = rng.sample(["#", "12345", "a", "extraordinarilylong", "und", "x..."], rng.randint(0, 4))
        pieces = ["the", "of", "and", "river", "bridge", "engine", "mountainside", *rare]
        weights = [rng.random() ** 3 for _ in pieces]
        lines = []
        for _ in range(rng.randint(1, 12)):
            line = " ".join(rng.choices(pieces, weights, k=rng.choice([2, 8, 30])))
            lines.append(rng.choice(["", "", "- ", "• "]) + line + rng.choice(["", ".", "...", "…"]))
        found.append("\n".join(lines))
    return found


@pytest.mark.parametrize("name", ["made", "c4", "stackexchange", "wikipedia", "github"])
def test_gopher_quality_decides_as_datatroves_filter_given_the_same_words(request, name):
    if name == "made":
        texts = made()
        assert len(set(first_rule(texts))) >= 8  # rules that drop some, and None
    elif name == "github":
        texts = read(next((request.getfixturevalue("shared") / "github").glob("*files.jsonl.zst")), "content")
    else:
        texts = read(request.getfixturevalue("shared") / "ground_truth" / f"texts_{name}.jsonl.zst", "text")
    decide = datatrove_rule()
    ours, theirs = first_rule(texts), [decide(text) for text in texts]
    differ = [
        (row, a, b) for row, (a, b) in enumerate(zip(ours, theirs, strict=True)) if (REASONS[a] if a else None) != b
    ]
    assert len(texts) > 300
    assert len(differ) <= 0.01 * len(texts), differ[:10]
