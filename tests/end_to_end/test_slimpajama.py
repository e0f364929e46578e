"""The SlimPajama recipe on dumps of all seven domains, of our own and real ones, re-checked by brute force."""

import itertools
import re
import string
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tokenizers
import yaml

from corpuskit.cli import main
from corpuskit.core.batch import PartReader
from corpuskit.store.root import Root
from tests.end_to_end import dumps

RECIPE = Path(__file__).parents[2] / "recipes" / "slimpajama.yaml"

SHARED = {
    "commoncrawl": ("warc", ["commoncrawl/*.warc.gz"]),
    "c4": ("jsonl", ["c4/*.jsonl.zst"]),
    "github": ("code", ["github/*.tar.gz", "github/*.tgz"]),
    "books": ("gutenberg", ["books/gutenberg/**/*.gz", "books/*.tar.zst"]),
    "arxiv": ("arxiv", ["arxiv/*.tar"]),
    "wikipedia": ("wikipedia", ["wikipedia/*.xml.bz2", "wikipedia/*.xml.xz"]),
    "stackexchange": ("stackexchange", ["stackexchange/*/Posts.xml.gz"]),
}


@dataclass
class Run:
    """A run of the recipe: its root, and the least documents of a domain and duplicates that it must have."""

    root: Path
    kept: int
    removed: int


def build(raw: Path, files: dict[str, tuple[str, list[str]]], folder: Path, *words: str) -> Path:
    sources = {name: {"read": read, "path": [str(raw / p) for p in paths]} for name, (read, paths) in files.items()}
    (folder / "sources.yaml").write_text(yaml.safe_dump(sources))
    given = ["--set", f"sources=@{folder / 'sources.yaml'}", "--root", str(folder / "root"), *words]
    assert main(["run", str(RECIPE), *given]) == 0
    return folder / "root"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("own")
    small = ("--set", "mix.tokenizer={train: {vocab_size: 400}}", "--set", "mix.shards.seq_len=64")
    raw = dumps.write(folder / "raw")
    return Run(build(raw, dumps.FILES, folder, *small, "--until", "shards"), 8, 13)


@pytest.fixture(scope="module")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(build(shared, SHARED, tmp_path_factory.mktemp("real"), "--until", "duplicates"), 20, 1000)


@pytest.fixture(params=["own", "real"])
def made(request: pytest.FixtureRequest) -> Run:
    found: Run = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def root(made: Run) -> Path:
    return made.root


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
                for batch in PartReader(receipt.parts["docs"].local(), ["doc", "text"]):
                    found |= zip(batch.column("doc").to_pylist(), batch.column("text").to_pylist(), strict=True)
    return found


def test_all_seven_domains_are_kept(made: Run) -> None:
    table = pq.read_table(made.root / "corpus", columns=["doc", "domain"])
    kept = (
        pa.table({"domain": table.column("domain").cast(pa.string())}).group_by("domain").aggregate([([], "count_all")])
    )
    counts = dict(zip(kept.column("domain").to_pylist(), kept.column("count_all").to_pylist(), strict=True))
    assert set(counts) == set(SHARED)
    assert min(counts.values()) >= made.kept


def test_every_removed_document_has_a_kept_witness_of_the_stated_similarity(made: Run) -> None:
    root = made.root
    rows = pq.read_table(root / "duplicates").to_pylist()
    assert len(rows) >= made.removed
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


def test_the_wikipedia_dumps_that_were_cut_say_so(real: Run) -> None:
    rules = pq.read_table(real.root / "dropped" / "domain=wikipedia").column("rule").to_pylist()
    assert rules.count("read: cut off at the end of the dump") == 3


def test_what_was_planted_is_removed_and_nothing_else(own: Run) -> None:
    rows = pq.read_table(own.root / "duplicates").to_pylist()
    pairs = Counter((row["domain"], row["kept_domain"], row["kind"]) for row in rows)
    assert pairs == {
        ("c4", "wikipedia", "exact"): 3,
        ("c4", "wikipedia", "near"): 3,
        ("commoncrawl", "c4", "near"): 4,
        ("github", "stackexchange", "near"): 2,
        ("arxiv", "books", "exact"): 1,
    }
    found = {doc: shingles(text) for doc, text in texts(own.root).items()}
    removed = {row["doc"] for row in rows}
    for one, two in itertools.combinations(sorted(found.keys() - removed), 2):
        assert len(found[one] & found[two]) < 0.8 * len(found[one] | found[two])


def test_the_books_of_every_domain_balance(own: Run) -> None:
    run = Root(own.root)
    books: dict[str, Counter[str]] = {}
    for stage in run.require_plan().stages.values():
        for receipt in run.complete(stage):
            for domain, counts in receipt.books.items():
                books.setdefault(domain, Counter()).update(counts)
    extra = {"c4": 7, "commoncrawl": 4, "github": 2, "books": 1, "wikipedia": 1}
    for domain, counts in books.items():
        read = counts.pop("read")
        assert read == sum(counts.values())
        if domain != "stackexchange":  # whose records are posts
            assert read == dumps.EACH + extra.get(domain, 0)
    assert books["c4"]["rule: too_short"] == 1
    assert books["wikipedia"]["rule: read: redirect"] == 1


def test_tokens_decode_to_the_texts_of_the_corpus(own: Run) -> None:
    tokenizer = tokenizers.Tokenizer.from_file(str(own.root / "tokens" / "tokenizer.json"))
    end = tokenizer.token_to_id("<|endoftext|>")
    decoded = []
    for path in (own.root / "tokens" / "split=train").rglob("*.bin"):
        ids = np.fromfile(path, "<u2")
        ends = np.flatnonzero(ids == end)
        assert ends[-1] == len(ids) - 1
        decoded += [tokenizer.decode(ids[a:b].tolist()) for a, b in zip([0, *(ends[:-1] + 1)], ends, strict=True)]
    assert sorted(decoded) == sorted(pq.read_table(own.root / "corpus").column("text").to_pylist())
    assert list((own.root / "shards").glob("train-*.bin"))
