"""The step `importance` in recipes over small corpora: DSIR's arithmetic, its target, and what changes no score."""

import gzip
import json
import math
import os
import re
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.cli import main
from corpuskit.errors import InputError, UsageError
from corpuskit.recipe import RecipeError, load
from corpuskit.step import File
from corpuskit.steps import dsir_buckets
from corpuskit.steps.importance import importance, log_ratios, read_texts
from tests.core.builder import digests
from tests.steps.step_runs import build, kept

RECIPE = """\
name: important
batch_bytes: {batch_bytes}
sources:
  web:   {{read: jsonl, path: "{raw}/web/*"}}
  books: {{read: jsonl, path: "{raw}/books/*"}}
steps:
{steps}
"""

CODE = [f"def f{row}(x): return x + {row} # the sum" for row in range(40)]
PROSE = [
    f"The river was {word} that winter, and the ferry stood still." for word in ("low", "wide", "grey", "ice") * 10
]
STEP = 'importance: {target: "good/*.jsonl", as: dsir}'


def summary(batch, params):
    """The state of the step for a batch."""
    return importance.summarize_function(batch, **importance.summarized(params))


def corpus(folder, web, books=(), target=CODE[:5]):
    """JSON lines of the texts, in three files of `web` and one of `books`, beside a target in two files."""
    for name, texts, files in (("raw/web", web, 3), ("raw/books", books, 1), ("good", target, 2)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for file in range(files):
            write(folder / name / f"{file}.jsonl", texts[file::files])
    return folder


def write(path, texts):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return File(path)


def recipe(folder, *steps, batch_bytes=1 << 20):
    shown = "\n".join(f"  - {step}" for step in steps)
    (folder / "recipe.yaml").write_text(RECIPE.format(raw=folder / "raw", steps=shown, batch_bytes=batch_bytes))
    return folder / "recipe.yaml"


def scores(root):
    return kept(root, "dsir")


def grams(text):
    words = re.findall(r"\w+|[^\w\s]+", text.lower())
    return [*words, *pairwise(words)]


def expected(text, raw, target):
    """The score by its definition, of buckets that no two grams share."""
    shares = []
    for texts in (target, raw):
        every = [gram for one in texts for gram in grams(one)]
        shares.append({gram: every.count(gram) / len(every) for gram in every})
    return sum(math.log(shares[0].get(g, 0) + 1e-8) - math.log(shares[1].get(g, 0) + 1e-8) for g in grams(text))


def direct(texts, target, **params):
    """Scores of texts that are the whole corpus, by the functions of the step."""
    batch = pa.record_batch({"text": pa.array(texts, pa.string())})
    params = importance.validate({"target": target, **params})
    state = summary(batch, params)
    return importance(batch, **params, state=state)["importance"].to_pylist()


# -- the score ---------------------------------------------------------------------------------------------------------


def test_scores_are_sums_of_log_ratios_over_all_documents_and_domains(tmp_path):
    web, books = CODE[5:11], PROSE[:4]
    assert build(recipe(corpus(tmp_path, web, books), STEP)) == 0
    found = scores(tmp_path / "root")
    assert found == {text: pytest.approx(expected(text, web + books, CODE[:5])) for text in web + books}
    assert min(found[text] for text in web) > max(found[text] for text in books)


def test_only_documents_that_are_alive_are_counted(tmp_path):
    steps = ["where: length(text) < 50", STEP + "\n    only: [web]"]
    long = ["never heard of " * 10]
    assert build(recipe(corpus(tmp_path, CODE[5:11] + long, PROSE[:4]), *steps)) == 0
    found = scores(tmp_path / "root")
    assert found == {text: pytest.approx(expected(text, CODE[5:11], CODE[:5])) for text in CODE[5:11]}


# What the authors' package gives (data-selection 1.0.3, with NLTK 3.9.1): the buckets of a text, each once; scores.
BUCKETS = {
    "Alice went to the store": [114, 1087, 2441, 3440, 4126, 5816, 6720, 8288, 9879],
    "Größe: 3,5 m² — «naïve» ΟΔΟΣ!\nİstanbul": [
        189, 808, 1112, 1239, 1516, 1678, 1753, 1851, 2143, 2198, 3053, 3267, 3403, 3453, 4887, 5433, 5478, 5842, 6308,
        6338, 6501, 6544, 6596, 7709, 8184, 8310, 8935, 9067, 9677,
    ],
}  # fmt: skip
TARGET = ["def g(y): return y + 2  # the river", "x"]
SCORES = {
    "The river was low, and the ferry stood still.": -241.15672440760426,
    "def f(x): return x + 1  # the sum": -159.17249646690436,
    "Größe: 3,5 m² — «naïve» ΟΔΟΣ!\nİstanbul": -409.3016435468668,
    "The river": 0.6854495775754521,
}


def test_the_reference_hash_gives_the_buckets_of_the_authors_package():
    for text, buckets in BUCKETS.items():
        counts = dsir_buckets.gram_counts(pa.array([None, text, " "]))
        assert np.flatnonzero(counts).tolist() == buckets
        assert counts.sum() == len(buckets)


def test_the_reference_hash_gives_the_scores_of_the_authors_package(tmp_path):
    corpus(tmp_path, list(SCORES), target=TARGET)
    step = 'importance: {target: "good/*.jsonl", as: dsir, hash: reference}'
    for size, root in ((1 << 20, "one"), (10, "two")):  # batches of all documents, and of one each
        assert build(recipe(tmp_path, step, batch_bytes=size), root=tmp_path / root) == 0
        assert scores(tmp_path / root) == {text: pytest.approx(score, rel=1e-12) for text, score in SCORES.items()}


def test_hashes_share_neither_scores_nor_counts(tmp_path):
    corpus(tmp_path, list(SCORES), target=TARGET)
    found = []
    for name in ("reference", "fast"):
        assert build(recipe(tmp_path, f"importance: {{target: good/0.jsonl, as: dsir, hash: {name}}}")) == 0
        found.append(scores(tmp_path / "root"))
    assert found[0].keys() == found[1].keys()
    assert found[0] != found[1]


def test_the_authors_toy_targets_have_their_scores(shared):
    folder = shared / "mixing" / "dsir"
    if not folder.exists():
        pytest.skip(f"needs {folder}")
    code, prose = (contents(folder / f"toy_target_data{which}.jsonl") for which in ("", "_2"))
    assert by_reference(code + prose, code) == pytest.approx([175.2013036387047, -3061.826883805678], rel=1e-12)


def test_the_authors_toy_corpus_has_its_scores():
    """Their corpus is text of the Pile, not ours to copy: DSIR_TESTS names the folder `tests` of p-lambda/dsir."""
    if "DSIR_TESTS" not in os.environ:
        pytest.skip("needs DSIR_TESTS, the folder `tests` of a checkout of github.com/p-lambda/dsir")
    folder = Path(os.environ["DSIR_TESTS"])
    raw, target = contents(folder / "toy_pile_data.jsonl"), contents(folder / "toy_target_data.jsonl")
    wanted = [922.2629872263734, -1093.8917037364033, -2284.923559110741]
    assert by_reference(raw, target)[:3] == pytest.approx(wanted, rel=1e-12)


def contents(path):
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["contents"] for line in lines]


