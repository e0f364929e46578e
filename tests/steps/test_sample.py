"""The step `sample` in recipes over small corpora: published answers, shares, counts, and what changes none of them."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.cli import main
from corpuskit.errors import UsageError
from corpuskit.mix import histogram
from corpuskit.mix.problem import Infeasible
from corpuskit.mix.selectors import draws
from corpuskit.recipe import RecipeError, load
from corpuskit.steps.sample import sample
from tests.core.builder import digests

BERTIN = "boundaries: [536394.99, 662247.50, 919250.87]"

RECIPE = """\
name: selected
batch_bytes: {batch_bytes}
sources:
  web:   {{read: jsonl, path: "{raw}/web/*", columns: {{score: float64, rating: int64, url: string}}}}
  books: {{read: jsonl, path: "{raw}/books/*", columns: {{score: float64, rating: int64, url: string}}}}
steps:
{steps}
"""


def corpus(folder, web, books=()):
    """JSON lines of the given scores, in three files of `web` and one of `books`; a row's text has its number."""
    for domain, scores, files in (("web", web, 3), ("books", books, 1)):
        (folder / domain).mkdir(parents=True, exist_ok=True)
        rows = [
            json.dumps({"text": f"{domain} text {row} " + "word " * (row % 7), "score": score, "rating": row % 5})
            for row, score in enumerate(scores)
        ]
        for file in range(files):
            (folder / domain / f"{file}.jsonl").write_text("".join(f"{row}\n" for row in rows[file::files]))
    return folder


def recipe(folder, raw, *steps, batch_bytes=1 << 20):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.yaml"
    shown = "\n".join(f"  - {step}" for step in steps)
    path.write_text(RECIPE.format(raw=raw, steps=shown, batch_bytes=batch_bytes))
    return path


def build(path, root, *words):
    return main(["run", str(path), "--root", str(root), *(words or ("--engine", "inline"))])


def run(folder, scores, *steps, books=()):
    """Run a recipe over scores; the table of its corpus and that of what it dropped."""
    path = recipe(folder, corpus(folder / "raw", scores, books), *steps)
    assert build(path, folder / "root") == 0
    return table(folder / "root" / "corpus"), table(folder / "root" / "dropped")


def table(folder):
    found = [pq.read_table(path, partitioning=None) for path in sorted(folder.rglob("*.parquet"))]
    return pa.concat_tables(found, promote_options="default") if found else pa.table({"doc": [], "score": []})


def values(found, column="score"):
    return sorted(found.column(column).to_pylist())


# -- published answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "expected"),
    [("low", [1, 2, 3, 4, 5]), ("medium", [3, 4, 5, 6, 7]), ("high", [6, 7, 8, 9, 10])],
)
def test_low_medium_and_high_perplexity(tmp_path, method, expected):
    kept, dropped = run(
        tmp_path, [7, 3, 10, 1, 9, 5, 2, 8, 6, 4], f"sample: {{by: score, method: {method}, keep: 0.5}}"
    )
    assert values(kept) == expected
    assert values(dropped) == sorted(set(range(1, 11)) - set(expected))


@pytest.mark.parametrize(
    ("method", "factor", "published"),
    [
        ("stepwise", 1.5e5, {5e5: 0.279645, 6e5: 1, 8e5: 0.583650, 1e6: 0.016318}),
        (
            "gaussian",
            0.78,
            {0: 0.624575, 536394.99: 0.773765, 662247.50: 0.78, 919250.87: 0.754327, 2 * 662247.50: 0.624575},
        ),
    ],
)
def test_the_published_constants_of_bertin(tmp_path, method, factor, published):
    scores = [score for score in published for _ in range(400)]
    kept, dropped = run(tmp_path, scores, f"sample: {{by: score, method: {method}, {BERTIN}, factor: {factor}}}")
    for score, chance in published.items():
        docs = {True: docs_of(kept, score), False: docs_of(dropped, score)}
        assert len(docs[True]) / 400 == pytest.approx(chance, abs=4 * math.sqrt(chance * (1 - chance) / 400) + 1e-9)
        assert (draws(docs[True], 0) < chance + 1e-6).all()
        assert (draws(docs[False], 0) >= chance - 1e-6).all()


def docs_of(found, score):
    at = np.array(found.column("score").to_pylist()) == score
    return found.column("doc").to_numpy()[at]


def test_harmful_text_is_dropped_from_below(tmp_path):
    kept, _ = run(tmp_path, [3, 5, 40, 90], "sample: {by: score, method: top, at: 40}")
    assert values(kept) == [40, 90]


