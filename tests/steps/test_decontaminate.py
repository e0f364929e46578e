"""Documents that hold items of benchmarks are found as the definition says; what is no sign of it is left aside."""

import csv
import gzip
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.errors import InputError, UsageError
from corpuskit.explore import evidence
from corpuskit.sources.base import SourceFile
from corpuskit.sources.gutenberg import gutenberg
from corpuskit.sources.jsonl import jsonl
from corpuskit.steps.decontaminate import decontaminate
from corpuskit.store.root import Root
from tests.steps.step_runs import build

DATA = Path(__file__).parents[2].parent / "shared" / "data"
ITEM = "A farmer had seventeen sheep, and all but nine of them ran away into the hills one night."
OTHER = "How many glasses of lemonade does Nora sell if each of her nine friends buys two glasses a day?"


def batch(texts):
    return pa.record_batch({"doc": pa.array(range(len(texts)), pa.uint64()), "text": pa.array(texts, pa.string())})


def found(texts, against, *, state=None, **params):
    """Masks, reasons and findings."""
    params = decontaminate.validate({"against": str(against), "frequent": None, **params})
    mask, reasons, rows = decontaminate(batch(texts), state=state, **params)
    return mask.to_pylist(), reasons.to_pylist(), rows.to_pylist()


@pytest.fixture
def items(tmp_path):
    path = tmp_path / "sheep.jsonl.gz"
    rows = [{"question": ITEM, "answer": "nine"}, {"question": OTHER, "choices": ["eighteen", "nine"]}]
    path.write_bytes(gzip.compress("\n\n".join(json.dumps(row) for row in rows).encode()))
    return path


def words(text):
    return re.findall(r"\w+", text.lower())


def grams(text, n):
    return {tuple(words(text)[i : i + n]) for i in range(len(words(text)) - n + 1)}


def test_an_item_is_found_whatever_its_punctuation_case_and_lines(items):
    texts = ["Nothing.", f"Before. {ITEM.upper().replace(' ', chr(10))} After.", None, ITEM[:40]]
    mask, reasons, rows = found(texts, items)
    assert mask == [True, False, True, True]
    said = " ".join(words(ITEM))
    assert reasons == [None, f"sheep item 0: {said}", None, None]
    assert rows == [{"row": 1, "what": "sheep", "times": len(grams(ITEM, 13)), "item": "0", "text": said}]
    assert found(texts, items, report=True)[0] == [True] * 4
    assert found(texts, items, report=True)[2] == rows


@settings(max_examples=100)
@given(st.lists(st.lists(st.integers(0, 33).map(lambda at: (words(ITEM) + words(OTHER))[at % 36]), max_size=40)))
def test_ngrams_are_those_of_sets_of_words(tmp_path_factory, drawn):
    path = tmp_path_factory.getbasetemp() / "both.txt"
    path.write_text(f"{ITEM}\n{OTHER}\n")
    texts = [" ".join(one) for one in drawn] + [ITEM, f"{ITEM} {OTHER}"]
    expected = [
        (row, number, len(grams(text, 8) & grams(item, 8)))
        for row, text in enumerate(texts)
        for number, item in enumerate((ITEM, OTHER))
        if grams(text, 8) & grams(item, 8)
    ]
    assert [(one["row"], int(one["item"]), one["times"]) for one in found(texts, path, n=8)[2]] == expected


def test_a_share_of_an_items_ngrams_may_be_asked_for(items):
    half = " ".join(words(ITEM)[:15])  # three of six 13-grams
    assert found([half], items)[0] == [False]
    assert found([half], items, ratio=0.5)[0] == [False]
    assert found([half], items, ratio=0.51) == ([True], [None], [])