def by_reference(raw, target):
    """Scores of texts against a target, in the buckets of the authors' package."""
    columns = [pa.array(texts, pa.string()) for texts in (raw, target)]
    counts = [dsir_buckets.gram_counts(column) for column in columns]
    return dsir_buckets.gram_sums(columns[0], log_ratios(*counts)).tolist()


@settings(max_examples=40)
@given(st.lists(st.sampled_from([*CODE, *PROSE, "", " \n", None]), min_size=1, max_size=12), st.integers(0, 12))
def test_a_document_scores_the_same_whatever_stands_beside_it(tmp_path_factory, texts, cut):
    target = [write(tmp_path_factory.getbasetemp() / "target.jsonl", CODE[:3])]
    batch = pa.record_batch({"text": pa.array(texts, pa.string())})
    parts = [batch.slice(0, cut), batch.slice(cut)]
    params = importance.validate({"target": target})
    state = summary(batch, params)
    for one, other in (parts, parts[::-1]):
        merged = importance.merge_function(*(summary(part, params) for part in (one, other)))
        assert (merged.raw == state.raw).all()
        assert (merged.target == state.target).all()
    if not state.raw.sum():
        return
    whole = importance(batch, **params, state=state)["importance"]
    assert pa.concat_arrays([importance(part, **params, state=merged)["importance"] for part in parts]).equals(whole)
    assert [score is None for score in whole.to_pylist()] == [not (text or "").strip() for text in texts]


