"""docs/recipe.md is what the models and steps say."""

from pathlib import Path

from corpuskit.core import registry
from corpuskit.recipe.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "recipe.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference(), "python -m corpuskit.recipe.reference > docs/recipe.md"


def test_every_builtin_step_and_reader_has_a_section_that_says_what_it_does():
    page = reference()
    for name, found in registry.builtin(["source", "signal", "filter", "edit", "preset", "barrier"]).items():
        assert f"# `{name}`\n" in page
        assert (found.__doc__ or "").strip(), f"{name} has no docstring"
