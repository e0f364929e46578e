"""The step `quality`: classifiers given and trained, the two ways to label pages by losses of models, and refusals."""

import csv
import json
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.cli import main
from corpuskit.core.identity import File, file_digest
from corpuskit.errors import InputError, UsageError
from corpuskit.recipe import RecipeError, load
from corpuskit.steps.classifiers import NEGATIVE, POSITIVE, as_line, check_classifier, load_classifier, train
from corpuskit.steps.quality import quality
from tests.core.builder import digests
from tests.steps.step_runs import build, kept

WANTED, OTHERS = "river ferry winter stone water bank".split(), "buy cheap click now free offer".split()
SMALL = {"epochs": 30, "lr": 0.5, "word_ngrams": 2, "dimensions": 8, "buckets": 1000, "seed": 0}
SMALL_YAML = "epochs: 30, lr: 0.5, dimensions: 8, buckets: 1000"
RECIPE = """\
name: scored
batch_bytes: {batch_bytes}
sources:
  web:   {{read: jsonl, path: "{raw}/web/*"}}
  books: {{read: jsonl, path: "{raw}/books/*"}}
steps:
{steps}
"""
STEP = f"quality: {{train: {{positive: good.jsonl, negative: bad.jsonl, {SMALL_YAML}}}}}"


def texts(words, count, seed):
    """Texts of these words among common ones."""
    draw = random.Random(seed)
    return [" ".join(draw.choices([*words, "the", "of", "a"], k=12)) for _ in range(count)]


GOOD, BAD = texts(WANTED, 120, 1), texts(OTHERS, 120, 2)
SEEN_GOOD, SEEN_BAD = GOOD[:80], BAD[:80]


def write(path, found):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in found))
    return File(path)


def examples(good=SEEN_GOOD, bad=SEEN_BAD):
    return [(POSITIVE, pa.array(good, pa.string())), (NEGATIVE, pa.array(bad, pa.string()))]


def batch(found):
    return pa.record_batch({"text": pa.array(found, pa.string())})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.bin"
    train(path, examples(), **SMALL)
    return File(path)


def scored(model, found, label=POSITIVE):
    return quality(batch(found), model=model, label=label)["quality"].to_pylist()


def recipe(folder, *steps, batch_bytes=1 << 20):
    """A recipe over unseen texts of both kinds, with the texts to train on beside it."""
    for name, found in (
        ("raw/web/a", GOOD[80:100] + BAD[80:]),
        ("raw/books/a", GOOD[100:]),
        ("good", SEEN_GOOD),
        ("bad", SEEN_BAD),
    ):
        if not (folder / f"{name}.jsonl").exists():  # a file written anew has another key
            write(folder / f"{name}.jsonl", found)
    shown = "\n".join(f"  - {step}" for step in steps)
    (folder / "recipe.yaml").write_text(RECIPE.format(raw=folder / "raw", steps=shown, batch_bytes=batch_bytes))
    return folder / "recipe.yaml"


def corpus(root):
    return kept(root, "quality")


def trained(root):
    """The receipts of stages that trained a model."""
    return [json.loads(path.read_text()) for path in sorted(root.glob("stages/model-*/receipts/*.json"))]


# -- scores ------------------------------------------------------------------------------------------------------------


def test_unseen_texts_of_both_kinds_are_told_apart(model):
    good, bad = scored(model, GOOD[80:]), scored(model, BAD[80:])
    assert min(good) > 0.9
    assert max(bad) < 0.1
    opposite = scored(model, GOOD[80:], NEGATIVE)
    assert [a + b for a, b in zip(good, opposite, strict=True)] == pytest.approx([1] * len(good), abs=1e-4)


def test_scores_are_those_of_fasttext_itself(tmp_path):
    # by fastText 0.9.2 (fasttext-numpy2-wheel), of the same lines in the same order with the same settings
    path = tmp_path / "model.bin"
    train(path, examples(), **{**SMALL, "epochs": 4})
    found = scored(File(path), ["river ferry winter", "buy cheap now", "the", "unheard"])
    assert found == pytest.approx([0.997485, 0.002985, 0.304217, 0.460524], abs=2e-6)


