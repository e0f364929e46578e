"""`keep_dropped: true` keeps the texts of duplicates beside those of what rules drop; nothing else changes."""

import gzip
import json
from pathlib import Path

import pytest

from corpuskit.explore import stats
from corpuskit.explore.views import query
from corpuskit.store.root import Root
from tests.core.builder import corpus, digests, recipe
from tests.steps.step_runs import build

KEEP = "keep_dropped: true\n"
DUPLICATES = "rule IN ('exact', 'minhash')"


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return corpus(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="module")
def built(raw, tmp_path_factory):
    return {extra: made(tmp_path_factory.mktemp("run"), raw, extra) for extra in ("", KEEP)}


def made(folder, raw, extra, batch_bytes=1 << 20, *words):
    """A run with both kinds of dedup, and a filter behind them that drops witnesses."""
    path = recipe(folder, raw, extra=extra, batch_bytes=batch_bytes)
    steps = path.read_text().replace("  - minhash:", "  - exact: {}\n  - minhash:")
    path.write_text(steps.replace("  - holdout:", "  - where: score > 0.1\n    name: low_score\n  - holdout:"))
    assert build(path, *words) == 0
    return Root(folder / "root")


def texts(raw):
    """The text of every raw record by its address."""
    found = {}
    for path in raw.rglob("*.jsonl*"):
        data = path.read_bytes()
        for line in (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines():
            record = json.loads(line)
            found[record["url"]] = record["text"]
    return found


def test_every_duplicate_has_its_text_its_rule_and_its_reason(built, raw):
    kept = query(
        built[KEEP], f"SELECT doc, domain, url, text, rule, reason FROM dropped WHERE {DUPLICATES}"
    ).to_pylist()
    known = query(built[KEEP], "SELECT doc, domain, kind FROM duplicates").to_pylist()
    assert sorted((row["doc"], row["domain"], row["reason"]) for row in kept) == sorted(
        (row["doc"], row["domain"], row["kind"]) for row in known
    )
    assert {(row["rule"], row["reason"]) for row in kept} == {("exact", "exact"), ("minhash", "near")}
    original = texts(raw)
    assert [row["text"] for row in kept] == [original[row["url"]] for row in kept]


def test_the_books_and_the_corpus_are_those_of_a_run_that_keeps_a_sample(built):
    table = [stats.domain_table(root, root.require_plan()) for root in built.values()]
    assert table[0] == table[1]
    for row in table[1]:
        assert row.read == row.kept + row.held_out + row.dropped + row.exact + row.near + row.contaminated
        assert min(row.exact + row.near, row.dropped) > 0
    for folder in ("corpus", "holdout"):
        one, other = (query(root, f"FROM {folder} ORDER BY doc") for root in built.values())
        assert one.num_rows > 0
        assert one == other


def test_by_default_no_duplicate_is_among_the_dropped(built):
    assert query(built[""], f"SELECT doc FROM dropped WHERE {DUPLICATES}").num_rows == 0
    assert query(built[KEEP], "SELECT doc FROM dropped WHERE text IS NULL").num_rows == 0


def test_a_document_has_one_fate_and_a_duplicate_one_row(built):
    rows = "SELECT doc, kept_doc, kept_dropped_by FROM duplicates ORDER BY ALL"
    fates = "SELECT doc, fate FROM lineage ORDER BY ALL"
    for sql in (rows, fates):
        assert query(built[""], sql) == query(built[KEEP], sql)
    by = set(query(built[KEEP], "SELECT kept_dropped_by FROM duplicates")["kept_dropped_by"].to_pylist())
    assert {"minhash", "low_score"} <= by


def test_engine_workers_and_batches_change_no_byte(built, raw, tmp_path: Path):
    for size, words in ((300, ()), (1 << 20, ("--engine", "local", "--workers", "2"))):
        root = made(tmp_path / str(size), raw, KEEP, size, *words)
        assert digests(root.path) == digests(built[KEEP].path)
