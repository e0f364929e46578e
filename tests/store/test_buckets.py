"""A run that reads from a bucket and keeps its root in one: built, looked at, trained, exported, taken from."""

import gc
import json
from pathlib import Path

import polars as pl
import pytest

import corpuskit
from corpuskit.cli import main
from corpuskit.errors import CorpuskitError
from corpuskit.explore import views
from corpuskit.explore.explorer.answers import Answers
from corpuskit.store.root import Root
from tests.store import s3
from tests.store.slim import Built

pytest.importorskip("obstore", reason="a root in a bucket needs the extra bucket")
pytest.importorskip("s3fs", reason="sources in a bucket need s3fs")

ROOT = "s3://corpora/runs/slim"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    pytest.importorskip("torch", reason="`train:` needs torch")
    with s3.serving("corpora") as port, pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("bucket")
        s3.set_environment(patch, port, folder / "tmp")
        yield Built(folder, "s3://corpora")


@pytest.fixture(scope="module")
def opened(built: Built) -> tuple[Root, Root]:
    """The root in the bucket and the one on a disk, with their views."""
    roots = Root(ROOT), Root(built.folder / "disk")
    for root in roots:
        views.rebuild(root, root.require_plan())
    return roots


def said(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> str:
    capsys.readouterr()
    assert main([str(word) for word in words]) == code, capsys.readouterr().err
    out = capsys.readouterr()
    return out.err if code else out.out


def left(built: Built) -> list[Path]:
    """Files in TMPDIR."""
    gc.collect()  # what a root has fetched goes with it
    return [path for path in (built.folder / "tmp").rglob("*") if path.is_file()]


def sql(capsys: pytest.CaptureFixture[str], query: str, root: str = ROOT) -> list[dict]:
    return json.loads(said(capsys, "stats", root, "--sql", query, "--json"))


def test_a_run_from_bucket_to_bucket_has_the_bytes_of_one_on_a_disk(built: Built) -> None:
    for folder in ("corpus", "holdout", "dropped", "tokens", "shards"):
        bucket, disk = built.published(folder)
        assert bucket == disk
        assert bucket


@pytest.mark.parametrize(
    "query",
    [
        "SELECT doc, domain, text FROM corpus ORDER BY doc",
        "SELECT domain, rule, count(*) AS n FROM dropped GROUP BY ALL ORDER BY ALL",
        "SELECT * FROM duplicates ORDER BY doc",
        "SELECT file, sequence, start, doc FROM shards ORDER BY ALL LIMIT 20",
        "SELECT doc, fate, relative, record FROM lineage ORDER BY doc",
        "SELECT * EXCLUDE (rules) FROM domain_stats ORDER BY ALL",
        "SELECT count(*) AS n FROM signals",
    ],
)
def test_sql_answers_as_on_a_disk(opened: tuple[Root, Root], query: str) -> None:
    bucket, disk = (views.query(root, query).to_pylist() for root in opened)
    assert bucket
    assert bucket == disk


def test_a_query_reads_the_root_and_nothing_else(opened: tuple[Root, Root]) -> None:
    before = opened[0].store.list("")
    for query in (
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM read_parquet('s3://corpora/runs/slim/corpus/**/*.parquet')",
        "SELECT * FROM read_csv('http://127.0.0.1:1/x.csv')",
        "SELECT * FROM read_text('root://../../raw/c4/0.json.gz')",
        "COPY (SELECT 1) TO 'root://corpus/new.csv'",
        "ATTACH 'root://new.duckdb'",
    ):
        with pytest.raises(CorpuskitError):
            views.query(opened[0], query)
    assert opened[0].store.list("") == before


def test_it_is_looked_at_as_on_a_disk(built: Built, capsys: pytest.CaptureFixture[str]) -> None:
    disk = str(built.folder / "disk")
    doc = sql(capsys, "SELECT min(doc) AS doc FROM corpus WHERE domain = 'c4'")[0]["doc"]
    assert "units complete" in said(capsys, "status", ROOT)
    rule = "too_short=clean_chars >= 1250"
    what_if = [json.loads(said(capsys, "stats", root, "--what-if", rule, "--json")) for root in (ROOT, disk)]
    assert what_if[0] == what_if[1]
    assert "checkpoints that saw it: step-" in said(capsys, "trace", ROOT, doc)
    assert "sequence 0" in said(capsys, "trace", ROOT, "step:1")
    assert "[river stone]" in said(capsys, "find", ROOT, "river stone")
    assert "both have the same documents" in said(capsys, "diff", ROOT, disk)
    assert "all are what was written" in said(capsys, "verify", ROOT)
    assert "unneeded" in said(capsys, "gc", ROOT)
    assert "tokens in" in said(capsys, "mix", "explain", *built.bucket)
    page = said(capsys, "report", ROOT).split()[-1]
    assert b"Samples" in Root(ROOT).store.get(page.removeprefix(f"{ROOT}/"))


def test_python_and_the_explorer_read_it(built: Built) -> None:
    run = corpuskit.open_run(ROOT)
    corpus = run.corpus().select("doc", "domain", pl.col("text").str.len_bytes().alias("bytes")).collect()
    assert corpus.height == run.sql("SELECT count(*) AS n FROM corpus").to_pylist()[0]["n"]
    answers = Answers(ROOT)
    assert answers.overview()["domains"]
    hits = [found for found in answers.search(text="river stone") if "doc" in found]
    assert {hit["doc"] for hit in hits} <= set(corpus["doc"].to_list())
    assert hits


@pytest.mark.parametrize("form", ["megatron", "nanogpt", "hf", "webdataset"])
def test_it_is_exported_as_from_a_disk(
    built: Built, capsys: pytest.CaptureFixture[str], tmp_path: Path, form: str
) -> None:
    found = []
    for name, root in (("bucket", ROOT), ("disk", str(built.folder / "disk"))):
        said(capsys, "export", root, "--format", form, "--to", tmp_path / name)
        skipped = (
            "export.json",
            "data_args.json",
            "README.md",
            "croissant.json",
            "recipe.yaml",
            "files.parquet",
        )  # name places
        found.append(
            {
                path.relative_to(tmp_path / name): path.read_bytes()
                for path in (tmp_path / name).rglob("*")
                if path.is_file() and path.name not in skipped
            }
        )
    assert found[0] == found[1]
    assert found[0]
    assert not left(built)


def test_training_goes_on_from_the_bucket(built: Built, capsys: pytest.CaptureFixture[str]) -> None:
    root = Root(ROOT)
    stage = root.require_plan().stages["train"]
    (before,) = root.receipts(stage)
    key = f"stages/{stage.folder}/receipts/{before.key}.json"
    folder = before.facts["checkpoint"].rpartition("/")[0]
    checkpoints = sorted(name for name in root.store.list(folder) if name.endswith("/state.json"))
    assert len(checkpoints) == 2
    last = before.facts["checkpoint"]
    root.store.delete([key, f"{folder}/result.json", *root.store.list(last)])  # as if it was killed at its end
    assert json.loads(said(capsys, "train", ROOT, "--json"))["checkpoint"] == last.rpartition("/")[2]
    fresh = Root(ROOT)
    (after,) = fresh.receipts(stage)
    assert {name: part.digest for name, part in after.parts.items()} == {
        name: part.digest for name, part in before.parts.items()
    }
    assert after.facts == before.facts
    assert fresh.store.size(f"{last}/state.json")
    assert not left(built)


def test_documents_are_taken_down(built: Built, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    doc = sql(capsys, "SELECT min(doc) AS doc FROM corpus WHERE domain = 'stackexchange'")[0]["doc"]
    (text,) = (row["text"] for row in sql(capsys, f"SELECT text FROM corpus WHERE doc = {doc}"))
    (tmp_path / "docs.txt").write_text(f"{doc}\n")
    assert json.loads(said(capsys, "remove", ROOT, "--docs", tmp_path / "docs.txt", "--json"))["removed"]
    assert sql(capsys, f"SELECT rule FROM dropped WHERE doc = {doc}") == [{"rule": "removed"}]
    store = Root(ROOT).store
    assert not [key for key in store.list("") if text[:80].encode() in store.get(key)]
    assert "all are what was written" in said(capsys, "verify", ROOT)
    assert not left(built)


def test_no_credential_is_in_the_root_in_what_was_said_or_in_an_error(
    built: Built, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Root(ROOT).store
    kept = {key: store.get(key) for key in store.list("")}
    assert any(key.endswith("log.jsonl") for key in kept)
    assert any(key.endswith("report.html") for key in kept)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    refused = said(capsys, "stats", ROOT, code=1)
    for secret in s3.SECRETS.values():
        assert not [key for key, content in kept.items() if secret.encode() in content]
        assert secret not in built.said + refused
