"""YAML with places: plain values are those of YAML 1.2, every key's place is its place in the text."""

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from corpuskit.recipe import RecipeError
from corpuskit.recipe.faults import Document, Faults
from corpuskit.recipe.tree import Node, parse

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
TREES = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3)
)


def read(text: str) -> Node:
    faults = Faults("x.yaml")
    node = parse(text, Document("x.yaml", tuple(text.splitlines()), Path()), faults)
    faults.check()
    return node


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("1_000", 1000),
        ("-3", -3),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("500k", "500k"),
        ("1.5.2", "1.5.2"),
        ("'7'", "7"),
        ("!!str 7", "7"),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_scalars_follow_yaml_12(text, value):
    found = read(text).plain()
    assert found == value
    assert type(found) is type(value)


@given(TREES)
def test_what_pyyaml_writes_is_read_back(tree):
    # quoted, every value that is no text carries its tag: PyYAML writes YAML 1.1, where plain ones mean other things
    assert read(yaml.safe_dump(tree, default_style='"')).plain() == tree


@given(st.text(alphabet="ab:-[]{}&*!#|>'\"\t\n $,?%@", max_size=40))
def test_any_text_is_read_or_reported(text):
    with contextlib.suppress(RecipeError):
        assert isinstance(read(text), Node)


def test_places_are_those_of_the_keys_and_values():
    node = read("a:\n  - {bc: 1, d: 'x y'}\n")
    item = node.value["a"].value[0]
    assert str(node.keys["a"]) == "x.yaml:1:1"
    assert str(item.keys["d"]) == "x.yaml:2:13"
    span = item.value["d"].span
    assert (str(span), span.end - span.column) == ("x.yaml:2:16", 5)
    assert item.value["bc"].owner == item.keys["bc"]
