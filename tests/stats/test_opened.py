"""A run opened from Python: frames that agree with its files, and datasketch's index over its signatures."""

import json
import random
from pathlib import Path

import duckdb
import polars as pl
import pytest

import corpuskit
from corpuskit.cli import main
from corpuskit.errors import UsageError
from corpuskit.store.root import Root
from tests.core.builder import text

RECIPE = """\
name: near
sources:
  web:   {read: jsonl, path: "web.jsonl", columns: {url: string}}
  books: {read: jsonl, path: "books.jsonl"}
steps:
  - clean_chars: {}
  - where: clean_chars >= 60
    name: too_short
  - minhash: {hash: HASH, shingle: {unit: word, n: 3}, threshold: 0.7, keep: [books, web]}
"""


def build(folder: Path, hash_: str) -> Path:
    rng = random.Random(4)
    texts = [text(rng) for _ in range(30)]
    near = [one.replace(" ", " edited ", 1) for one in texts[:5]]
    rows = {"books": texts[:10], "web": [*texts[10:], *near, "short"]}
    for name, some in rows.items():
        lines = [json.dumps({"text": one, "url": f"https://{name}/{n}"}) for n, one in enumerate(some)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "recipe.yaml").write_text(RECIPE.replace("HASH", hash_))
    assert main(["run", str(folder / "recipe.yaml"), "--root", str(folder / "root"), "--engine", "inline"]) == 0
    return folder / "root"


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("near"), "datasketch")


def test_the_corpus_is_a_lazy_frame_over_all_domains(near: Path) -> None:
    frame = corpuskit.open_run(near).corpus()
    assert isinstance(frame, pl.LazyFrame)
    found = frame.group_by("domain").agg(pl.len(), pl.col("url").null_count().alias("without")).sort("domain").collect()
    assert found.rows() == [("books", 10, 10), ("web", 20, 0)]
    files = duckdb.sql(f"SELECT doc, text FROM '{near}/corpus/*/*.parquet'").fetchall()
    assert sorted(frame.select("doc", "text").collect().rows()) == sorted(files)


def test_statistics_and_rules_are_frames(near: Path) -> None:
    run = corpuskit.open_run(near)
    stats = run.stats().sort("domain")
    assert stats.select("domain", "read", "dropped", "near", "kept").rows() == [
        ("books", 10, 0, 0, 10),
        ("web", 26, 1, 5, 20),
    ]
    assert run.rules().rows() == [("web", "too_short", 1, 1 / 26)]


def test_datasketch_finds_what_is_near_a_text_in_the_corpus(near: Path) -> None:
    run = corpuskit.open_run(near)
    index = run.minhash()
    kept = run.corpus().select("doc", "text").collect().rows()
    assert len(index.keys) == len(kept) == 30
    for doc, content in kept:
        assert doc in index.query(run.signature(content))
        assert doc in index.query(run.signature(content.replace(" ", " changed ", 1)))
    assert index.query(run.signature("nothing like this was ever written in any of these texts")) == []


def test_other_signatures_are_refused_with_what_to_write(tmp_path: Path) -> None:
    root = build(tmp_path, "corpuskit")
    with pytest.raises(UsageError, match="hash: corpuskit") as refused:
        corpuskit.open_run(root).minhash()
    assert "hash: datasketch" in str(refused.value.hint)


def test_a_root_without_a_corpus_says_so(near: Path, tmp_path: Path) -> None:
    plan = near / Root(near).latest_run() / "plan.json"
    (tmp_path / "runs" / "1").mkdir(parents=True)
    (tmp_path / "runs" / "1" / "plan.json").write_text(plan.read_text())
    with pytest.raises(UsageError, match="has no corpus yet"):
        corpuskit.open_run(tmp_path).corpus()
