"""Editors that go by the JSON Schema complain of mistakes, and never of a recipe that stands."""

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from corpuskit.cli import starting
from corpuskit.recipe.schema import recipe_schema

SCHEMA = recipe_schema()
RECIPE = {"sources": {"web": {"read": "jsonl", "path": "a.jsonl"}}, "steps": [{"where": "true"}]}


def faults(recipe: Any) -> list[str]:
    return [error.message for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(recipe)]


@pytest.mark.parametrize("name", starting.templates())
def test_every_recipe_that_comes_with_corpuskit_is_valid(name: str) -> None:
    assert faults(yaml.safe_load(starting.templates()[name].read_text(encoding="utf-8"))) == []


def test_the_schema_is_one_and_describes_keys_steps_and_their_parameters() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    steps = SCHEMA["properties"]["steps"]["items"]["properties"]
    assert steps["minhash"]["description"]
    assert "threshold" in steps["minhash"]["anyOf"][0]["properties"]
    assert SCHEMA["properties"]["memory"]["description"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("memry", "2GiB"),
        ("sources", {}),
        ("sources", {"web": {"read": "jsnl", "path": "a"}}),
        ("sources", {"web": {"read": "jsonl"}}),
        ("steps", [{"minhsh": {}}]),
        ("steps", ["clean_chars"]),
        ("expect", "docs('web') > 3"),
    ],
)
def test_a_mistake_is_seen(key: str, value: Any) -> None:
    assert faults(RECIPE) == []
    wrong = copy.deepcopy(RECIPE) | {key: value}
    assert faults(wrong)


def test_own_steps_readers_and_numbers_as_text_pass() -> None:
    recipe = copy.deepcopy(RECIPE) | {"memory": "4GiB", "mix": {"tokenizer": "gpt2", "tokens": "500k"}}
    recipe["sources"]["mine"] = {"read": "./mine.py:reader", "path": "x", "limit": 3}
    recipe["steps"] += [
        {"./mine.py:filter": {"most": 3}, "name": "mine", "only": ["web"]},
        {"datatrove:RegexFilter": {}},
    ]
    assert faults(recipe) == []
    assert Path(starting.SCHEMA).suffix == ".json"
