"""Runs to export: one whose sources share a domain and name licences, with shards cut in several files."""

import json
import random
from pathlib import Path

import pytest

from corpuskit.plan.planner import make
from corpuskit.recipe import load
from corpuskit.run.scheduler import run
from corpuskit.store.root import Root
from tests.core.builder import text

RECIPE = """\
name: exported
memory: 512MiB
sources:
  web:   {{read: jsonl, path: "{raw}/web.jsonl", columns: {{url: string, license: string}}}}
  forum: {{read: jsonl, path: "{raw}/forum.jsonl", domain: web, columns: {{votes: int64}}}}
  books: {{read: jsonl, path: "{raw}/books.jsonl", columns: {{license: string}}}}
steps:
  - holdout: {{tokens: 1k, seed: 1}}
"""
MIX = """\
mix:
  tokenizer: {train: {vocab_size: 300}}
  tokens: max
  max_epochs: 2
  phases:
    - {until: 0.5, seq_len: 32, weights: {web: 0.4, books: 0.6}}
    - {until: 1.0, weights: {web: 0.4, books: 0.6}}
  shards: {seq_len: 64, seed: 42, packing: best_fit}
"""


def write_raw(folder: Path) -> Path:
    """60 documents a source; some hold a word of another script, an empty line, or a licence of two parts."""
    rng = random.Random(0)
    licenses = ["MIT", "CC-BY-SA-3.0; CC-BY-SA-4.0", "LicenseRef-Own", None]
    for name in ("web", "forum", "books"):
        rows = [
            {
                "text": f"東京\n\n{text(rng, rng.choice((3, 40, 90)))}",
                "url": f"u/{k}",
                "votes": k,
                "license": licenses[k % 4],
            }
            for k in range(60)
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def build(folder: Path, extra: str) -> Root:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(raw=write_raw(folder)) + extra)
    plan, root = make(load(path, [])), Root(folder / "root")
    outcome = run(plan, root, root.new_run(path.read_text(), "resolved: here\n", plan), engine="inline")
    assert not outcome.failures, outcome.failures[0][1].traceback
    return root


@pytest.fixture(scope="package")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return build(tmp_path_factory.mktemp("mixed"), MIX)


@pytest.fixture(scope="package")
def unmixed(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return build(tmp_path_factory.mktemp("unmixed"), "")