def test_nothing_to_look_at_is_null_and_no_score_is_above_1(model):
    found = scored(model, [None, "", " \n\t\u3000", " ".join(WANTED * 50)])
    assert found[:3] == [None, None, None]
    assert 0.99 < found[3] <= 1


def test_lines_and_the_marks_of_fasttext_are_not_special(model):
    plain = " ".join(["buy", "cheap", *WANTED])
    for odd in (plain.replace(" ", "\n"), f"</s> {plain}", f"__label__positive {plain} __label__x"):
        assert scored(model, [odd]) == pytest.approx(scored(model, [plain]), abs=1e-6)
    assert as_line("a</s> x__label__b") == "a</s> x__label__b"  # words like others


@settings(max_examples=30)
@given(st.lists(st.sampled_from([*GOOD[:5], *BAD[:5], "", None, "x\ny"]), min_size=1, max_size=9), st.integers(0, 9))
def test_a_document_scores_the_same_whatever_stands_beside_it(model, found, cut):
    whole = scored(model, found)
    assert whole == (scored(model, found[:cut]) if cut else []) + (scored(model, found[cut:]) if found[cut:] else [])
    assert [score is None for score in whole] == [not text for text in found]


# -- training ----------------------------------------------------------------------------------------------------------


def test_training_again_gives_the_same_bytes_in_another_process_too(model, tmp_path):
    train(tmp_path / "again.bin", examples(), **SMALL)
    assert file_digest(tmp_path / "again.bin") == file_digest(Path(model))
    script = "import sys; sys.path.insert(0, '.'); from pathlib import Path; from tests.steps.test_quality import *; "
    script += f"train(Path({str(tmp_path / 'other.bin')!r}), examples(), **SMALL)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
    assert file_digest(tmp_path / "other.bin") == file_digest(Path(model))
    train(tmp_path / "seed.bin", examples(), **{**SMALL, "seed": 1})
    assert file_digest(tmp_path / "seed.bin") != file_digest(Path(model))


def test_the_model_stays_alone_and_its_texts_are_counted(tmp_path):
    given = [*examples([*SEEN_GOOD, "", " \n"], SEEN_BAD), (None, pa.array(GOOD[:7]))]
    counts = train(tmp_path / "model.bin", given, **SMALL)
    assert counts == {"positive": 80, "negative": 80, "blank": 2, "unused": 7}
    assert [path.name for path in tmp_path.iterdir()] == ["model.bin"]


def test_classes_that_stand_apart_are_mixed_before_training(tmp_path):
    # unshuffled, and with a single pass, what comes last would be all that is remembered
    settings_ = {**SMALL, "epochs": 1, "lr": 0.5}
    found = []
    for number, order in enumerate((examples(), examples()[::-1])):
        train(tmp_path / f"{number}.bin", order, **settings_)
        found.append(scored(File(tmp_path / f"{number}.bin"), ["the of a"])[0])
    assert abs(found[0] - found[1]) < 0.2


def test_a_rate_at_which_training_diverges_is_said(tmp_path):
    with pytest.raises(UsageError, match="training a classifier at `lr: 1e\\+30` fails"):
        train(tmp_path / "model.bin", examples(), **{**SMALL, "lr": 1e30})


def test_a_class_without_texts_is_refused(tmp_path):
    with pytest.raises(UsageError, match="there is no negative text to train"):
        train(tmp_path / "model.bin", examples(bad=["", " "]), **SMALL)


# -- in a recipe -------------------------------------------------------------------------------------------------------


