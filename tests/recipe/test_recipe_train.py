"""What `train:` of a recipe may say, and what of it is in the key of a training."""

import json

import pytest

from corpuskit.plan.planner import make
from corpuskit.recipe import load
from corpuskit.recipe.faults import RecipeError

RECIPE = """
sources: {web: {read: jsonl, path: '*.jsonl'}}
mix: {tokenizer: {train: {vocab_size: 300}}, weights: proportional, tokens: 1k}
train: {tokens: 1k, %s}
"""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("model: 'hf:x', mask: causal", "`lr` is missing: Step Law chooses it for models of corpuskit alone"),
        ("model: 'hf:x', mask: causal, lr: 1, batch_tokens: 9, optimizer: muon", "`optimizer` is for models of"),
        ("model: {width: 30, layers: 1, heads: 4}", "a width of 30 is not a multiple of 2 x 4 heads"),
        ("model: 1M, policy: {reference: x}", "`policy` is {'reference': 'x'}, not"),
    ],
)
def test_what_the_trainer_would_refuse_is_refused_by_check(given, said, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE % given)
    with pytest.raises(RecipeError) as raised:
        load(recipe, [])
    assert f"{recipe}:4:" in str(raised.value)
    assert said in str(raised.value)


def key(recipe):
    return make(load(recipe, [])).stages["train"].units[0].key


def test_a_model_of_transformers_is_what_its_file_says(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "recipe.yaml").write_text(
        RECIPE % "model: 'hf:model', lr: 0.01, batch_tokens: 64, mask: causal"  # beside the recipe
    )
    with pytest.raises(RecipeError, match=r"recipe\.yaml:4:.* there is no .*/model\n") as raised:
        key(tmp_path / "recipe.yaml")
    assert "give a config.json, or the folder that holds it" in str(raised.value)
    (tmp_path / "model").mkdir()
    config = tmp_path / "model/config.json"
    config.write_text(json.dumps({"model_type": "llama"}))
    before = key(tmp_path / "recipe.yaml")
    config.write_text(json.dumps({"model_type": "llama", "rms_norm_eps": 1e-3}))
    assert key(tmp_path / "recipe.yaml") != before
    config.write_text(json.dumps({"model_type": "llama"}))
    assert key(tmp_path / "recipe.yaml") == before
    (tmp_path / "moved").mkdir()
    for name in ("a.jsonl", "model", "recipe.yaml"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    assert key(tmp_path / "moved/recipe.yaml") == before