def test_dsir_samples_by_weight(tmp_path):
    scores = [math.log(weight) for weight in (1, 2, 5) for _ in range(1000)]
    kept, _ = run(tmp_path, scores, "sample: {by: score, method: gumbel, keep: 0.3}")
    assert kept.num_rows == pytest.approx(900, abs=100)
    shares = [values(kept).count(math.log(weight)) / 1000 for weight in (1, 2, 5)]
    # a document of twice the weight is passed over with the square of the probability
    passed = [1 - share for share in shares]
    assert passed[1] == pytest.approx(passed[0] ** 2, abs=0.05)
    assert passed[2] == pytest.approx(passed[0] ** 5, abs=0.08)


# -- shares ------------------------------------------------------------------------------------------------------------


SCORES = np.random.default_rng(4).lognormal(6, 1, 3000).tolist()


def summary(batch, params):
    """The state of the step, as the plan lets it be measured."""
    return sample.summarize_function(batch, **sample.summarized(params)) if sample.summarizes(params) else None


@pytest.mark.parametrize("method", ["top", "bottom", "low", "medium", "high", "stepwise", "gaussian", "gumbel"])
@pytest.mark.parametrize("weight", ["documents", "characters", "bytes"])
def test_the_share_is_what_was_asked(method, weight):
    docs = np.arange(3000, dtype=np.uint64)
    texts = [("é" * (row % 11 + 1)) for row in range(3000)]
    scores = np.log(SCORES) if method == "gumbel" else SCORES  # as perplexities are no log ratios
    batch = pa.record_batch({"doc": docs, "text": texts, "score": scores})
    params = sample.validate({"by": "score", "method": method, "keep": 0.35, "weight": weight})
    mask, _ = sample(batch, **params, state=summary(batch, params))
    size = np.array([row % 11 + 1 for row in range(3000)]) if weight != "documents" else np.ones(3000)
    by_chance = method in ("stepwise", "gaussian", "gumbel")
    reached = size[mask.to_numpy(zero_copy_only=False)].sum() / size.sum()
    assert reached == pytest.approx(0.35, abs=0.045 if by_chance else 0.002)


@pytest.mark.parametrize("method", ["top", "bottom", "low", "medium", "high"])
def test_coarse_bins_are_whole_on_one_side(monkeypatch, method):
    monkeypatch.setattr(histogram, "BINS", 64)
    batch = pa.record_batch({"doc": np.arange(3000, dtype=np.uint64), "text": ["a"] * 3000, "score": SCORES})
    params = sample.validate({"by": "score", "method": method, "keep": 0.4})
    state = summary(batch, params)
    mask = sample(batch, **params, state=state)[0].to_numpy(zero_copy_only=False)
    assert state.dropped
    bins = state.binned(np.array(SCORES))
    assert not set(bins[mask]) & set(bins[~mask])
    chosen = set(bins[mask])
    expected = sum(weight for score, weight in zip(state.scores, state.weights, strict=True) if score in chosen)
    assert mask.sum() == expected
    nearest = 0.5 if method in ("top", "bottom") else 2  # bins off: a band's are all within the share
    assert mask.mean() == pytest.approx(0.4, abs=nearest * state.weights.max() / 3000)


def unpacked(path):
    with zstandard.open(path) as packed:
        return packed.read()


def test_bertin_of_real_pages_is_the_curve_around_their_median(shared, tmp_path):
    pages = unpacked(shared / "c4" / "c4-18f-gsa-gov.jsonl.zst") + unpacked(shared / "c4" / "c4-state_union.jsonl.zst")
    (tmp_path / "pages.jsonl").write_bytes(pages)
    (tmp_path / "model.arpa").write_bytes(unpacked(shared / "lm" / "order3.arpa.zst"))
    path = tmp_path / "recipe.yaml"
    path.write_text(
        'sources:\n  c4: {read: jsonl, path: "pages.jsonl"}\nsteps:\n'
        "  - perplexity: {model: model.arpa, as: ppl}\n  - sample: {by: ppl, method: gaussian, keep: 0.4, seed: 3}\n"
    )
    assert build(path, tmp_path / "root") == 0
    kept, dropped = table(tmp_path / "root" / "corpus"), table(tmp_path / "root" / "dropped")
    assert kept.num_rows + dropped.num_rows == pages.count(b"\n") == 613
    assert kept.num_rows / 613 == pytest.approx(0.4, abs=0.08)
    median = sorted(values(kept, "ppl") + values(dropped, "ppl"))[306]
    found = [part.select(["doc", "ppl"]).to_pydict() for part in (kept, dropped)]
    curves = [np.exp(-(((np.array(part["ppl"]) - median) / median) ** 2) / 4.5) for part in found]
    factor = 0.4 * 613 / sum(curve.sum() for curve in curves)
    assert (draws(found[0]["doc"], 3) < factor * curves[0]).all()
    assert (draws(found[1]["doc"], 3) >= factor * curves[1]).all()


