"""`against: OTHER_ROOT`: a finished corpus comes before all others and is left as it is."""

import hashlib
import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from dedup_harness import shingles
from test_growing import compared, longer, published

from corpuskit.cli import main
from corpuskit.explore.views import query
from corpuskit.store.root import Root
from tests.core.test_reuse import build, copies, own_unit, texts, write

RECIPE = """\
name: {name}
sources:
  web:   {{read: jsonl, path: "{raw}/web/*"}}
  books: {{read: jsonl, path: "{raw}/books/*"}}
steps:
{steps}"""

MINHASH = "  - minhash: {shingle: {unit: word, n: 3}, threshold: 0.8, bands: 64, rows: 2ARGUMENTS}\n"
THRESHOLD = 0.8


def minhash(arguments: str = "") -> str:
    return MINHASH.replace("ARGUMENTS", arguments)


AGAINST = minhash(", against: [old/root]")


def recipe(folder: Path, steps: str, raw: Path | None = None) -> Path:
    """A recipe in a folder of its own, over the files in `raw` there."""
    folder.mkdir(exist_ok=True)
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(name=folder.name, raw=raw or folder / "raw", steps=steps))
    return path


def table(root: Path, folder: str) -> list[dict]:
    return pq.read_table(root / folder).sort_by("doc").to_pylist()


def state(root: Path) -> dict[str, tuple]:
    """Content and times of every file of a root."""
    found = {}
    for path in sorted(root.rglob("*")):
        about = path.stat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[path.relative_to(root).as_posix()] = (content, about.st_ino, about.st_mtime_ns)
    return found