def test_a_recipe_trains_once_scores_and_selects(tmp_path, capsys):
    path = recipe(tmp_path, STEP, "sample: {by: quality, method: top, keep: 0.5, weight: characters}")
    assert build(path) == 0
    assert "model-quality: 1 unit" in capsys.readouterr().err
    kept = corpus(tmp_path / "root")
    assert set(kept) <= set(GOOD)
    half = sum(map(len, GOOD[80:] + BAD[80:])) / 2
    assert sum(map(len, kept)) == pytest.approx(half, abs=max(map(len, GOOD)))
    (receipt,) = trained(tmp_path / "root")
    assert receipt["facts"]["trained"] == {"positive": 80, "negative": 80, "blank": 0, "unused": 0}
    # another share trains and scores nothing again; other texts do
    assert build(recipe(tmp_path, STEP, "sample: {by: quality, method: top, keep: 0.25}")) == 0
    said = capsys.readouterr().err
    assert "model-quality" not in said
    assert len(trained(tmp_path / "root")) == 1
    write(tmp_path / "bad.jsonl", SEEN_BAD[:40])
    assert build(tmp_path / "recipe.yaml") == 0
    assert len(trained(tmp_path / "root")) == 2


def test_a_trained_model_scores_as_when_it_is_given(tmp_path):
    assert build(recipe(tmp_path, STEP)) == 0
    (made,) = (tmp_path / "root").glob("stages/model-*/parts/*")
    step = f"quality: {{model: {made}, label: {POSITIVE}}}"
    assert build(recipe(tmp_path, step), root=tmp_path / "given") == 0
    assert corpus(tmp_path / "given") == corpus(tmp_path / "root")


def test_engine_workers_and_batches_change_no_byte(tmp_path):
    found = []
    for size, words in ((1 << 20, ("--engine", "inline")), (200, ("--engine", "local", "--workers", "2"))):
        assert build(recipe(tmp_path, STEP, batch_bytes=size), *words, root=tmp_path / str(size)) == 0
        found.append(digests(tmp_path / str(size)))
    assert found[0] == found[1]


def test_two_classifiers_for_some_domains_each(tmp_path):
    opposite = (
        STEP.replace("good.jsonl", "x").replace("bad.jsonl", "good.jsonl").replace("positive: x", "positive: bad.jsonl")
    )
    assert build(recipe(tmp_path, STEP + "\n    only: [web]", opposite + "\n    only: [books]")) == 0
    found = corpus(tmp_path / "root")
    assert min(found[text] for text in GOOD[80:100]) > 0.9
    assert max(found[text] for text in GOOD[100:]) < 0.1


def test_peek_says_that_the_model_is_missing(tmp_path, capsys):
    path = recipe(tmp_path, STEP)
    assert main(["peek", str(path), str(tmp_path / "raw/web/a.jsonl")]) == 0
    assert "quality: needs the model that `corpuskit run` trains" in capsys.readouterr().out


def test_a_text_file_read_in_another_way_has_another_key(tmp_path):
    keys = []
    for name in ("good.jsonl", "good.json", "good.txt"):
        params = {"positive": write(tmp_path / name, SEEN_GOOD), "negative": write(tmp_path / "bad.jsonl", SEEN_BAD)}
        keys.append(quality.fingerprint(quality.validate({"train": params})))
    assert keys[0] == keys[1] != keys[2]


def test_classifiers_that_take_turns_are_each_loaded_once(tmp_path, model):
    load_classifier.cache_clear()
    copies = [File(tmp_path / f"{number}.bin") for number in range(4)]
    for copy in copies:
        Path(copy).write_bytes(Path(model).read_bytes())
    for found in (GOOD[:2], BAD[:2], GOOD[2:4]):
        for copy in copies:
            scored(copy, found)
    assert load_classifier.cache_info().misses == 4
    load_classifier.cache_clear()