@pytest.mark.parametrize("steps", [[STEP], [STEP, "sample: {by: dsir, method: gumbel, keep: 0.25}"]])
def test_engine_workers_and_batches_change_no_byte(tmp_path, steps):
    corpus(tmp_path, CODE[5:], PROSE)
    found = []
    for size, words in ((1 << 20, ("--engine", "inline")), (100, ("--engine", "local", "--workers", "2"))):
        assert build(recipe(tmp_path, *steps, batch_bytes=size), *words, root=tmp_path / str(size)) == 0
        found.append(digests(tmp_path / str(size)))
    assert found[0] == found[1]


def test_another_selection_scores_nothing_again(tmp_path, capsys):
    corpus(tmp_path, CODE[5:], PROSE)
    kept, ran = [], []
    for method in ("gumbel", "top", "random"):
        assert build(recipe(tmp_path, STEP, f"sample: {{by: dsir, method: {method}, keep: 0.25}}")) == 0
        kept.append(scores(tmp_path / "root"))
        ran.append(capsys.readouterr().err)
    assert ["summary-importance" in said for said in ran] == [True, False, False]
    assert ["before-sample" in said for said in ran] == [True, False, False]  # where documents are scored
    assert all(text in CODE for text in kept[1])
    assert any(text in PROSE for text in kept[2])


# -- the target --------------------------------------------------------------------------------------------------------


def test_every_way_to_write_a_target_counts_the_same(tmp_path):
    texts = [*CODE[:5], "naïve Σ  words\u2028here"]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    plain = "\n".join(texts).encode()
    forms = {"a.jsonl": lines, "a.jsonl.gz": gzip.compress(lines), "a.json.gz": gzip.compress(lines), "a.txt": plain}
    forms["a.txt.gz"] = gzip.compress(plain + b"\n")
    raw = CODE[5:9] + PROSE[:3]
    found = {}
    for name, data in forms.items():
        (tmp_path / name).write_bytes(data)
        assert [t for batch in read_texts(tmp_path / name) for t in batch.to_pylist()] == texts
        found[name] = direct(raw, File(tmp_path / name))
    assert all(one == found["a.jsonl"] for one in found.values())
    parts = [write(tmp_path / f"part{part}.jsonl", texts[part::2]) for part in range(2)]
    assert direct(raw, parts) == found["a.jsonl"]


def test_a_target_of_many_batches_is_counted_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["corpuskit.steps.importance"], "BATCH_BYTES", 100)
    path = tmp_path / "a.txt"
    path.write_text("\n".join(PROSE))
    batches = list(read_texts(path))
    assert len(batches) > 3
    assert [text for batch in batches for text in batch.to_pylist()] == PROSE


def test_a_target_with_other_content_scores_anew(tmp_path):
    path = recipe(corpus(tmp_path, CODE[5:11], PROSE[:4]), STEP)
    assert build(path) == 0
    before = scores(tmp_path / "root")
    write(tmp_path / "good" / "0.jsonl", PROSE[20:])
    assert build(path) == 0
    after = scores(tmp_path / "root")
    assert before.keys() == after.keys()
    assert all(after[text] > before[text] for text in PROSE[:4])


def test_the_name_of_a_target_is_in_no_key(tmp_path):
    keys = []
    for name in ("one.jsonl", "two.jsonl"):
        params = importance.validate({"target": write(tmp_path / name, CODE[:5])})
        keys.append(importance.fingerprint(params))
    assert keys[0] == keys[1]


def test_a_target_read_in_another_way_scores_anew(tmp_path):
    path = recipe(corpus(tmp_path, CODE[5:11], PROSE[:4]), "importance: {target: t.jsonl, as: dsir}")
    write(tmp_path / "t.jsonl", CODE[:5])
    assert build(path) == 0
    before = scores(tmp_path / "root")
    (tmp_path / "t.jsonl").rename(tmp_path / "t.txt")
    recipe(tmp_path, "importance: {target: t.txt, as: dsir}")
    assert build(path) == 0
    after = scores(tmp_path / "root")
    assert before.keys() == after.keys()
    assert before != after


