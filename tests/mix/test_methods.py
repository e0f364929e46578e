"""Methods by name: published weights, what a recipe may say, and a method in a file of one's own."""

import json
import textwrap
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from corpuskit.errors import CorpuskitError, UsageError
from corpuskit.mix.methods import builtin, identity, method, resolve
from corpuskit.mix.presets import resolve_weights
from corpuskit.mix.problem import Bucket, Constraints, Infeasible, Mixture, Problem
from corpuskit.mix.runs import Ratios, write_metrics, write_ratios
from corpuskit.recipe import RecipeError, load
from corpuskit.shards.planning import mix_parameters

MINE = """
from typing import Annotated
from fractions import Fraction
from pydantic import Field
from corpuskit.mix.methods import method
from corpuskit.mix.problem import Mixture, Problem
from corpuskit.step import File


@method
def halves(problem: Problem, *, first: str, table: File, share: Annotated[float, Field(le=1)] = 0.5) -> Mixture:
    others = [bucket.name for bucket in problem.buckets if bucket.name != first]
    rest = (1 - Fraction(share)) / len(others)
    return Mixture({first: Fraction(share), **dict.fromkeys(others, rest)})


@method
def broken(problem: Problem) -> Mixture:
    return Mixture({bucket.name: bucket.tokens + None for bucket in problem.buckets})
"""


def sizes(*tokens):
    return [Bucket(name, count, 1) for name, count in zip("abcdefgh", tokens, strict=False)]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"size_limit": 1000}, (0.047619, 0.476190, 0.476190)),
        ({"T": 2}, (0.070610, 0.223289, 0.706101)),
        ({"T": 2, "size_limit": 1000}, (0.136527, 0.431736, 0.431736)),
    ],
)
def test_t5_caps_first_and_then_takes_the_root(params, expected):
    found = resolve_weights({"method": "temperature", "T": 1, **params}, sizes(100, 1000, 10_000))
    assert list(found.weights.values()) == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize(("epochs", "expected"), [(1, (49, 10, 1)), (4, (28, 28, 4))])
def test_unimax_gives_what_its_loop_gives(epochs, expected):
    found = resolve_weights({"method": "unimax", "max_epochs": epochs}, sizes(100, 10, 1), 60)
    assert tuple(found.exact(name) * 60 for name in "abc") == expected


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=8), st.integers(1, 5), st.floats(0.01, 1))
def test_unimax_is_its_published_algorithm(tokens, epochs, share):
    budget = max(1, int(sum(tokens) * epochs * share))
    found = resolve_weights("unimax", sizes(*tokens), budget, Constraints(epochs))
    left, expected = Fraction(budget), {}
    for number, bucket in enumerate(sorted(sizes(*tokens), key=lambda bucket: bucket.tokens)):
        expected[bucket.name] = min(left / (len(tokens) - number), Fraction(epochs * bucket.tokens))
        left -= expected[bucket.name]
    assert left == 0
    assert {name: found.exact(name) * budget for name in expected} == expected


def test_a_budget_that_unimax_cannot_spend_is_an_error_and_no_normalization():
    with pytest.raises(Infeasible, match=r"112 tokens(?s:.*)largest feasible budget is 111 tokens"):
        resolve_weights({"method": "unimax", "max_epochs": 1}, sizes(100, 10, 1), 112)
    with pytest.raises(UsageError, match=r"`unimax` depend on `mix.tokens`(?s:.*)tokens: 10B"):
        resolve_weights("unimax", sizes(100, 10, 1))


def test_nearest_is_the_table_itself_where_no_cap_is_hit_and_moves_on_where_one_is():
    table = {"a": 0.2, "b": 0.3, "c": 0.5}
    asked = {"method": "nearest", "to": table}
    assert dict(resolve_weights(asked, sizes(100, 100, 100), 100).weights) == table
    found = resolve_weights(asked, sizes(100, 100, 10), 100, Constraints(4))
    assert [found.exact(name) for name in "abc"] == [Fraction(24, 100), Fraction(36, 100), Fraction(40, 100)]