def test_thresholds_are_measured_on_the_documents_alive_in_the_domains_chosen(tmp_path):
    kept, _ = run(
        tmp_path,
        [*range(100), *range(1000, 1100)],
        "where: score < 500",
        "sample: {by: score, method: top, keep: 0.1}\n    only: [web]\n    name: best",
        books=range(10),
    )
    assert values(kept) == sorted([*range(10), *range(90, 100)])


def test_the_best_tenth_by_characters(tmp_path):
    kept, dropped = run(
        tmp_path, range(500), "sample: {by: score, method: top, keep: 0.1, weight: characters}\n    name: preselect"
    )
    sizes = {row: len(f"web text {row} " + "word " * (row % 7)) for row in range(500)}
    assert sum(sizes[int(row)] for row in values(kept)) / sum(sizes.values()) == pytest.approx(0.1, abs=0.005)
    assert min(values(kept)) > max(values(dropped))


def test_a_rating_of_whole_numbers_keeps_equal_ones_together(tmp_path):
    kept, dropped = run(tmp_path, [None] * 100, "sample: {by: rating, method: top, keep: 0.35}")
    assert set(kept.column("rating").to_pylist()) == {3, 4}  # 40 %: nearer than 20 %
    assert dropped.num_rows == 60


def test_the_baseline_draws_from_the_same_documents(tmp_path):
    kept, dropped = run(
        tmp_path, [None, 1.0, 2.0] * 500, "sample: {by: score, method: random, keep: 0.4}\n    name: baseline"
    )
    assert values(dropped, "rule").count("baseline: no value") == 500
    assert kept.num_rows == pytest.approx(400, abs=60)


def test_random_draws_of_other_seeds_are_independent(tmp_path):
    kept, _ = run(
        tmp_path,
        [1.0] * 4000,
        "sample: {method: random, keep: 0.5}\n    name: half",
        "sample: {method: random, keep: 0.5, seed: 1}\n    name: quarter",
    )
    assert kept.num_rows == pytest.approx(1000, abs=110)


# -- what is counted ---------------------------------------------------------------------------------------------------


def test_a_document_without_a_score_is_counted_apart(tmp_path, capsys):
    scores = [None, 1, 2, None, 3, 4, None]
    kept, dropped = run(tmp_path, scores, "sample: {by: score, method: top, keep: 0.5}\n    name: best")
    assert values(kept) == [3, 4]
    assert values(dropped, "rule") == ["best"] * 2 + ["best: no value"] * 3
    capsys.readouterr()
    assert main(["stats", str(tmp_path / "root")]) == 0
    assert re.search(r"best: no value +0 +3 +3 +42.86 %", capsys.readouterr().out)


def test_documents_that_all_lack_a_score_are_all_counted(tmp_path):
    kept, dropped = run(tmp_path, [None] * 5, "sample: {by: score, method: gaussian, keep: 0.5}\n    name: best")
    assert kept.num_rows == 0
    assert values(dropped, "rule") == ["best: no value"] * 5


def test_scores_that_are_not_finite_are_no_value():
    batch = pa.record_batch(
        {"doc": pa.array(range(5), pa.uint64()), "text": ["a"] * 5, "score": [1.0, math.nan, math.inf, -math.inf, None]}
    )
    for measured in ({"method": "top", "at": 0}, {"method": "top", "keep": 1}, {"method": "random", "keep": 1}):
        params = sample.validate({"by": "score", **measured})
        state = summary(batch, params)
        mask, reasons = sample(batch, **params, state=state)
        assert mask.to_pylist() == [True, False, False, False, False]
        assert reasons.to_pylist() == [None, *["no value"] * 4]
        assert (state.scores.tolist() if state else None) == (
            [1.0] if measured == {"method": "top", "keep": 1} else None
        )


# -- what changes nothing ----------------------------------------------------------------------------------------------


METHODS = [
    {"method": method, "by": "score", "keep": 0.4}
    for method in ("top", "bottom", "low", "medium", "high", "stepwise", "gaussian", "gumbel")
]


