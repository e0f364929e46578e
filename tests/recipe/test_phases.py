"""`mix.phases` and the bounds of weights: what a recipe may say, where its faults are, and what its key holds."""

import json
import re
import textwrap
from pathlib import Path

import pytest
import yaml

from corpuskit.plan.planner import make as make_plan
from corpuskit.recipe import load
from corpuskit.shards.planning import mix_parameters

RECIPES = Path(__file__).parents[2] / "recipes"

START = """\
sources:
  web: {read: "./steps.py:lines", path: "web/*.gz"}
  books: {read: "./steps.py:lines", path: [a.gz, b.gz]}
mix:
  tokenizer: {train: {vocab_size: 300}}
"""


@pytest.fixture
def mix(make):
    """The `mix` of a recipe whose `mix` goes on with this text."""
    return lambda text: make("", sources=START + textwrap.indent(textwrap.dedent(text), "  ")).mix


@pytest.fixture
def faults(report):
    """`line: reason` of each fault of such a recipe."""

    def found(text):
        said = report("", sources=START + textwrap.indent(textwrap.dedent(text), "  "))
        return [f"{line}: {reason}" for line, reason in re.findall(r"recipe\.yaml:(\d+):\d+: (.*)", said)]

    return found


def test_phases_end_at_fractions_or_tokens_and_have_weights_and_lengths_of_their_own(mix):
    found = mix(
        """\
        tokens: 10B
        phases:
          - {until: 0.5, weights: {web: 1}, seq_len: 512}
          - {until: 8B, weights: {method: temperature, T: 2}}
          - {until: 1, weights: proportional, seq_len: 4096}
        """
    )
    assert [phase.until for phase in found.phases] == [0.5, 8e9, 1]
    assert [found.seq_len(phase) for phase in found.phases] == [512, 2048, 4096]
    assert found.longest == 4096
    assert found.phases[1].weights["T"] == 2
    assert found.phases[1].weights["size_limit"] is None, "a method has all its parameters"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("weights: {web: 1}\nphases: [{until: 1}]\n", ["6: `weights` and `phases` exclude each other"]),
        ("phases:\n  - {until: 0.8}\n  - {until: 0.5}\n", ["8: a phase ends at 0.5 of the tokens, and begins at 0.8"]),
        ("phases:\n  - {until: 0.8}\n", ["7: the last phase ends at 0.8 of the tokens"]),
        ("phases:\n  - {until: 2B}\n", ["7: `until: 2,000,000,000` is a number of tokens, and `tokens` is `max`"]),
        (
            "tokens: 1B\nphases:\n  - {until: 2B}\n",
            ["8: a phase ends at 2,000,000,000 tokens, and `tokens` is 1,000,0"],
        ),
        (
            "tokens: 9\nphases: [{until: 1.5}]\n",
            ["7: `until: 1.5` is neither a fraction of the tokens (at most 1) nor"],
        ),
        ("phases: [{until: 0}]\n", ["6: `until` should be greater than 0"]),
        ("phases: [{weights: {web: 1}}]\n", ["6: item 1 of `phases` needs the key `until`"]),
        ("phases: [{until: 1, seqlen: 3}]\n", ["6: unknown key `seqlen`"]),
        (
            "phases:\n  - {until: 0.5, seq_len: 500}\n  - {until: 1}\n",
            ["7: sequences of 500 do not divide the longest of the phases, 2,048"],
        ),
        (
            "phases:\n  - {until: 0.5, weights: {wbe: 1}}\n  - {until: 1, weights: {web: 0.5}}\n",
            ["7: unknown domain `wbe`", "8: the weights sum to 0.5, not to 1 (or to 100)"],
        ),
        (
            "phases:\n  - {until: 0.5, weights: {method: temperature, T: 0}}\n  - {until: 1, weights: unimax}\n",
            ["7: `T` should be greater than", "8: the weights of `unimax` depend on `mix.tokens`, which is `max`"],
        ),
        ("lower: {wbe: 0.1}\n", ["6: unknown domain `wbe`"]),
        ("upper: {web: 2}\n", ["6: `web` should be less than or equal to 1"]),
        ("lower: {web: 0.7}\nupper: {web: 0.6}\n", ["6: the lower bound of `web` is above its upper bound"]),
        ("lower: {web: 0.7, books: 0.6}\n", ["6: the lower bounds sum to more than 1"]),
        ("upper: {web: 0.3, books: 0.6}\n", ["6: the upper bounds of all domains sum to 0.9, less than 1"]),
        ("weights: {web: 0.7, books: 0.3}\nupper: {web: 0.6}\n", ["6: the weight of `web` is 0.7, above its upper"]),
        (
            "upper: {web: 0.6}\nphases: [{until: 0.5, weights: {web: 1}}, {until: 1, weights: {web: 50, books: 50}}]",
            ["7: the weight of `web` is 0.75, above its upper bound 0.6 over the whole run"],
        ),
    ],
)
def test_every_fault_is_reported_with_its_line(faults, text, expected):
    found = faults(text)
    assert len(found) == len(expected), found
    for said, wanted in zip(found, expected, strict=True):
        assert said.startswith(wanted), found


