"""A recipe that loads has everything filled in, presets expanded, rules named, and files resolved."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from corpuskit.core.numbers import parse_bytes, parse_count
from corpuskit.recipe import Recipe, RecipeError, load
from corpuskit.step import File

REPOSITORY = Path(__file__).parents[2]
MIX = "mix: {tokenizer: {train: {}}}\n"


def names(recipe: Recipe) -> list[str]:
    return [call.name for call in recipe.steps]


def test_a_minimal_recipe_has_the_documented_defaults(make, folder):
    recipe = make()
    assert (recipe.name, recipe.path, recipe.base) == ("recipe", folder / "recipe.yaml", folder)
    assert (recipe.memory, recipe.batch_bytes, recipe.max_doc_bytes) == (2 << 30, 8 << 20, 64 << 20)
    assert (recipe.keep_dropped, recipe.salt, recipe.steps) == (False, "", [])
    assert (recipe.mix, recipe.train, recipe.expect, recipe.warnings) == (None, None, [], [])
    web = recipe.sources["web"]
    assert (web.path, web.domain, web.on_error, web.params) == (["web/*.gz"], "web", "fail", {"field": "text"})
    assert (web.read, web.line) == ("./steps.py:lines", 2)
    assert recipe.sources["books"].path == ["a.gz", "b.gz"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.memory = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("written", "parsed"),
    [("4GiB", 4 << 30), ("512 MiB", 512 << 20), ("2GB", 2 * 10**9), ("1.5KiB", 1536), ("4 G", "4 G"), (7, 7)],
)
def test_bytes_are_written_with_units(written, parsed):
    assert parse_bytes(written) == parsed


@pytest.mark.parametrize(
    ("written", "parsed"),
    [
        ("500k", 500_000),
        ("2M", 2_000_000),
        ("1.1B", 1_100_000_000),
        ("4.35T", 4_350_000_000_000),
        ("0.0001k", "0.0001k"),
        ("2m", "2m"),
    ],
)
def test_counts_are_written_with_decimal_suffixes_and_are_exact(written, parsed):
    assert parse_count(written) == parsed


def test_counts_are_understood_wherever_a_whole_number_is_wanted(make):
    recipe = make(
        """\
        steps: [{./steps.py:short: {max_hits: 2k}}]
        mix: {tokenizer: {train: {vocab_size: 32k}}, tokens: 1.5M}
        train: {model: 20M, tokens: 1M}
        """
    )
    assert recipe.steps[0].params["max_hits"] == 2000
    assert recipe.mix.tokenizer.train.vocab_size == 32_000
    assert recipe.mix.tokens == 1_500_000
    assert (recipe.train.model, recipe.train.tokens) == ("20M", 1_000_000)


def test_names_are_the_sql_of_a_where_the_step_otherwise_and_signals_are_numbered(make):
    recipe = make(
        """\
        steps:
          - ./steps.py:score: {}
          - ./steps.py:score: {}
            only: web
          - where: score < 0.5
          - where: score < 0.4
            name: low
          - ./steps.py:short:
        """
    )
    assert names(recipe) == ["score", "score-2", "score < 0.5", "low", "short"]
    assert recipe.steps[2].params == {"expr": "score < 0.5"}
    assert [call.only for call in recipe.steps] == [None, ["web"], None, None, None]
    assert [call.line for call in recipe.steps] == [5, 6, 8, 9, 11]


def test_a_preset_is_its_rules_prefixed_by_its_name_and_for_its_domains(make):
    recipe = make(
        """\
        steps:
          - ./steps.py:pair: {}
          - ./steps.py:pair: {most: 2}
            name: books
            only: [books]
        """
    )
    assert names(recipe) == ["score", "most", "score > 0", "books.score", "books.most", "books.score > 0"]
    assert [call.only for call in recipe.steps] == [None] * 3 + [["books"]] * 3
    assert recipe.steps[4].params == {"expr": "score < 2.0"}
    assert {call.line for call in recipe.steps[3:]} == {6}


def test_the_builtin_preset_expands_to_rules_that_read_its_own_columns(make):
    recipe = make("steps: [{gopher_quality: {min_words: 9}}]\n")
    assert recipe.steps[0].step.name == "heuristics"
    assert {call.step.name for call in recipe.steps[1:]} == {"where"}


def test_holdout_is_added_with_a_mix_unless_the_recipe_speaks_of_it(make):
    assert names(make(MIX)) == ["holdout"]
    assert names(make(MIX + "steps: [{./steps.py:score: {}}]\n")) == ["score", "holdout"]
    own = make(MIX + "steps: [{holdout: {tokens: 500k}}, {./steps.py:score: {}}]\n")
    assert names(own) == ["holdout", "score"]
    assert own.steps[0].params["tokens"] == 500_000
    assert names(make(MIX + "steps: [{holdout: none}]\n")) == []
    assert names(make()) == []


def test_files_resolve_against_the_recipe_wherever_it_is_loaded_from(make, folder, monkeypatch):
    text = "steps: [{./steps.py:named: {model: model.arpa, as: wiki}}, {where: wiki < 3}]\n"
    monkeypatch.chdir("/")
    params = make(text).steps[0].params
    assert params == {"model": str(folder / "model.arpa"), "as_": "wiki"}
    assert isinstance(params["model"], File)


def test_a_tokenizer_is_a_file_where_there_is_one_and_else_a_hub_name(make, folder):
    (folder / "tok.json").write_text("{}")
    (folder / "gpt").mkdir()
    (folder / "gpt" / "tokenizer.json").write_text("{}")
    assert make("mix: {tokenizer: tok.json}\n").mix.tokenizer == File(folder / "tok.json")
    assert make("mix: {tokenizer: gpt}\n").mix.tokenizer == File(folder / "gpt" / "tokenizer.json")
    hub = make("mix: {tokenizer: openai-community/gpt2}\n").mix.tokenizer
    assert hub == "openai-community/gpt2"
    assert not isinstance(hub, File)


def test_variables_are_replaced_in_texts_and_keys_are_text_whatever_they_look_like(make):
    recipe = make(
        "mix: {tokenizer: {train: {}}, weights: {no: 0.5, 2020: 0.5}}\n",
        sources="sources:\n  no: {read: jsonl, path: '${RAW}/x'}\n  2020: {read: jsonl, path: on}\n",
        RAW="/data",
    )
    assert recipe.sources["no"].path == ["/data/x"]
    assert recipe.sources["2020"].path == ["on"]
    assert recipe.mix.weights == {"no": 0.5, "2020": 0.5}


def test_several_sources_may_share_a_domain(make):
    text = "sources:\n  a: {read: jsonl, path: a, domain: web}\n  b: {read: jsonl, path: b, domain: web}\n"
    recipe = make("steps: [{where: text != '', only: [web]}]\n", sources=text)
    assert {source.domain for source in recipe.sources.values()} == {"web"}


@pytest.mark.parametrize(
    "text",
    [
        "steps: [{where: title = ''}]",
        "steps: [{where: score > 1}, {./steps.py:score: {}}]",
        "steps: [{./steps.py:score: {}, only: [web]}, {where: score > 1}]",
        "steps: [{./steps.py:score: {}, only: [web]}, {where: score > 1, only: [books]}]",
    ],
)
def test_a_rule_on_a_column_that_is_not_computed_above_it_for_its_domain_is_refused(report, text):
    assert "which nothing computes for" in report(text + "\n")


@pytest.mark.parametrize(
    "text",
    [
        "steps: [{where: \"url LIKE 'https%' AND year > 2000 AND URL IS NOT NULL\"}]",
        "steps: [{./steps.py:score: {}, only: [web]}, {where: score > 1, only: [web]}]",
        "steps: [{./steps.py:undeclared: {}}, {where: undeclared > 1}]",
        "steps: [{where: \"domain = 'web' OR length(text) > 9 OR doc = 3 OR meta IS NULL\"}]",
    ],
)
def test_a_rule_may_read_what_the_reader_keeps_and_the_signals_above_it(make, text):
    assert make(text + "\n").steps


def test_a_column_that_one_source_of_a_domain_lacks_is_missing(report):
    text = "sources:\n  a: {read: './steps.py:lines', path: a, domain: web}\n  b: {read: jsonl, path: b, domain: web}\n"
    assert "`year`, which nothing computes for `web`" in report("steps: [{where: year > 3}]\n", sources=text)


def test_a_rule_on_a_column_of_one_source_is_told_to_be_for_that_domain_only(report):
    text = "sources:\n  web: {read: jsonl, path: a}\n  tickets: {read: jsonl, path: b, columns: {notes: string}}\n"
    assert "set `only: [tickets]` here" in report("steps: [{where: notes != ''}]\n", sources=text)


def test_a_rule_must_fit_the_types_of_its_columns(report):
    assert "not true or false" in report("steps: [{where: year + 1}]\n")


def test_what_is_allowed_but_seldom_meant_is_warned_about(make):
    recipe = make(
        """\
        steps:
          - ./steps.py:score: {}
          - minhash: {}
          - ./steps.py:score: {level: 4}
          - where: score > 1
          - ./steps.py:upper: {}
        """
    )
    filtered, edited, later = recipe.warnings
    assert "recipe.yaml:7:5: `score-2` computes the column `score` anew" in later
    assert "can drop the last copy of a cluster" in filtered
    assert "changes texts that were compared before" in edited


def test_what_drops_or_edits_below_a_dedup_step_is_warned_about_once_and_by_its_name(make):
    recipe = make(
        """\
        steps:
          - where: text > ''
          - exact: {}
          - where: text > 'a'
          - minhash: {}
            name: fuzzy
          - where: text > 'b'
        """
    )
    first, second = recipe.warnings
    assert "`text > 'a'` comes after `exact`: it can drop the last copy of a cluster" in first
    assert "`text > 'b'` comes after `fuzzy`: it can drop the last copy of a cluster" in second


def test_hash_is_written_as_it_is_named(make):
    (step,) = make("steps: [{minhash: {hash: datasketch, preset: fineweb}}]\n").steps
    made = step.step.function(**step.params)
    assert (made["hash"], made["bands"], made["rows"]) == ("datasketch", 14, 8)


def test_what_resolves_loads_to_the_same_recipe_from_another_folder(make, tmp_path_factory):
    recipe = make(
        """\
        memory: 1GiB
        steps:
          - ./steps.py:pair: {}
            only: [web]
          - ./steps.py:named: {model: model.arpa, as: wiki}
          - ./steps.py:score: {}
          - ./steps.py:short: {window: {unit: word}}
          - exact: {keep: [books], scope: domain}
          - minhash: {shingle: {unit: word}, keep: [books], hash: datasketch, preset: high_recall}
          - holdout: none
        mix: {tokenizer: {train: {}}, weights: {web: 0.7, books: 0.3}, tokens: 1M}
        train: {model: 1M, tokens: 1M, lr: 1e-3}
        expect: [docs('web') > 1]
        """
    )
    resolved = recipe.resolved()
    assert json.loads(json.dumps(resolved)) == resolved
    path = tmp_path_factory.mktemp("elsewhere") / "resolved.yaml"
    path.write_text(yaml.safe_dump(resolved, sort_keys=False))
    again = load(path, environ={})
    assert again.resolved() == resolved
    for first, second in zip(recipe.steps, again.steps, strict=True):
        assert (first.name, first.only) == (second.name, second.only)
        assert first.step.fingerprint(first.params) == second.step.fingerprint(second.params)


def test_the_recipe_of_slimpajama_loads_and_is_the_published_build():
    recipe = load(REPOSITORY / "recipes" / "slimpajama.yaml", environ={"RAW": "/anything"})
    assert recipe.warnings == []
    assert list(recipe.sources) == ["commoncrawl", "c4", "github", "books", "arxiv", "wikipedia", "stackexchange"]
    assert names(recipe) == ["normalize", "clean_chars", "too_short", "minhash", "holdout"]
    minhash, holdout = recipe.steps[3].params, recipe.steps[4].params
    assert (minhash["permutations"], minhash["threshold"], minhash["shingle"].n) == (128, 0.8, 13)
    assert holdout == {"tokens": 500_000, "seed": 42, "dedup_train": True}
    assert (recipe.mix.weights, recipe.mix.tokens, recipe.mix.shards.seq_len) == ("slimpajama-dc-6", "max", 2048)
    with pytest.raises(RecipeError, match="the environment variable `RAW` is not set"):
        load(REPOSITORY / "recipes" / "slimpajama.yaml", environ={})


def test_the_starter_recipe_is_valid_as_it_is():
    recipe = load(REPOSITORY / "corpuskit" / "cli" / "recipe_template.yaml", environ={})
    assert names(recipe) == ["normalize", "clean_chars", "too_short", "minhash", "holdout"]
    assert recipe.warnings == []


def test_loading_a_recipe_imports_neither_torch_nor_numba():
    code = (
        "import sys; from pathlib import Path; from corpuskit.recipe import load;"
        "load(Path('recipes/slimpajama.yaml'), environ={'RAW': '/x'});"
        "assert not {'torch', 'numba', 'datatrove'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