@settings(max_examples=80)
@given(
    st.lists(st.none() | st.floats(1, 1e4), min_size=1, max_size=40),
    st.integers(0, 40),
    st.sampled_from([*METHODS, {"method": "random", "keep": 0.4}, {"method": "top", "by": "score", "at": 50}]),
    st.integers(0, 3),
)
def test_a_document_is_decided_the_same_whatever_stands_beside_it(scores, cut, given, seed):
    batch = pa.record_batch(
        {
            "doc": pa.array([row << 20 for row in range(len(scores))], pa.uint64()),
            "text": ["a" * (row % 5) for row in range(len(scores))],
            "score": pa.array(scores, pa.float64()),
        }
    )
    params = sample.validate({**given, "seed": seed})
    state = summary(batch, params)
    try:
        mask, reasons = sample(batch, **params, state=state)
    except (UsageError, Infeasible):  # quartiles that meet, or a band that holds no document
        return
    parts = [sample(part, **params, state=state) for part in (batch.slice(0, cut), batch.slice(cut))]
    assert pa.concat_arrays([part for part, _ in parts]).equals(mask)
    assert pa.concat_arrays([part for _, part in parts]).equals(reasons)
    unknown = [given["method"] != "random" and score is None for score in scores]
    assert [reason == "no value" for reason in reasons.to_pylist()] == unknown


def test_engine_workers_and_batches_change_no_byte(tmp_path):
    scores = [*SCORES[:200], None]
    raw = corpus(tmp_path / "raw", scores, SCORES[200:230])
    steps = (
        "sample: {by: score, method: gaussian, keep: 0.5}",
        "sample: {method: random, keep: 0.5, seed: 1}\n    name: r",
    )
    found = []
    for name, batch_bytes, words in (
        ("one", 1 << 20, ("--engine", "inline")),
        ("two", 100, ("--engine", "inline")),
        ("three", 999, ("--engine", "local", "--workers", "2")),
    ):
        assert (
            build(recipe(tmp_path / name, raw, *steps, batch_bytes=batch_bytes), tmp_path / name / "root", *words) == 0
        )
        found.append(digests(tmp_path / name / "root"))
    assert found[0]
    assert found[0] == found[1] == found[2]


SCORER = """
from pathlib import Path
import pyarrow as pa
from corpuskit import step

@step.signal(columns={"ppl": "float64"})
def ppl(batch):
    with (Path(__file__).parent / "calls.log").open("a") as log:
        log.write(f"{batch.num_rows}\\n")
    return pa.array([float(len(text)) for text in batch["text"].to_pylist()])
"""


def test_another_share_calls_no_scorer(tmp_path):
    (tmp_path / "scorer.py").write_text(SCORER)
    raw = corpus(tmp_path / "raw", SCORES[:90])
    kept = []
    for keep in (0.3, 0.6, 0.3):
        path = recipe(tmp_path, raw, "./scorer.py:ppl: {}", f"sample: {{by: ppl, method: top, keep: {keep}}}")
        assert build(path, tmp_path / "root") == 0
        kept.append(set(table(tmp_path / "root" / "corpus").column("doc").to_pylist()))
        assert sum(map(int, (tmp_path / "calls.log").read_text().split())) == 90
    assert kept[0] == kept[2] < kept[1]