def test_short_items_are_compared_whole_and_shorter_ones_not_at_all(tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("Why do cats purr when they sleep soundly?\nWhat is the capital of Chad?\n")
    texts = ["why do cats purr when they sleep soundly, she asked", "What is the capital of Chad?"]
    assert found(texts, path)[0] == [False, True]
    assert found(["why do cats purr when they sleep"], path)[0] == [True]
    path.write_text("What is the capital of Chad?\n")
    with pytest.raises(UsageError, match="no item of short has 8 words"):
        found(texts, path)


@pytest.mark.parametrize(
    "trivial",
    [
        " ".join(map(str, range(40))),
        "a b c d e f g h i j k l m n o p q",
        "ha " * 20,
        "the 1 the 2 the 3 the 4 the 5 the 6 the 7",
    ],
)
def test_what_anything_may_hold_is_left_aside_and_counted(tmp_path, trivial):
    path = tmp_path / "items.txt"
    path.write_text(f"{ITEM} {trivial}\n")
    mask, reasons, rows = found([f"see {trivial}"], path)
    assert (mask, reasons) == ([True], [None])
    assert [(row["what"], row["times"], row["item"]) for row in rows] == [
        ("items: trivial", len(grams(trivial, 13)), None)
    ]


def test_faults_of_benchmarks_are_named(tmp_path, items):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"a": "b"}\n{"a"\n')
    with pytest.raises(InputError, match=r"bad\.jsonl: line 2: no JSON"):
        found([""], bad)
    with pytest.raises(InputError, match=r"line 1: it has `question`, `answer`, not `text`"):
        found([""], items, fields=["text"])
    with pytest.raises(pydantic.ValidationError, match="neither"):
        decontaminate.validate({"against": "mmlu.csv"})


RECIPE = """\
name: r
keep_dropped: true
sources:
  web: {{read: jsonl, path: web.jsonl}}
  books: {{read: jsonl, path: books.jsonl}}
steps:
  - decontaminate: {{against: "*.jsonl.gz", fields: [question], frequent: {frequent}}}
"""


def run(folder, frequent):
    (folder / "web.jsonl").write_text("\n".join(json.dumps({"text": f"{n} {OTHER}"}) for n in range(3)))
    (folder / "books.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in (ITEM, OTHER, "Kept.")))
    (folder / "r.yaml").write_text(RECIPE.format(frequent=frequent))
    assert build(folder / "r.yaml") == 0
    root = Root(folder / "root")
    return {(one["what"], one["times"], one["documents"]) for one in evidence.findings(root, root.require_plan())}


def test_ngrams_of_many_documents_are_counted_over_all_domains_and_left_aside(tmp_path, items):
    assert items.exists()
    of_item, of_other = len(grams(ITEM, 13)), len(grams(OTHER, 13))
    assert run(tmp_path, frequent=3) == {("sheep", of_item, 1), ("sheep: frequent", 4 * of_other, 4)}
    dropped = pq.read_table(tmp_path / "root" / "dropped").to_pylist()
    assert [(one["rule"], one["reason"]) for one in dropped] == [
        ("decontaminate", f"sheep item 0: {' '.join(words(ITEM))}")
    ]
    assert run(tmp_path, frequent=4) == {("sheep", of_item + 4 * of_other, 5)}


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data: benchmarks and their overlaps with books")
def test_every_known_overlap_of_lambada_with_novels_is_found_and_no_other():
    with (DATA / "ground_truth" / "benchmark_overlaps.csv").open() as file:
        known = [row for row in csv.DictReader(file) if (row["benchmark"], row["domain"]) == ("lambada", "books")]
    path = DATA / "books" / "novels-en.tar.zst"
    texts = [one["text"] for one in gutenberg(SourceFile(str(path), path.name)) if isinstance(one, dict)]
    rows = found(texts, DATA / "benchmarks" / "lambada_test.jsonl.gz")[2]
    wanted = {
        number: sum(row["item_index"] == number for row in known) for number in {row["item_index"] for row in known}
    }
    assert wanted
    assert {row["item"]: row["times"] for row in rows} == wanted


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data: benchmarks and code")
def test_the_false_alarm_of_humaneval_in_code_is_left_aside():
    path = DATA / "github" / "github_files.jsonl.zst"
    texts = [one["text"] for one in jsonl(SourceFile(str(path), path.name), text="content") if isinstance(one, dict)]
    mask, _, rows = found(texts, DATA / "benchmarks" / "HumanEval.jsonl.gz", fields=["prompt"])
    assert all(mask)
    assert {row["what"] for row in rows} == {"HumanEval: trivial"}
