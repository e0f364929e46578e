"""Built-in steps are found by name, and a recipe imports the files of its own steps alone."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from corpuskit.core import registry
from corpuskit.core.step import Step

LISTED = [
    (f"{room}.{file}", sorted(names))
    for room in registry.BUILT_IN
    for file, names in importlib.import_module(room).FILES.items()
]


@pytest.mark.parametrize(("module", "names"), LISTED, ids=[module for module, _ in LISTED])
def test_a_file_is_listed_with_the_steps_that_it_holds(module, names):
    held = [found.name for found in vars(importlib.import_module(module)).values() if isinstance(found, Step)]
    assert set(names) <= set(held)


def test_every_file_that_makes_a_step_is_listed():
    for room in registry.BUILT_IN:
        package = importlib.import_module(room)
        made = {path.stem for path in Path(package.__file__).parent.glob("*.py") if "\n@step." in path.read_text()}
        assert made <= set(package.FILES)
    unlisted = set(registry.builtin(("source", "signal", "filter", "edit", "preset", "barrier")))
    assert unlisted == {name for _, names in LISTED for name in names}


def test_one_step_is_found_without_the_others():
    code = (
        "import sys; from pathlib import Path; from corpuskit.core import registry\n"
        "assert registry.resolve('jsonl', ('source',), Path()).name == 'jsonl'\n"
        "print('corpuskit.sources.wikipedia' in sys.modules, 'corpuskit.steps.pii' in sys.modules)\n"
        "assert registry.resolve('pii', ('edit',), Path()).name == 'pii'\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", "False"]