def test_peek_goes_on_past_rules_that_need_a_model_which_is_missing(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(
        textwrap.dedent("""
        import pyarrow.compute as pc

        from corpuskit import step

        @step.filter
        def sure(batch):
            return pc.greater(batch["quality"], 0.9)

        @step.signal(columns={"doubled": "float64"}, reads=True)
        def doubled(batch):
            return pc.multiply(batch["quality"].cast("float64"), 2)
        """)
    )
    mine = [f'"./mine.py:{name}": {{}}' for name in ("sure", "doubled")]
    rules = ["where: Quality > 0.5", *mine, "where: doubled > 1", "where: length(text) > 100000"]
    path = recipe(tmp_path, STEP, *rules)
    assert main(["peek", str(path), str(tmp_path / "raw/web/a.jsonl")]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("- ")] == [
        "- quality: needs the model that `corpuskit run` trains",
        "- Quality > 0.5: needs `quality`",
        "- sure: needs `quality`",
        "- doubled: needs `quality`",
        "- doubled > 1: needs `doubled`",
        "- length(text) > 100000: DROPPED",
    ]


def test_peek_shows_faults_of_steps_that_no_missing_column_explains(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(
        "from corpuskit import step\n\n@step.filter\ndef wrong(batch):\n    return batch['nothing']\n"
    )
    path = recipe(tmp_path, STEP, '"./mine.py:wrong": {}')
    assert main(["peek", str(path), str(tmp_path / "raw/web/a.jsonl")]) != 0
    assert "`wrong` raised KeyError" in capsys.readouterr().err


def test_a_model_larger_than_the_memory_of_a_worker_is_refused(tmp_path, capsys):
    path = recipe(tmp_path, STEP.replace("dimensions: 8, buckets: 1000", "dimensions: 100"))
    assert main(["plan", str(path), "--root", str(tmp_path / "root"), "--set", "memory=512MiB"]) != 0
    said = capsys.readouterr().err
    assert "recipe.yaml:7: the model that `quality` trains has at least 800,000,000 bytes" in said
    assert main(["plan", str(path), "--root", str(tmp_path / "root"), "--set", "memory=1GiB"]) == 0
    assert "762.9 MiB  new" in capsys.readouterr().out


def test_a_step_of_ones_own_can_train(tmp_path):
    (tmp_path / "mine.py").write_text(
        textwrap.dedent("""
        from pathlib import Path

        from corpuskit import step

        @step.signal(columns={"quality": "float32"})
        def near(batch, *, target: step.File, state=None):
            words = set(state.read_text().split())
            return [float(len(words & set(text.split()))) for text in batch["text"].to_pylist()]

        @near.train(when=lambda params: True, size=lambda params: 100)
        def _train(path, *, target: step.File):
            path.write_text(" ".join(sorted(set(Path(target).read_text().split()))))
            return {}
        """)
    )
    (tmp_path / "words.txt").write_text(" ".join(WANTED))
    assert build(recipe(tmp_path, '"./mine.py:near": {target: words.txt}')) == 0
    found = corpus(tmp_path / "root")
    assert found[GOOD[90]] == len(set(GOOD[90].split()) & set(WANTED))


# -- labels by the losses of models ------------------------------------------------------------------------------------


def tables(folder, losses, *, errors=None, models=None):
    """pages.jsonl, losses.csv and errors.csv; losses by page; a text says which page it is of."""
    count = len(next(iter(losses.values())))
    models = models or [f"m{number}" for number in range(count)]
    errors = errors or [0.9 - number / 10 for number in range(count)]
    with (folder / "losses.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", *models], *([page, *row] for page, row in losses.items())])
    with (folder / "errors.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["benchmark", *models[::-1]], ["all", *errors[::-1]]])
    lines = [json.dumps({"id": page, "text": f"text of {page}"}) + "\n" for page in losses]
    (folder / "pages.jsonl").write_text("".join(lines))
    return folder


def measured(folder, method, **given):
    names = {name: File(folder / f"{name}.csv") for name in ("losses", "errors")}
    params = {"pages": str(folder / "pages.jsonl"), "benchmark": "all", "method": method, **names, **given}
    return quality.validate({"train": {**params, "dimensions": 8, "buckets": 1000}})["train"]


def labels(folder, method, **given):
    """Pages by label."""
    from corpuskit.steps.quality import _measured

    found = {POSITIVE: [], NEGATIVE: [], None: []}
    for label, texts_ in _measured(measured(folder, method, **given)):
        found[label] += [text.removeprefix("text of ") for text in texts_.to_pylist()]
    return found


def test_preselect_takes_pages_in_the_order_of_the_models_against_the_worst(tmp_path):
    agreeing, swapped, opposite = [6, 5, 4, 3, 2, 1], [6, 5, 3, 4, 2, 1], [1, 2, 3, 4, 5, 6]
    losses = {"fifteen": agreeing, "fourteen": swapped, "none": opposite, "too": agreeing, "most": [1, 2, 3, 4, 6, 5]}
    found = labels(tables(tmp_path, losses), "preselect")
    assert found == {POSITIVE: ["fifteen", "too"], NEGATIVE: ["none", "most"], None: ["fourteen"]}


def test_perplexity_correlations_take_the_best_pages_up_to_their_share(tmp_path):
    # estimates 1, -0.4, -1, -0.8; pages of equal length, half of which is .5 of the text: two pages
    orders = {"a": [4, 3, 2, 1], "b": [2, 1, 4, 3], "c": [1, 2, 3, 4], "d": [1, 3, 2, 4]}
    folder = tables(tmp_path, orders)
    assert labels(folder, "perplexity_correlations", keep=0.5)[POSITIVE] == ["a", "b"]
    assert labels(folder, "perplexity_correlations", keep=0.51)[POSITIVE] == ["a", "b", "d"]  # takes the remainder
    assert labels(folder, "perplexity_correlations", keep=0.51)[NEGATIVE] == ["c"]
    # a long page fills more of the share
    lines = (folder / "pages.jsonl").read_text().replace("text of a", "text of " + "a" * 20)
    (folder / "pages.jsonl").write_text(lines)
    assert labels(folder, "perplexity_correlations", keep=0.5)[POSITIVE] == ["a" * 20]


def test_texts_of_one_id_are_one_page(tmp_path):
    folder = tables(tmp_path, {"a": [3, 2, 1], "b": [1, 2, 3], "c": [2, 1, 3]})
    with (folder / "pages.jsonl").open("a") as file:
        file.write(json.dumps({"id": "a", "text": "text of another"}) + "\n")
    assert labels(folder, "preselect")[POSITIVE] == ["a", "another"]


def test_labels_of_the_published_models(shared, tmp_path):
    from scipy.stats import spearmanr

    folder = shared / "mixing" / "perplexity_correlations"
    if not folder.exists():
        pytest.skip(f"needs {folder}")
    bits, benchmarks = (
        list(csv.reader((folder / name).read_text().splitlines()))
        for name in ("chunked_synthetic_sample_bpb_id.csv", "error.csv")
    )
    (sciq,) = (dict(zip(benchmarks[0], row, strict=True)) for row in benchmarks if row[0] == "sciq")
    errors = [float(sciq[model]) for model in bits[0][1:]]
    expected = {row[0]: spearmanr([float(cell) for cell in row[1:]], errors).statistic for row in bits[1:]}
    pages = [json.dumps({"id": page, "text": "ten bytes."}) + "\n" for page in expected]
    (tmp_path / "pages.jsonl").write_text("".join(pages))
    (tmp_path / "losses.csv").write_bytes((folder / "chunked_synthetic_sample_bpb_id.csv").read_bytes())
    (tmp_path / "errors.csv").write_bytes((folder / "error.csv").read_bytes())
    from corpuskit.steps.quality import _measured

    found = list(_measured(measured(tmp_path, "perplexity_correlations", keep=0.1, benchmark="sciq")))
    good = {page for page, (label, _) in zip(expected, found, strict=True) if label == POSITIVE}
    best = sorted(expected, key=expected.get, reverse=True)
    assert len(good) == 27  # a tenth of 263 pages of equal size, and the one that takes the remainder
    assert good == set(best[:27])


def test_a_recipe_trains_by_losses(tmp_path):
    draw = random.Random(3)
    losses, lines = {}, []
    for number in range(160):
        kind = number % 2
        page = f"p{number}"
        losses[page] = [5, 4, 3, 2, 1] if kind else [1, 2, 3, *draw.sample([4, 5], 2)]
        lines.append(json.dumps({"id": page, "text": (SEEN_GOOD if kind else SEEN_BAD)[number // 2]}) + "\n")
    tables(tmp_path, losses)
    (tmp_path / "pages.jsonl").write_text("".join(lines))
    for method, keep in (("preselect", ""), ("perplexity_correlations", "keep: 0.45,")):
        given = f"pages: pages.jsonl, losses: losses.csv, errors: errors.csv, benchmark: all, method: {method}, {keep}"
        step = f"quality: {{train: {{{given} {SMALL_YAML}}}}}"
        root = tmp_path / method
        assert build(recipe(tmp_path, step), root=root) == 0
        found = corpus(root)
        assert min(found[text] for text in GOOD[80:]) > max(found[text] for text in BAD[80:])
    assert trained(tmp_path / "preselect")[0]["facts"]["trained"]["positive"] == 80


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("as: x", "give `model`, a fastText classifier, or `train`"),
        ("model: good.jsonl", "`label`, the one whose probability is wanted"),
        ("label: x, train: {positive: good.jsonl, negative: bad.jsonl}", "goes with `model`"),
        ("model: good.jsonl, label: x, train: {positive: good.jsonl, negative: bad.jsonl}", "not both"),
        ("model: gone.bin, label: x", "there is no file"),
        ("train: {positive: good.jsonl}", "`train`: needs `positive`, `negative`; or `pages`, `losses`"),
        ("train: {positive: good.jsonl, negative: bad.jsonl, method: preselect}", "needs `positive`, `negative`; or"),
        ("train: {positive: good.jsonl, negative: bad.jsonl, keep: 0.1}", "goes with `perplexity_correlations`"),
        ("train: {positive: gone.jsonl, negative: bad.jsonl}", "there is no file"),
        ("train: {positive: good.jsonl, negative: bad.parquet}", "`bad.parquet` is neither .jsonl"),
        ("train: {positive: good.jsonl, negative: bad.jsonl, epochs: 0}", "`epochs` should be greater than or equal"),
        ("train: {positive: good.jsonl, negative: bad.jsonl, epoch: 1}", "did you mean `epochs`?"),
    ],
)
def test_parameters_that_do_not_go_together_are_refused_with_their_line(tmp_path, given, said):
    with pytest.raises(RecipeError) as caught:
        load(recipe(tmp_path, f"quality: {{{given}}}"), [])
    assert "recipe.yaml:7:" in str(caught.value)
    assert said in str(caught.value)


def test_a_label_that_the_model_lacks_is_named(model):
    with pytest.raises(UsageError, match="the model has no label `__label__positiv`") as caught:
        scored(model, ["x"], "__label__positiv")
    assert "did you mean `__label__positive`?" in str(caught.value.hint)


def test_what_is_no_model_is_named(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"no model")
    with pytest.raises(UsageError, match=r"model\.bin: not a fastText model"):
        load_classifier(tmp_path / "model.bin", "")


def test_a_line_to_train_on_that_cannot_be_read_is_not_passed_over(tmp_path, capsys):
    path = recipe(tmp_path, STEP)
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"txt": "b"}\n')
    assert build(path) != 0
    said = capsys.readouterr().err
    assert "bad.jsonl: line 2 (byte 14): no field `text`" in said
    assert "`quality` trains on all that it is given" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("losses.csv", "b,3", "b,x"), r"losses\.csv:3: `m0` of `b` is `x`, not a finite number"),
        (("losses.csv", "b,3", "b,nan"), r"losses\.csv:3: `m0` of `b` is `nan`"),
        (("losses.csv", "b,3", "b,"), r"losses\.csv:3: `m0` of `b` is empty"),
        (("losses.csv", "b,3,", "b,"), r"losses\.csv:3: 3 values for the 4 columns of the header"),
        (("losses.csv", "b,3", "a,3"), r"losses\.csv:3: `a` stands twice, first in line 2"),
        (("losses.csv", "id,m0", "id,m1"), r"losses\.csv:1: the column `m1` stands twice"),
        (("losses.csv", "id,m0", "id,m9"), r"losses\.csv:1: the model `m9` is not in .*errors\.csv"),
        (("errors.csv", "all,", "some,"), r"errors\.csv: no line for the benchmark `all`"),
        (("errors.csv", "all,0", "all,inf,0"), r"errors\.csv:2: 5 values for the 4 columns of the header"),
        (("errors.csv", "all,0.7", "all,inf"), r"errors\.csv:2: `m2` of `all` is `inf`"),
        (("pages.jsonl", '"id": "b"', '"id": "x"'), r"pages\.jsonl: the page `x` has no line in .*losses\.csv"),
        (("pages.jsonl", '"id": "b"', '"id": "a"'), r"losses\.csv: there is no text of the page `b` in"),
        (("pages.jsonl", '"id": "b", ', ""), r"pages\.jsonl: page 2 has no `id`"),
        (("pages.jsonl", '"id": "b"', '"id": 7'), r"pages\.jsonl: line 2 .*`id` is a number, not string"),
        (("losses.csv", "a,3,2,1", "a,1,2,3"), r"losses\.csv: no page is positive by `preselect`"),
        (("losses.csv", "b,3,1,2\r\nc,1,2,3", "b,3,2,1\r\nc,3,2,1"), r"losses\.csv: no page is negative"),
    ],
)
def test_tables_and_pages_that_do_not_fit_are_refused_with_file_and_line(tmp_path, change, said):
    folder = tables(tmp_path, {"a": [3, 2, 1], "b": [3, 1, 2], "c": [1, 2, 3]})
    name, before, after = change
    content = (folder / name).read_bytes().decode()
    assert before in content
    (folder / name).write_bytes(content.replace(before, after).encode())
    with pytest.raises((UsageError, InputError), match=said):
        labels(folder, "preselect")