def test_a_larger_share_only_adds_documents():
    batch = pa.record_batch({"doc": np.arange(3000, dtype=np.uint64), "text": ["a"] * 3000, "score": SCORES})
    for method in ("gaussian", "stepwise", "top", "low"):
        before = np.zeros(3000, bool)
        for keep in (0.1, 0.4, 0.7):
            params = sample.validate({"by": "score", "method": method, "keep": keep})
            mask, _ = sample(batch, **params, state=summary(batch, params))
            now = mask.to_numpy(zero_copy_only=False)
            assert (now >= before).all()
            before = now


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "place", "said"),
    [
        (["sample: {keep: 0.5}"], "7:", "`sample` needs the key `method`"),
        (["sample: {method: medum, by: score, keep: 0.5}"], "7:", "did you mean `medium`?"),
        (["sample: {method: top, by: score, keep: 1.5}"], "7:", "`keep` should be less than or equal to 1, not `1.5`"),
        (["sample: {method: top, keep: 0.5}"], "7:5", "`top` needs `by`, the column of its scores"),
        (["sample: {method: top, by: score}"], "7:5", "`top` needs `keep`, the share to keep, or `at`"),
        (["sample: {method: low, by: score, at: 3}"], "7:5", "`at` goes with `top` or `bottom`, not with `low`"),
        (["sample: {method: top, by: score, at: 3, keep: 0.5}"], "7:5", "`keep` and `at` both say how much is kept"),
        (["sample: {method: top, by: score, at: 3, weight: bytes}"], "7:5", "with `at` nothing is measured"),
        (["sample: {method: random, by: score, at: 1}"], "7:5", "`at` goes with `top` or `bottom`, not with `random`"),
        (["sample: {method: random}"], "7:5", "`random` needs `keep`"),
        (["sample: {method: gaussian, by: score, factor: 1}"], "7:5", "`boundaries` and `factor` are given together"),
        (
            ["sample: {method: stepwise, by: score, factor: 1, boundaries: [3, 2, 5]}"],
            "7:5",
            "`boundaries` [3.0, 2.0, 5.0] must rise",
        ),
        (["sample: {method: top, by: scroe, keep: 0.5}"], "7:31", "did you mean `score`?"),
        (["sample: {method: top, by: Score, keep: 0.5}"], "7:31", "did you mean `score`?"),
        (["sample: {method: top, by: url, keep: 0.5}"], "7:31", "goes by `url`, which is string, not a number"),
        (
            ["sample: {method: top, by: clean_chars, keep: 0.5}", "clean_chars: {}\n    only: [web]"],
            "7:31",
            "reads the column `clean_chars`, which nothing computes for `web`, `books`",
        ),
        (
            ["clean_chars: {}\n    only: [web]", "sample: {method: top, by: clean_chars, keep: 0.5}"],
            "9:31",
            "which nothing computes for `books`",
        ),
        (
            [
                "sample: {method: random, keep: 0.5}\n    name: half",
                "sample: {method: gaussian, by: score, keep: 0.5}",
            ],
            "9:5",
            "`sample` draws the same numbers as `half` on line 7",
        ),
        (
            ["sample: {method: random, keep: 0.5}", "sample: {method: random, keep: 0.5, seed: 1}"],
            "8:5",
            "two steps have the name `sample`",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_with_its_line(tmp_path, steps, place, said):
    path = recipe(tmp_path, tmp_path, *steps)
    with pytest.raises(RecipeError) as caught:
        load(path, [])
    assert f"recipe.yaml:{place}" in str(caught.value)
    assert said in str(caught.value)


def test_selections_of_other_domains_may_share_a_seed(tmp_path):
    path = recipe(
        tmp_path,
        tmp_path,
        "sample: {method: random, keep: 0.5}\n    only: [web]\n    name: one",
        "sample: {method: random, keep: 0.5}\n    only: [books]\n    name: two",
        "sample: {method: top, by: score, keep: 0.5}\n    name: three",
    )
    assert load(path, []).warnings == []


def test_selection_after_dedup_is_as_it_should_be_and_gives_no_warning(tmp_path):
    path = recipe(tmp_path, tmp_path, "minhash: {}", "sample: {method: random, keep: 0.5}")
    assert load(path, []).warnings == []


def test_a_share_that_no_curve_can_keep_says_so_and_what_it_was(tmp_path, capsys):
    path = recipe(
        tmp_path, corpus(tmp_path / "raw", [1.0] * 30 + [1e6] * 10), "sample: {by: score, method: gaussian, keep: 0.8}"
    )
    assert build(path, tmp_path / "root") == 1
    said = capsys.readouterr().err
    assert "`gaussian` by `score`, keep 0.8 of the documents: at most 0.75 of the documents can be kept" in said


# -- recipes -----------------------------------------------------------------------------------------------------------


RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("name", ["bertin", "harmful_text", "dataman"])
def test_the_recipes_of_selection_load(tmp_path, monkeypatch, name):
    (tmp_path / "model.arpa").write_text("a model")
    monkeypatch.setenv("RAW", str(tmp_path))
    monkeypatch.setenv("MODEL", str(tmp_path / "model.arpa"))
    found = load(RECIPES / f"{name}.yaml", [])
    assert found.warnings == []
    assert any(call.step is sample for call in found.steps)
    assert len((RECIPES / f"{name}.yaml").read_text().splitlines()) < 40


@pytest.mark.parametrize("method", ["low", "medium", "high", "random"])
def test_perplexity_pruning_is_one_recipe_with_three_bands(tmp_path, monkeypatch, method):
    (tmp_path / "model.arpa").write_text("a model")
    monkeypatch.setenv("RAW", str(tmp_path))
    monkeypatch.setenv("REFERENCE", "")
    ngrams = [f"steps.perplexity.model={tmp_path}/model.arpa"]  # a checkpoint: see tests/end_to_end/test_pruning.py
    found = load(RECIPES / "perplexity_pruning.yaml", [f"steps.pruned.method={method}", *ngrams])
    assert next(call for call in found.steps if call.name == "pruned").params["method"] == method