def test_a_file_that_two_patterns_match_is_counted_once(tmp_path):
    path = corpus(tmp_path, CODE[5:11], PROSE[:4])
    targets = []
    for target in (
        '["good/*.jsonl"]',
        '["good/*.jsonl", "good/0.jsonl"]',
        '["good/0*.jsonl", good/0.jsonl, "good/*.jsonl"]',
    ):
        (call,) = load(recipe(path, f"importance: {{target: {target}}}"), []).steps
        targets.append(call.params["target"])
    assert targets[0] == targets[1] == targets[2] == [str(tmp_path / "good" / f"{file}.jsonl") for file in range(2)]


def test_peek_goes_on_past_rules_that_need_the_score(tmp_path, capsys):
    path = recipe(corpus(tmp_path, CODE, PROSE), STEP, "where: dsir > 0", "where: length(text) > 5")
    assert main(["peek", str(path), str(tmp_path / "raw/web/0.jsonl")]) == 0
    said = capsys.readouterr().out
    assert "importance: needs the whole corpus" in said
    assert "dsir > 0: needs `dsir`" in said
    assert "length(text) > 5: kept\nreaches the end of the steps" in said


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "place", "said"),
    [
        ("target: good/2.jsonl", "7:26", "there is no file"),
        ("target: [good/0.jsonl, good/2.jsonl]", "7:41", "did you mean"),
        ('target: "bad/*.jsonl"', "7:26", "no file matches"),
        ("target: good/0.parquet", "7:26", "`good/0.parquet` is neither .jsonl, .json, .ndjson nor .txt"),
        ("target: []", "7:26", "name at least one file"),
        ("target: 5", "7:26", "should be"),
        ("target: good/0.jsonl, hash: sha256", "7:46", "`hash` should be one of `fast`, `reference`"),
        ("as: dsir", "7:", "`importance` needs the key `target`"),
    ],
)
def test_a_target_that_is_not_there_is_refused_with_its_line(tmp_path, given, place, said):
    with pytest.raises(RecipeError) as caught:
        load(recipe(corpus(tmp_path, CODE[:3], CODE[3:5]), f"importance: {{{given}}}"), [])
    assert f"recipe.yaml:{place}" in str(caught.value)
    assert said in str(caught.value)


def test_a_target_without_words_says_so(tmp_path, capsys):
    assert build(recipe(corpus(tmp_path, CODE[:3], CODE[3:5], target=[" ", "\n"]), STEP)) != 0
    said = capsys.readouterr().err
    assert "the target of `importance` holds no word" in said
    assert str(tmp_path / "good" / "0.jsonl") in said


def test_documents_without_words_say_so(tmp_path, capsys):
    target = write(tmp_path / "good.jsonl", CODE)
    with pytest.raises(UsageError, match="no document that reaches `importance` holds a word"):
        direct([" ", ""], target)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.jsonl", b'{"text": "a"}\n{"txt": "b"}\n', r"a\.jsonl: line 2 \(byte 14\): no field `text`"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n', r"a\.jsonl: line 2 .*invalid UTF-8"),
        ("a.txt", b"good\nb\xffd\n", r"a\.txt: line 2: invalid UTF-8 at byte 1 of the line"),
        ("a.txt.gz", gzip.compress(b"good " * 9999, mtime=0)[:40], "a.txt.gz: gzip data damaged"),
    ],
)
def test_a_line_of_the_target_that_cannot_be_read_is_not_passed_over(tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=said):
        direct(CODE, File(tmp_path / name))


# -- the recipe --------------------------------------------------------------------------------------------------------


def test_the_recipe_of_dsir_loads(tmp_path, monkeypatch):
    monkeypatch.setenv("RAW", str(tmp_path))
    monkeypatch.setenv("TARGET", str(tmp_path))
    (tmp_path / "good.jsonl.gz").write_bytes(gzip.compress(b'{"text": "good"}'))
    path = Path(__file__).parents[2] / "recipes" / "dsir.yaml"
    for method in ("gumbel", "random"):
        found = load(path, [f"steps.selected.method={method}"])
        assert found.warnings == []
        (call,) = (call for call in found.steps if call.step is importance)
        assert call.params["target"] == [str(tmp_path / "good.jsonl.gz")]
    assert len(path.read_text().splitlines()) < 40