def refused(path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What a recipe says that does not even plan; nothing is written."""
    capsys.readouterr()
    for verb in ("plan", "run"):
        assert main([verb, str(path), "--root", str(root)]) == 2
    assert not (root / "stages").exists()
    return capsys.readouterr().err


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A finished corpus without dedup, so that it holds near copies of its own documents."""
    folder = tmp_path / "old"
    write(folder / "raw" / "web" / own_unit(0), texts(("web", 0)) + copies(texts(("web", 0))[:4]))
    write(folder / "raw" / "books" / own_unit(0), texts(("books", 0)))
    path = recipe(folder, "  - holdout: {tokens: 200, seed: 1}\n")
    build(path, folder / "root")
    return folder / "root"


@pytest.fixture
def raw(tmp_path: Path, old: Path) -> Path:
    """New documents, of which some are near or exact copies of finished ones, or of one another."""
    folder = tmp_path / "raw"
    held_out = [row["text"] for row in table(old, "holdout")]
    assert held_out
    rows = texts("new") + longer(texts(("web", 0))[:3]) + copies(texts(("books", 0))[:2]) + texts(("web", 0))[5:7]
    write(folder / "web" / own_unit(1), rows + longer(held_out[:2]) + longer(texts("new")[:2]))
    write(folder / "books" / own_unit(1), texts("novel") + [text.upper() for text in texts(("books", 0))[8:10]])
    return folder


def test_what_is_like_a_finished_document_goes_and_the_finished_corpus_is_left_alone(
    old: Path, raw: Path, tmp_path: Path
) -> None:
    before = state(old)
    root = tmp_path / "root"
    with compared() as pairs:
        build(recipe(tmp_path, AGAINST, raw), root)
    assert state(old) == before
    finished = {row["doc"]: row["text"] for folder in ("corpus", "holdout") for row in table(old, folder)}
    assert pairs
    assert not any(one in finished and two in finished for one, two in pairs), "finished documents were compared"
    every = {row["doc"]: row for row in table(build_all(tmp_path, raw), "corpus")}
    rows = {row["doc"]: row for row in table(root, "duplicates")}
    kept = {row["doc"] for row in table(root, "corpus")}
    assert kept == every.keys() - rows.keys()
    sets = {doc: set(shingles(text, "word", 3)) for doc, text in finished.items()}
    sets |= {doc: set(shingles(row["text"], "word", 3)) for doc, row in every.items()}
    similar = lambda one, two: len(sets[one] & sets[two]) / len(sets[one] | sets[two])  # noqa: E731
    for doc in every:
        near = {other for other in finished if similar(doc, other) >= THRESHOLD}
        assert doc not in kept or not near
        if near:
            row = rows[doc]
            assert (row["kept_root"], row["kept_dropped_by"]) == ("old/root", None)
            assert row["kept_doc"] in near
            assert row["jaccard"] == similar(doc, row["kept_doc"])
        elif doc in rows:
            assert rows[doc]["kept_root"] is None
            assert rows[doc]["kept_doc"] in kept
    witnesses = {row["kept_doc"] for row in rows.values() if row["kept_root"]}
    assert witnesses & {row["doc"] for row in table(old, "holdout")}, "held-out documents count"
    assert witnesses & {row["doc"] for row in table(old, "corpus")}
    assert any(row["kept_root"] is None for row in rows.values())


def build_all(tmp_path: Path, raw: Path) -> Path:
    """The root of the same documents without dedup."""
    path = recipe(tmp_path / "all", "  - clean_chars: {}\n", raw)
    build(path, path.parent / "root")
    return path.parent / "root"


def test_documents_of_one_id_in_both_corpora_are_two_documents(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same raw files under the same names: ids are the same, and all documents are copies of finished ones."""
    write(tmp_path / "old" / "raw" / "books" / own_unit(1), texts("more") + longer(texts("more")[:3]))
    root = tmp_path / "root"
    build(recipe(tmp_path, AGAINST, tmp_path / "old" / "raw"), root)
    finished = {row["doc"] for folder in ("corpus", "holdout") for row in table(old, folder)}
    rows = table(root, "duplicates")
    both = [row for row in rows if row["doc"] in finished]
    assert {row["doc"] for row in both} == finished
    assert {row["kept_root"] for row in both} == {"old/root"}
    # of near copies in the finished corpus the first is the witness; of all others the document itself
    assert sum(row["doc"] == row["kept_doc"] for row in both) >= len(both) - 4
    others = [row for row in rows if row["doc"] not in finished]
    assert len(others) == 3
    assert {row["kept_root"] for row in others} == {None}
    corpus = {row["doc"]: row["text"] for row in table(root, "corpus")}
    assert not corpus.keys() & finished
    assert len(corpus) == len(texts("more"))
    counted = query(
        Root(root), "SELECT sum(read) AS read, sum(exact + near) AS gone, sum(kept) AS kept FROM domain_stats"
    )
    assert counted.to_pylist() == [{"read": len(rows) + len(corpus), "gone": len(rows), "kept": len(corpus)}]
    capsys.readouterr()
    assert main(["stats", str(root), "--json"]) == 0
    total = json.loads(capsys.readouterr().out)["total"]
    assert (total["exact"] + total["near"], total["kept"]) == (len(rows), len(corpus))
    page = next(root.glob("runs/*/report.html")).read_text()
    cluster = next(row["kept_doc"] for row in both)
    assert f"1 removed for document {cluster} of" in page
    assert "in old/root" in page


@pytest.mark.parametrize("other", ["{unit: word, n: 4}", "{unit: char, n: 3}"])
def test_other_shingles_are_refused(tmp_path: Path, raw: Path, capsys: pytest.CaptureFixture[str], other: str) -> None:
    folder = tmp_path / "other"
    write(folder / "raw" / "web" / own_unit(0), texts(1))
    write(folder / "raw" / "books" / own_unit(0), texts(2))
    path = recipe(folder, f"  - minhash: {{shingle: {other}}}\n")
    build(path, folder / "root")
    mine = recipe(tmp_path, minhash(", against: [other/root]"), raw)
    said = refused(mine, tmp_path / "root", capsys)
    n, unit = other[-2], other[7:11]
    assert (
        f"recipe.yaml:6: `against: other/root`: {folder / 'root'} was deduplicated by shingles of {n} {unit}s" in said
    )
    assert f"write `shingle: {other}` in `minhash`" in said


def test_a_missing_root_and_one_that_is_not_finished_are_refused(
    tmp_path: Path, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(recipe(tmp_path, minhash(", against: [nowhere]"), raw), tmp_path / "root", capsys)
    assert "recipe.yaml:6: `against: nowhere`" in said
    assert "holds no finished corpus" in said
    assert "run its recipe to the end first" in said
    half = recipe(tmp_path / "half", minhash(), raw)
    assert main(["run", str(half), "--root", str(half.parent / "root"), "--engine", "inline", "--until", "bands"]) == 0
    said = refused(recipe(tmp_path, minhash(", against: [half/root]"), raw), tmp_path / "root", capsys)
    assert "holds no finished corpus" in said


def test_a_finished_corpus_that_changed_is_said_in_the_plan_and_counts_anew(
    old: Path, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, path = tmp_path / "root", recipe(tmp_path, AGAINST, raw)
    build(path, root)
    capsys.readouterr()
    assert main(["plan", str(path), "--root", str(root), "--verbose"]) == 0
    assert "signatures-against-0-web" not in [line.split()[0] for line in stale(capsys.readouterr().out)]
    write(tmp_path / "old" / "raw" / "web" / own_unit(3), longer(texts("novel")[:2]))
    build(tmp_path / "old" / "recipe.yaml", old)
    capsys.readouterr()
    assert main(["plan", str(path), "--root", str(root), "--verbose"]) == 0
    said = capsys.readouterr().out
    assert any(line.startswith("signatures-against-0-web") for line in stale(said)), said
    build(path, root)
    gone = {row["doc"] for row in table(root, "duplicates") if row["kept_root"]}
    novel = {row["doc"]: row["text"] for row in table(build_all(tmp_path, raw), "corpus")}
    assert {novel[doc] for doc in gone} >= set(texts("novel")[:2])
    fresh = tmp_path / "fresh"
    build(path, fresh)
    assert published(root) == published(fresh)


def stale(plan: str) -> list[str]:
    """The lines of a plan about stages of which something would run."""
    return [line for line in plan.splitlines() if line.strip() and "complete" not in line]


def test_a_finished_corpus_with_a_file_missing_is_refused(
    old: Path, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next((old / "corpus").rglob("*.parquet"))
    path.unlink()
    said = refused(recipe(tmp_path, AGAINST, raw), tmp_path / "root", capsys)
    assert f"{path} is in its manifest and not on disk" in said


def test_a_touched_file_of_a_finished_corpus_does_not_stop_a_run(old: Path, raw: Path, tmp_path: Path) -> None:
    path, root = recipe(tmp_path, AGAINST, raw), tmp_path / "root"
    build(path, root)
    before = published(root)
    for file in (old / "corpus").rglob("*.parquet"):
        os.utime(file, ns=(1, 1))
    build(path, root)
    assert published(root) == before


def test_a_run_is_not_compared_with_itself(tmp_path, capsys):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.jsonl").write_text("\n".join(json.dumps({"text": f"document {i} " + "word " * i}) for i in range(5)))
    text = f"name: x\nsources: {{a: {{read: jsonl, path: '{raw}/*'}}}}\nsteps:\n  - minhash: {{against: [AGAINST]}}\n"
    (tmp_path / "first.yaml").write_text(text.replace("AGAINST", ""))
    (tmp_path / "again.yaml").write_text(text.replace("AGAINST", str(tmp_path / "root")))
    assert main(["run", str(tmp_path / "first.yaml"), "--root", str(tmp_path / "root"), "--engine", "inline"]) == 0
    assert main(["run", str(tmp_path / "again.yaml"), "--root", str(tmp_path / "root"), "--engine", "inline"]) == 2
    assert "the root of this very run" in capsys.readouterr().err
