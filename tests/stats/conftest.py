"""A real run of a small recipe with a mixture, made once; tests that change something copy it."""

import shutil
from pathlib import Path

import pytest

from corpuskit.plan.planner import make
from corpuskit.recipe import load
from corpuskit.run.scheduler import run
from corpuskit.store.root import Root
from tests.core.builder import corpus, recipe

EXTRA = """\
mix:
  tokenizer: {train: {vocab_size: 400}}
  weights: {web: 0.4, books: 0.6}
  tokens: max
  max_epochs: 2
  shards: {seq_len: 64, seed: 42}
"""


@pytest.fixture(scope="package")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="package")
def finished(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    path = recipe(folder, raw, extra=EXTRA)
    loaded = load(path, [])
    plan, root = make(loaded), Root(folder / "root")
    outcome = run(plan, root, root.new_run(path.read_text(), "resolved: here\n", plan), engine="inline")
    assert not outcome.failures, outcome.failures[0][1].traceback
    return folder / "root"


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Root:
    """A copy of the run that a test may change, in a folder whose name is hard for SQL and glob patterns."""
    return Root(Path(shutil.copytree(finished, tmp_path / "a 'root' [of] {one}*")))