def test_a_bound_that_one_phase_exceeds_may_hold_over_the_run(mix):
    found = mix(
        """\
        upper: {web: 0.8}
        phases:
          - {until: 0.5, weights: {web: 1}}
          - {until: 1, weights: {web: 0.5, books: 0.5}}
        """
    )
    assert found.upper == {"web": 0.8}


def test_a_recipe_without_phases_and_bounds_keeps_its_key(mix):
    plain = mix_parameters(mix("weights: {web: 1}\n"))
    assert list(plain) == ["weights", "tokens", "max_epochs", "seq_len", "seed", "packing"]
    bounded = mix_parameters(mix("weights: {web: 1}\nlower: {web: 0.5}\n"))
    assert bounded == plain | {"lower": {"web": 0.5}}
    phased = mix_parameters(mix("phases: [{until: 1, weights: {web: 1}}]\n"))
    assert phased.pop("phases") == [{"until": 1, "weights": {"web": 1}, "seq_len": 2048}]
    assert phased | {"weights": {"web": 1}} == plain


def test_blocks_are_cut_once_for_all_phases_of_one_longest_length(tmp_path):
    (tmp_path / "web.jsonl").write_text('{"text": "a"}\n')

    def stages(phases):
        recipe = {"sources": {"web": {"read": "jsonl", "path": "web.jsonl"}}, "mix": {"tokenizer": "org/name"}}
        recipe["mix"]["phases"] = phases
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        return make_plan(load(tmp_path / "recipe.yaml", environ={})).stages

    short, long = {"until": 0.5, "seq_len": 64}, {"until": 1, "weights": {"web": 1}, "seq_len": 512}
    before = stages([short, long])
    assert before["blocks"].spec["seq_len"] == before["mixture"].spec["mix"]["seq_len"] == 512
    assert before["mixture"].run["weights"] == ["proportional", {"web": 1.0}]
    after = stages([short | {"seq_len": 128}, long])
    assert after["blocks"].key == before["blocks"].key
    assert after["mixture"].key != before["mixture"].key


@pytest.mark.parametrize("name", ["end_upsampling", "shortformer", "prolong"])
def test_the_recipes_with_phases_load_and_load_again_from_what_they_resolve_to(tmp_path, name):
    found = load(RECIPES / f"{name}.yaml", environ={"RAW": str(tmp_path)})
    (tmp_path / "resolved.yaml").write_text(yaml.safe_dump(found.resolved()))
    again = load(tmp_path / "resolved.yaml", environ={})
    assert again.mix == found.mix
    assert again.resolved() == found.resolved()


def test_the_recipe_of_prolong_has_the_published_shares(shared):
    path = shared / "mixing" / "prolong" / "mixes.json"
    if not path.exists():
        pytest.skip(f"needs {path}")
    published = json.loads(path.read_text())
    mix = load(RECIPES / "prolong.yaml", environ={"RAW": "/x"}).mix
    assert [phase.seq_len for phase in mix.phases] == [64 << 10, 512 << 10]
    for phase, stage in zip(mix.phases, ("64K", "512K"), strict=True):
        assert sorted(phase.weights.values()) == sorted(published[stage].values())
        assert phase.weights["books_64k"] == published[stage]["book-65536"]
        assert phase.weights["code_64k"] == published[stage]["thestackv1_concat_by_repo-65536"]