def test_a_row_whose_name_holds_line_feeds_is_named_by_its_first_line(tmp_path):
    folder = tables(tmp_path, {"a\nb": [3, 2, 1], "b": [3, 1, 2], "c\nd": [1, 2, "x"]})
    with pytest.raises(UsageError, match=r"losses\.csv:5: `m2` of `c"):
        labels(folder, "preselect")


def test_spaces_about_the_id_of_a_page_are_part_of_it(tmp_path):
    folder = tables(tmp_path, {"a": [3, 2, 1], " a": [1, 2, 3]})
    assert labels(folder, "preselect") == {POSITIVE: ["a"], NEGATIVE: [" a"], None: []}


# -- the recipes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["preselect", "perplexity_correlations"])
def test_the_recipes_of_classifiers_load_and_train(tmp_path, monkeypatch, name):
    monkeypatch.setenv("RAW", str(tmp_path))
    monkeypatch.setenv("PAGES", str(tmp_path))
    tables(tmp_path, {"a": [3, 2, 1], "b": [3, 1, 2], "c": [1, 2, 3]})
    (tmp_path / "bits.csv").write_text((tmp_path / "losses.csv").read_text())
    path = Path(__file__).parents[2] / "recipes" / f"{name}.yaml"
    found = load(path, [])
    assert found.name == name
    assert found.warnings == []
    (call,) = (call for call in found.steps if call.step is quality)
    assert quality.trains(call.params)
    assert call.params["train"].method == name
    (tmp_path / "again.yaml").write_text(json.dumps(found.resolved(), default=str))
    assert load(tmp_path / "again.yaml", []).resolved() == found.resolved()


def test_a_damaged_model_is_refused_and_fasttext_is_not_asked(tmp_path):
    """Of a file that is cut short it reads sizes that are none, and goes on for ever."""
    whole = tmp_path / "whole.bin"
    texts = pa.array([f"some text {number}" for number in range(20)])
    train(
        whole, [(POSITIVE, texts), (NEGATIVE, texts)], epochs=1, lr=0.1, word_ngrams=2, dimensions=4, buckets=50, seed=0
    )
    content = whole.read_bytes()
    check_classifier(whole)
    cuts = [content[:size] for size in (0, 7, 63, 90, 100, 300, len(content) // 2, len(content) - 1)]
    zeros = [content[:at] + bytes(4) + content[at + 4 :] for at in (0, 8, 32, 36, 40, 64, 68, 72)]
    for number, damaged in enumerate([*cuts, *zeros, content + b"x"]):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(damaged)
        with pytest.raises(UsageError, match="not a fastText model, or a damaged one"):
            load_classifier(path, "")
