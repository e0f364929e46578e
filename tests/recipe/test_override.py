"""`--set` changes any value of a recipe, by the same rules and with the same reports as the file."""

from pathlib import Path

import pytest

STEPS = """\
steps:
  - ./steps.py:score: {}
  - where: score > 0.5
    name: low
  - minhash: {}
  - holdout:
mix: {tokenizer: {train: {}}}
"""


def test_values_are_yaml_and_tables_appear_where_there_are_none(make):
    recipe = make(
        STEPS,
        "name=other",
        "memory=1GiB",
        "mix.shards.seq_len=1k",
        "mix.weights={web: 0.25, books: 0.75}",
        "train.model=1M",
        "train.tokens=2M",
        "sources.web.path=[x.gz, y.gz]",
        "sources.books.path.1=z.gz",
        "expect=[docs('web') > 1]",
    )
    assert (recipe.name, recipe.memory, recipe.mix.shards.seq_len) == ("other", 1 << 30, 1000)
    assert recipe.mix.weights == {"web": 0.25, "books": 0.75}
    assert (recipe.train.model, recipe.train.tokens) == ("1M", 2_000_000)
    assert recipe.sources["web"].path == ["x.gz", "y.gz"]
    assert recipe.sources["books"].path == ["a.gz", "z.gz"]
    assert recipe.expect == ["docs('web') > 1"]


def test_a_step_is_named_by_number_name_reference_or_sql(make):
    recipe = make(
        STEPS,
        "steps.0.only=[web]",
        "steps.low.only=[web]",
        "steps.low.where=score > 0.75",
        "steps.2.minhash.threshold=0.9",
        "steps.minhash.permutations=256",
        "steps.holdout.tokens=5k",
        "steps../steps.py:score.level=9",
    )
    score, low, minhash, holdout = recipe.steps
    assert (score.only, score.params["level"]) == (["web"], 9)
    assert (low.name, low.only, low.params["expr"]) == ("low", ["web"], "score > 0.75")
    assert (minhash.params["threshold"], minhash.params["permutations"]) == (0.9, 256)
    assert holdout.params["tokens"] == 5000
    text = "steps: [{./steps.py:score: {}}, {where: score < 0.5}]\n"
    assert make(text, "steps.score < 0.5.name=high").steps[1].name == "high"


def test_later_overrides_win(make):
    assert make("", "salt=a", "salt=b").salt == "b"


def test_a_file_replaces_a_value_and_its_paths_start_at_its_folder(make, folder, monkeypatch):
    other = folder / "other"
    other.mkdir()
    (other / "readers.py").write_text("from corpuskit import step\n@step.source\ndef mine(file):\n    yield from ()\n")
    (other / "model.arpa").write_text("x")
    (other / "sources.yaml").write_text(
        "web: {read: './readers.py:mine', path: [raw/*.gz, 's3://bucket/x']}\nbooks: {read: jsonl, path: /abs/x}\n"
    )
    (other / "steps.yaml").write_text("- ../steps.py:named: {model: model.arpa}\n")
    monkeypatch.chdir(other)
    recipe = make("", "sources=@sources.yaml", "steps=@steps.yaml", "sources.books.path=mine/*.gz")
    assert recipe.sources["web"].path == [str(other / "raw/*.gz"), "s3://bucket/x"]
    assert recipe.sources["web"].read == f"{other}/readers.py:mine"
    assert recipe.sources["books"].path == ["mine/*.gz"]
    assert Path(recipe.steps[0].params["model"]) == other / "model.arpa"


def test_what_an_override_replaces_needs_no_environment_variable(make):
    sources = "sources: {web: {read: jsonl, path: '${RAW}/x'}}\n"
    assert make("", "sources.web.path=y", sources=sources).sources["web"].path == ["y"]
    assert make("", "sources.web.path=${OTHER}/y", sources=sources, OTHER="/o").sources["web"].path == ["/o/y"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("mix.tokens", "an override is KEY=VALUE or KEY=@FILE"),
        ("=3", "an override is KEY=VALUE"),
        ("mix.tokns=3", "did you mean `tokens`?"),
        ("mix.tokens=-3", "--set:1:12: `tokens` should be greater than or equal to 1 or be `max`, not `-3`"),
        ("mix.tokens=[", "--set:1:13: not YAML"),
        ("mix.tokens=@nope.yaml", "`nope.yaml` cannot be read: No such file"),
        ("salt.x=3", "`x` cannot be set"),
        ("sources.books.path.7=x", "`7` is no item: the list has 2"),
        ("steps.9.only=x", "there is no step 9: the recipe has 4"),
        ("steps.minhsah.threshold=1", "did you mean `minhash`?"),
        ("steps.minhash=1", "an override of a step names one of its keys"),
        ("steps.minhash.threshold=${NOPE}", "the environment variable `NOPE` is not set"),
        ("memory=", "`memory` should be bytes"),
    ],
)
def test_a_wrong_override_is_pointed_at_like_a_line_of_the_recipe(report, override, expected):
    found = report(STEPS + "salt: a\n", override)
    assert expected in found, found


def test_a_name_that_two_steps_have_is_ambiguous(report):
    text = "steps: [{where: text = ''}, {where: text = 'a'}]\n"
    assert "2 steps are `where`" in report(text, "steps.where.only=web")


def test_a_fault_in_an_overriding_file_names_that_file(report, folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "mix.yaml").write_text("tokenizer: {train: {}}\ntokns: 3\n")
    found = report("", "mix=@mix.yaml")
    assert found.startswith("mix.yaml:2:1: unknown key `tokns`\n")
