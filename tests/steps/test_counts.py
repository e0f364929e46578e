"""Signals that are counted in one pass are what each is by itself, in a batch and in a run, and are counted once."""

import itertools
import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.core.batch import utf8
from corpuskit.kernels import heuristics as kernel
from corpuskit.steps.heuristics import heuristics
from corpuskit.steps.page_heuristics import page_heuristics
from corpuskit.steps.repetition import repetition
from tests.steps.step_runs import build, kept
from tests.steps.test_repetition import PIECES

SIGNALS = {step.name: step for step in (heuristics, repetition, page_heuristics)}
TEXTS = [
    "The cat sat.\nThe cat sat.\n\nWhat now… said I.",
    "A line\n- a point\n- a point\n",
    "ALL of it, 12 times 3 # x ...",
]


def batch_of(texts):
    return pa.record_batch({"doc": pa.array(range(len(texts)), pa.uint64()), "text": pa.array(texts, pa.string())})


@settings(max_examples=60)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.none(), max_size=4))
def test_columns_do_not_depend_on_what_else_is_counted(texts):
    batch = batch_of(texts)
    alone = {name: step(batch) for name, step in SIGNALS.items()}
    for several in itertools.combinations(SIGNALS, 2):
        assert heuristics.together(batch, several) == {name: alone[name] for name in several}
    assert heuristics.together(batch, list(SIGNALS)) == alone


@pytest.mark.parametrize("word", kernel.STOP_WORDS)
def test_a_stop_word_is_one_by_itself_alone(word):
    texts = [word, f"{word}\0", word[:-1], f"{word}s", f"x{word}", word.title()]
    assert heuristics(batch_of(texts))["stop_words"].to_pylist() == [1, 0, 0, 0, 0, 0]


RECIPE = """\
name: passes
sources:
  web: {{read: jsonl, path: "{raw}"}}
steps:
  - repetition: {{}}
  - where: unique_word_share < 0.99
    name: says_nothing_twice
  - heuristics: {{}}
  - page_heuristics: {{}}
  - where: chars > 20
    name: short
  - page_heuristics: {{}}
{more}"""


@pytest.fixture
def passes(monkeypatch):
    """What was to be counted, and in how many texts, at each call of the kernel."""
    seen = []
    count = kernel.count

    def counting(data, offsets, wanted=kernel.ALL):
        seen.append((wanted, len(offsets) - 1))
        return count(data, offsets, wanted)

    monkeypatch.setattr(kernel, "count", counting)
    return seen


def test_signals_up_to_an_edit_are_counted_in_one_pass(tmp_path, passes):
    raw, recipe = tmp_path / "web.jsonl", tmp_path / "recipe.yaml"
    raw.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    recipe.write_text(RECIPE.format(raw=raw, more="  - normalize: {unicode: NFKC}\n  - heuristics: {}\n"))
    assert build(recipe) == 0
    # the dots of `…` are three characters after the edit, and its texts are counted anew; one text was dropped before
    assert passes == [(kernel.ALL, 3), (kernel.QUALITY, 2)]
    expected = heuristics(batch_of([TEXTS[0].replace("…", "...")]))
    found = {text: chars for text, chars in kept(tmp_path / "root", "chars").items() if "cat" in text}
    assert list(found.values()) == expected["chars"].to_pylist()


def test_another_threshold_counts_nothing_and_other_signals_what_they_need(tmp_path, passes):
    raw, recipe = tmp_path / "web.jsonl", tmp_path / "recipe.yaml"
    raw.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    said = RECIPE.format(raw=raw, more="")
    recipe.write_text(said)
    assert build(recipe) == 0
    passes.clear()
    recipe.write_text(said.replace("chars > 20", "chars > 26"))
    assert build(recipe) == 0
    assert passes == []
    # what was dropped comes back and has no values of the later signals yet
    recipe.write_text(said.replace("< 0.99", "<= 1"))
    assert build(recipe) == 0
    assert passes == [(kernel.QUALITY | kernel.PAGE, 1)]
    assert sum(len(kept(tmp_path / "root", name)) for name in ("chars", "sentences", "word_entropy")) == 9


def test_a_kernel_sees_no_more_than_its_rows():
    column = pa.array(["before", *TEXTS, "after I am"])[1:4]
    whole, _ = kernel.count(*utf8(column))
    again, _ = kernel.count(*utf8(pa.array(TEXTS)))
    assert (whole == again).all()
