"""The SlimPajama recipe on real dumps of all seven domains, re-checked by brute force."""

import re
import string
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from corpuskit.arrow import PartReader
from corpuskit.cli import main
from corpuskit.store import Root

RECIPE = Path(__file__).parents[2] / "recipes" / "slimpajama.yaml"

FILES = {
    "commoncrawl": ("warc", ["commoncrawl/*.warc.gz"]),
    "c4": ("jsonl", ["c4/*.jsonl.zst"]),
    "github": ("code", ["github/*.tar.gz", "github/*.tgz"]),
    "books": ("gutenberg", ["books/gutenberg/**/*.gz", "books/*.tar.zst"]),
    "arxiv": ("arxiv", ["arxiv/*.tar"]),
    "wikipedia": ("wikipedia", ["wikipedia/*.xml.bz2", "wikipedia/*.xml.xz"]),
    "stackexchange": ("stackexchange", ["stackexchange/*/Posts.xml.gz"]),
}


@pytest.fixture(scope="module")
def root(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slimpajama")
    sources = {name: {"read": read, "path": [str(shared / p) for p in paths]} for name, (read, paths) in FILES.items()}
    (folder / "sources.yaml").write_text(yaml.safe_dump(sources))
    words = ["--set", f"sources=@{folder / 'sources.yaml'}", "--root", str(folder / "root"), "--until", "duplicates"]
    assert main(["run", str(RECIPE), *words]) == 0
    return folder / "root"


def shingles(text: str) -> frozenset[str]:
    """SlimPajama's shingles: 13 characters of the lower-cased text without punctuation, white space collapsed."""
    clean = re.sub(r"\s+", " ", text.lower().translate(str.maketrans("", "", string.punctuation)).strip())
    return frozenset(clean[i : i + 13] for i in range(max(1, len(clean) - 12)))


def texts(root: Path) -> dict[int, str]:
    """The text of every document that dedup saw."""
    run = Root(root)
    plan = run.require_plan()
    found = {}
    for name, stage in plan.stages.items():
        if name.startswith("filter-"):
            for receipt in run.receipts(stage):
                for batch in PartReader(receipt.parts["docs"].path, ["doc", "text"]):
                    found |= zip(batch.column("doc").to_pylist(), batch.column("text").to_pylist(), strict=True)
    return found


def test_all_seven_domains_are_kept(root: Path) -> None:
    table = pq.read_table(root / "corpus", columns=["doc", "domain"])
    kept = (
        pa.table({"domain": table.column("domain").cast(pa.string())}).group_by("domain").aggregate([([], "count_all")])
    )
    counts = dict(zip(kept.column("domain").to_pylist(), kept.column("count_all").to_pylist(), strict=True))
    assert set(counts) == set(FILES)
    assert min(counts.values()) > 20


def test_every_removed_document_has_a_kept_witness_of_the_stated_similarity(root: Path) -> None:
    rows = pq.read_table(root / "duplicates").to_pylist()
    assert len(rows) > 1000
    removed = {row["doc"] for row in rows}
    kept = {row["kept_doc"] for row in rows}
    assert not removed & kept
    alive = set(pq.read_table(root / "corpus", columns=["doc"]).column("doc").to_pylist())
    held_out = set(pq.read_table(root / "holdout", columns=["doc"]).column("doc").to_pylist())
    for row in rows:
        assert (row["kept_dropped_by"] is None) == (row["kept_doc"] in alive)
        assert (row["kept_dropped_by"] == "held_out") == (row["kept_doc"] in held_out)
    found = texts(root)
    # books of a megabyte take pure Python long: they are left to the kernels' own tests
    small = [row for row in rows if len(found[row["doc"]]) + len(found[row["kept_doc"]]) < 60_000]
    assert len(small) > 0.9 * len(rows)
    for row in small:
        a, b = shingles(found[row["doc"]]), shingles(found[row["kept_doc"]])
        exact = len(a & b) / len(a | b)
        assert exact >= 0.8
        assert row["jaccard"] == pytest.approx(exact, abs=1e-12)


def test_no_two_kept_documents_have_the_same_normalized_text(root: Path) -> None:
    seen: dict[str, int] = {}
    table = pq.read_table(root / "corpus", columns=["doc", "text"])
    for doc, text in zip(table.column("doc").to_pylist(), table.column("text").to_pylist(), strict=True):
        clean = re.sub(r"\s+", " ", text.lower().translate(str.maketrans("", "", string.punctuation)).strip())
        assert seen.setdefault(clean, doc) == doc


def test_the_wikipedia_dumps_that_were_cut_say_so(root: Path) -> None:
    rules = pq.read_table(root / "dropped" / "domain=wikipedia").column("rule").to_pylist()
    assert rules.count("read: cut off at the end of the dump") == 3
