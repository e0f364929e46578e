"""The recipes that come with corpuskit: each loads, says what it is, and stays short enough to read."""

from pathlib import Path

import pytest
import yaml

from corpuskit.recipe import load

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_loads_and_loads_again_from_what_it_resolves_to(path, tmp_path):
    if any(
        name in path.read_text()
        for name in ("${MODEL}", "${REFERENCE}", "${TARGET}", "${PAGES}", "${CRAWL}", "${LISTS}", "${LANGUAGES}")
    ):
        pytest.skip("its own test makes the files that it opens")
    found = load(path, [], {"RAW": "/raw", "SITE_PACKAGES": "/packages"})
    assert found.name == path.stem
    again = tmp_path / "resolved.yaml"
    again.write_text(yaml.safe_dump(found.resolved(), sort_keys=False))
    assert load(again, [], {}).resolved() == found.resolved()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_short_and_says_how_to_run_it(path):
    lines = path.read_text().splitlines()
    comments = [line for line in lines if line.startswith("#")]
    assert lines[0] == comments[0]
    assert any("corpuskit run" in line for line in comments)
    assert len(lines) <= 65
