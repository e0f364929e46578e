"""The SlimPajama recipe in a bucket of the protocols of Google's and Microsoft's stores, as `test_buckets` on S3's."""

import gc
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import corpuskit
from corpuskit.buckets.bucket import Bucket
from corpuskit.cli import main
from corpuskit.store.root import Root
from tests.store import clouds
from tests.store.slim import Built

pytest.importorskip("obstore", reason="a root in a bucket needs the extra bucket")
pytestmark = pytest.mark.clusters


@pytest.fixture(scope="module", params=["gs", "az"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    pytest.importorskip("torch", reason="`train:` needs torch")
    server = {"gs": clouds.google, "az": clouds.azure}[request.param]
    with server("corpora") as environment, pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp(request.param)
        clouds.set_environment(patch, environment, folder / "tmp")
        yield Built(folder, f"{request.param}://corpora")


def said(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert main([str(word) for word in words]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_objects_are_put_once_copied_read_by_ranges_listed_and_removed(built: Built, tmp_path: Path) -> None:
    bucket = Bucket.from_url(f"{built.root.partition('/runs')[0]}/objects")
    assert bucket.put_new("a/b c.bin", b"01234")
    assert not bucket.put_new("a/b c.bin", b"other")
    large = bytes(range(256)) * (50_000 if built.root.startswith("az") else 10_000)  # 12.8 MB go in pieces
    (tmp_path / "large").write_bytes(large)
    bucket.put("a/large", tmp_path / "large")
    bucket.copy("a/b c.bin", "a/copy")
    assert bucket.list("a") == {"a/b c.bin": 5, "a/copy": 5, "a/large": len(large)}
    assert bucket.range("a/copy", 1, 3) == b"12"
    assert bucket.range("a/large", 2_000_000, 2_000_100) == large[2_000_000:2_000_100]
    bucket.fetch("a/large", tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == large
    assert bucket.changed("a") is not None
    bucket.delete("a/copy")
    bucket.delete("a/copy")
    assert bucket.size("a/copy") is None
    with pytest.raises(FileNotFoundError):
        bucket.get("a/copy")


def test_a_run_from_bucket_to_bucket_has_the_bytes_of_one_on_a_disk(built: Built) -> None:
    for folder in ("corpus", "holdout", "dropped", "tokens", "shards"):
        bucket, disk = built.published(folder)
        assert bucket == disk
        assert bucket


def test_it_is_looked_at_as_on_a_disk(built: Built, capsys: pytest.CaptureFixture[str]) -> None:
    disk = str(built.folder / "disk")
    for query in (
        "SELECT doc, domain, text FROM corpus ORDER BY doc",
        "SELECT domain, rule, count(*) AS n FROM dropped GROUP BY ALL ORDER BY ALL",
        "SELECT * FROM duplicates ORDER BY doc",
    ):
        answers = [json.loads(said(capsys, "stats", root, "--sql", query, "--json")) for root in (built.root, disk)]
        assert answers[0] == answers[1]
        assert answers[0]
    first = json.loads(said(capsys, "stats", disk, "--sql", "SELECT doc FROM corpus ORDER BY doc", "--json"))
    doc = first[0]["doc"]
    assert str(doc) in said(capsys, "trace", built.root, doc)
    corpus = corpuskit.open_run(built.root).corpus().select("doc").collect()
    assert sorted(corpus["doc"].to_list()) == [row["doc"] for row in first]
    assert "[river stone]" in said(capsys, "find", built.root, "river stone")
    assert "both have the same documents" in said(capsys, "diff", built.root, disk)
    assert "all are what was written" in said(capsys, "verify", built.root)
    assert said(capsys, "report", built.root).split()[-1].startswith(built.root)


def test_it_is_trained_on_exported_and_taken_from(
    built: Built, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = Root(built.root)
    stage = root.require_plan().stages["train"]
    (before,) = root.receipts(stage)
    last = before.facts["checkpoint"]
    root.store.delete(
        [f"stages/{stage.folder}/receipts/{before.key}.json", *root.store.list(last)]
    )  # as if it was killed at its end
    root.store.delete([f"{last.rpartition('/')[0]}/result.json"])
    assert json.loads(said(capsys, "train", built.root, "--json"))["checkpoint"] == last.rpartition("/")[2]
    (after,) = Root(built.root).receipts(stage)
    assert {name: part.digest for name, part in after.parts.items()} == {
        name: part.digest for name, part in before.parts.items()
    }
    said(capsys, "export", built.root, "--format", "hf", "--to", tmp_path / "hf")
    assert list((tmp_path / "hf").rglob("*.parquet"))
    doc = json.loads(said(capsys, "stats", built.root, "--sql", "SELECT min(doc) AS doc FROM corpus", "--json"))[0][
        "doc"
    ]
    (tmp_path / "docs.txt").write_text(f"{doc}\n")
    assert json.loads(said(capsys, "remove", built.root, "--docs", tmp_path / "docs.txt", "--json"))["removed"]
    assert "all are what was written" in said(capsys, "verify", built.root)
    gc.collect()  # what a root has fetched goes with it
    assert not [path for path in (built.folder / "tmp").rglob("*") if path.is_file()]