def test_slimpajama_dc_6_fits_its_tokens_once(shared):
    published = json.loads((shared / "mixing" / "slimpajama_dc.json").read_text())["_available_tokens_B"]
    buckets = [Bucket(name.lower(), count * 10**9, 1) for name, count in published.items()]
    found = resolve_weights({"method": "nearest", "to": "slimpajama-dc-6"}, buckets, 330 * 10**9, Constraints(1))
    assert dict(found.weights) == dict(resolve_weights("slimpajama-dc-6", buckets).weights)


def test_empty_domains_get_nothing_and_an_empty_corpus_is_said():
    for name in ("proportional", {"method": "temperature", "T": 2}, "unimax"):
        found = resolve_weights(name, [*sizes(10, 30), Bucket("z", 0, 0)], 20)
        assert found.weights["z"] == 0
        with pytest.raises(Infeasible, match="holds no document"):
            resolve_weights(name, [Bucket("z", 0, 0)], 20)


def test_an_unknown_method_or_parameter_says_what_is_near():
    with pytest.raises(UsageError, match="did you mean `temperature`"):
        resolve_weights({"method": "temprature"}, sizes(1))
    with pytest.raises(UsageError, match="`temperature`: `T`: Input should be greater"):
        resolve_weights({"method": "temperature", "T": 0.5}, sizes(1))


def recipe(folder, mix):
    (folder / "mine.py").write_text(MINE)
    (folder / "table.csv").write_text("a\n1\n")
    path = folder / "recipe.yaml"
    path.write_text(
        'sources:\n  web: {read: jsonl, path: "web/*.gz"}\n  books: {read: jsonl, path: "books/*.gz"}\n'
        f"mix: {{tokenizer: {{train: {{}}}}, {mix}}}\n"
    )
    return load(path, [], {})


def test_a_recipe_names_a_method_with_its_parameters(tmp_path):
    found = recipe(tmp_path, "weights: {method: temperature, T: 2}")
    assert found.mix.weights == {"method": "temperature", "T": 2, "size_limit": None}
    assert found.resolved()["mix"]["weights"] == found.mix.weights
    assert mix_parameters(found.mix)["weights"]["method"]["params"] == {"T": 2, "size_limit": None}


def test_a_domain_may_be_called_method(tmp_path):
    with pytest.raises(RecipeError, match="unknown domain `method`"):
        recipe(tmp_path, "weights: {method: 0.5, web: 0.5}")


def test_a_method_in_a_file_of_ones_own(tmp_path):
    found = recipe(tmp_path, "weights: {method: ./mine.py:halves, first: web, table: table.csv}")
    called = found.mix.weights
    assert called["table"] == str(tmp_path / "table.csv")
    assert dict(resolve_weights(called, [Bucket("web", 9, 1), Bucket("books", 9, 1)]).weights) == {
        "web": 0.5,
        "books": 0.5,
    }
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(found.resolved()))
    assert load(again, [], {}).mix.weights == called


def test_the_key_holds_what_a_methods_files_say_and_not_where_they_are(tmp_path):
    text = "weights: {method: ./mine.py:halves, first: web, table: table.csv}"
    keys = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        keys.append(identity(recipe(tmp_path / name, text).mix.weights))
    assert keys[0] == keys[1]
    assert str(tmp_path) not in json.dumps(keys)
    (tmp_path / "two" / "table.csv").write_text("another\n")
    assert identity({**recipe_weights(tmp_path / "two")}) != keys[0]


def recipe_weights(folder):
    return {"method": f"{folder}/mine.py:halves", "first": "web", "table": str(folder / "table.csv")}


def test_a_step_is_no_method_and_a_wrong_result_is_said(tmp_path):
    (tmp_path / "wrong.py").write_text(
        "from corpuskit import step\nfrom corpuskit.mix.methods import method\n"
        "@step.filter\ndef keep(batch): return None\n@method\ndef none(problem): return 7\n"
    )
    with pytest.raises(UsageError, match="is a filter, not a method"):
        resolve("./wrong.py:keep", tmp_path)
    with pytest.raises(UsageError, match="gave a int, not a Mixture"):
        resolve("./wrong.py:none", tmp_path).solve(Problem(sizes(1)), {})


