"""The lock and the page on dependencies keep up with pyproject.toml."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
GROUPS = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
ASKED = [Requirement(text) for group in GROUPS for text in group]


def test_the_lock_pins_each_package_within_the_range_that_pyproject_allows():
    pins = re.findall(r"^([\w.-]+)==([\w.+]+)", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    for asked in ASKED:
        versions = [version for name, version in pins if name == asked.name.lower()]
        assert versions, f"{asked} is not in constraints.txt: run `make lock`"
        assert all(map(asked.specifier.contains, versions)), f"{asked}, but the lock has {versions}: run `make lock`"


def test_the_page_on_dependencies_names_each_package():
    words = set(re.findall(r"[\w-]+", (ROOT / "docs" / "dependencies.md").read_text("utf-8").lower()))
    assert {asked.name.lower() for asked in ASKED} <= words