def test_a_method_of_ones_own_is_told_what_it_lacks(tmp_path):
    head = "from corpuskit.mix.methods import method\nfrom corpuskit.mix.problem import Mixture\n"
    files = {
        "positional": "@method\ndef positional(problem, power=2): ...\n",
        "bare": "def bare(problem): return Mixture({'a': 1})\n",
        "typo": "@method\ndef typo(problem): return Mixture({'bookz': 1})\n",
        "library": "@method(libraries=('no-such-package',))\ndef library(problem): ...\n",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(head + text)
    with pytest.raises(UsageError, match=r"`positional` is no method: .* after `\*`\n.*def positional\(problem"):
        resolve("./positional.py:positional", tmp_path)
    with pytest.raises(UsageError, match=r"`bare` is not a method \(decorate it with @method"):
        resolve("./bare.py:bare", tmp_path)
    with pytest.raises(UsageError, match=r"`typo` gave weight to `bookz`, which is no domain\n.*`books`"):
        resolve("./typo.py:typo", tmp_path).solve(Problem([Bucket("books", 1, 1)]), {})
    with pytest.raises(UsageError, match=r"needs no-such-package, which is not installed\n.*pip install"):
        resolve("./library.py:library", tmp_path).fingerprint({})


def test_the_key_holds_the_versions_of_libraries():
    made = method(libraries=("numpy",))(lambda problem: Mixture({"a": 1}))
    assert made.fingerprint({})["libraries"] == {"numpy": np.__version__}


def test_every_method_says_what_it_does_and_where_it_is_from():
    assert {"proportional", "temperature", "unimax", "nearest"} <= set(builtin())
    assert all((found.__doc__ or "").strip() for found in builtin().values())


def test_the_recipes_of_methods_load(tmp_path, monkeypatch):
    monkeypatch.setenv("RAW", str(tmp_path))
    for name in ("t5_mixing", "unimax", "data_constrained"):
        found = load(Path(__file__).parents[2] / "recipes" / f"{name}.yaml", [])
        assert found.mix is not None, name


def test_the_method_in_the_documentation_works_as_it_stands(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "concepts.md").read_text()
    code = text[text.index("    # mine.py\n") : text.index("The recipe says `weights: {method: ./mine.py:roots")]
    (tmp_path / "mine.py").write_text(textwrap.dedent(code))
    found = resolve("./mine.py:roots", tmp_path)
    generator = np.random.default_rng(0)
    ratios = np.column_stack([generator.dirichlet(np.ones(3), 30), np.zeros(30)])  # the last is in no run
    losses = 3 - np.sqrt(ratios) @ [0.3, 0.2, 0.5, 9] + generator.normal(0, 0.003, 30)
    runs = tuple(str(run) for run in range(30))
    write_ratios(tmp_path / "ratios.csv", Ratios(runs, tuple("abcd"), ratios))
    write_metrics(tmp_path / "metrics.csv", runs, ["loss"], losses[:, None])
    params = found.validate({"runs": str(tmp_path / "ratios.csv"), "losses": str(tmp_path / "metrics.csv"), "kl": 0})
    best = np.array([0.3, 0.2, 0.5]) ** 2  # where the slopes b / 2 sqrt(r) are equal
    mixture = found.solve(Problem(sizes(1000, 1000, 1000, 1000), 100), params)
    assert mixture.weights == pytest.approx(dict(zip("abc", best / best.sum(), strict=True)), abs=0.05)


def test_a_method_in_a_file_needs_no_table_and_its_faults_name_its_line(tmp_path):
    found = recipe(tmp_path, "weights: ./mine.py:broken")
    with pytest.raises(CorpuskitError, match=r"`broken` raised TypeError: .*mine.py:\d+\)"):
        resolve_weights(found.mix.weights, [Bucket("web", 9, 1), Bucket("books", 9, 1)])
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(found.resolved()))
    assert load(again, [], {}).mix.weights == found.mix.weights
