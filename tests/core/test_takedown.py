"""What is taken down is in no text, token or shard any more, nothing else moves, and no run brings it back."""

import hashlib
import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from corpuskit.cli import main
from corpuskit.core.batch import PartReader
from corpuskit.explore.views import query, rebuild
from corpuskit.run.seal import books, check_conservation
from corpuskit.run.verify import verify
from corpuskit.store import removed
from corpuskit.store.local import LocalStore
from corpuskit.store.root import Root
from tests.core.builder import corpus, digests, recipe, text

MIX = """\
mix:
  tokenizer: {train: {vocab_size: 400}}
  weights: {web: 0.4, books: 0.6}
  tokens: max
  max_epochs: 2
  shards: {seq_len: SEQ_LEN, seed: 42}
"""
EXTRA = MIX.replace("SEQ_LEN", "64")


def run(*words: object) -> int:
    return main([str(word) for word in words])


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    capsys.readouterr()
    code = run(*words, "--json")
    said = capsys.readouterr()
    assert code == 0, said.err
    return json.loads(said.out)


def again(capsys: pytest.CaptureFixture[str], folder: Path, raw: Path, root: Path, **changed: object) -> dict:
    path = recipe(folder, raw, **({"extra": EXTRA} | changed))
    return answer(capsys, "run", path, "--root", root, "--engine", "inline")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("raw"), rows=20)


@pytest.fixture(scope="module")
def twice(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with two runs: the first keeps the text of what it drops, and drops more."""
    folder = tmp_path_factory.mktemp("twice")
    for path in (
        recipe(folder / "first", raw, shortest=900, extra="keep_dropped: true\n" + EXTRA),
        recipe(folder / "second", raw, extra=EXTRA),
    ):
        assert run("run", path, "--root", folder / "root", "--engine", "inline") == 0
    return folder / "root"


@pytest.fixture
def root(twice: Path, tmp_path: Path) -> Path:
    """A copy, with the links between its files."""
    subprocess.run(["cp", "-a", twice, tmp_path / "root"], check=True)
    return tmp_path / "root"


@pytest.fixture(scope="module")
def fates(twice: Path) -> dict[int, str]:
    root = Root(twice)
    rebuild(root, root.require_plan())
    return {row["doc"]: row["fate"] for row in query(root, "SELECT doc, fate FROM lineage").to_pylist()}


@pytest.fixture(scope="module")
def pairs(twice: Path) -> list[tuple[int, int]]:
    rows = pq.read_table(twice / "duplicates").to_pylist()
    return [(row["doc"], row["kept_doc"]) for row in rows]


@pytest.fixture(scope="module")
def asked(fates: dict[int, str], pairs: list[tuple[int, int]]) -> list[int]:
    """Of each fate one document; of those that are kept one with copies, and one without."""
    linked = {doc for pair in pairs for doc in pair}
    kept = [doc for doc, fate in sorted(fates.items()) if fate == "kept"]
    copied = next(doc for doc in kept if doc in linked)
    others = [next(doc for doc, fate in sorted(fates.items()) if fate == one) for one in ("held_out", "too_short")]
    mine = {copied, *(doc for pair in pairs for doc in pair if copied in pair)}
    near = next(doc for doc, fate in sorted(fates.items()) if fate == "near" and doc not in mine)
    return [copied, next(doc for doc in kept if doc not in linked), near, *others]


@pytest.fixture(scope="module")
def gone(asked: list[int], pairs: list[tuple[int, int]]) -> set[int]:
    """With all copies, which is what should go."""
    found, before = set(asked), set()
    while found != before:
        before = set(found)
        found |= {doc for pair in pairs for doc in pair if set(pair) & before}
    assert len(found) > len(asked) + 1
    return found


def take_down(root: Path, docs: list[int], capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    path = root.parent / "docs.txt"
    path.write_text("".join(f"{doc}\n" for doc in docs))
    return answer(capsys, "remove", root, "--docs", path, *words)


def texts(root: Path) -> Iterator[tuple[int, str]]:
    """Every text of a document in any file of a root."""
    for path in root.rglob("*"):
        if path.suffix == ".parquet" and pq.read_schema(path).names.count("doc"):
            rows = pq.ParquetFile(path).read().to_pylist()
        elif path.suffix == ".arrow" and path.stat().st_size:
            rows = [row for batch in PartReader(path) for row in batch.to_pylist()]
        else:
            continue
        yield from ((row["doc"], row[name]) for row in rows for name in ("text", "url") if row.get(name))


def whole(root: Path) -> dict[str, str]:
    """SHA-256 of what matters of a root: all but times and logs."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in ("corpus.duckdb", ".seal") and "runs" not in path.relative_to(root).parts
    }


def check_digests(root: Path) -> None:
    """Receipts, manifests and the manifest of tokens say what is on disk."""
    for path in root.glob("stages/*/receipts/*.json"):
        for part in json.loads(path.read_text())["parts"].values():
            content = (path.parents[1] / "parts" / part["file"]).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (part["bytes"], part["digest"]), path
    for path in root.glob("*/_manifest.json"):
        for name, said in json.loads(path.read_text())["files"].items():
            assert hashlib.sha256((path.parent / name).read_bytes()).hexdigest() == said["sha256"], name
            if name.endswith(".parquet") and path.parent.name in ("corpus", "holdout", "dropped"):
                assert pq.read_metadata(path.parent / name).num_rows == said["rows"], name
    assert verify(Root(root)).faults == []
    for part in json.loads((root / "tokens" / "manifest.json").read_text())["parts"]:
        assert hashlib.sha256((root / "tokens" / part["file"]).read_bytes()).hexdigest() == part["sha256"]


def test_no_text_of_it_is_left_anywhere(
    root: Path, asked: list[int], gone: set[int], capsys: pytest.CaptureFixture[str]
) -> None:
    before = list(texts(root))
    taken = {text for doc, text in before if doc in gone}
    assert {doc for doc, _ in before} & gone, "the fixture has such texts"
    found = take_down(root, asked, capsys)
    assert set(found["documents"]) == gone
    after = list(texts(root))
    assert not {doc for doc, _ in after} & gone
    assert not {text for _, text in after} & taken
    assert {pair for pair in before if pair[0] not in gone} == set(after)
    pages = [path.read_text() for path in root.rglob("report.html")]
    assert pages
    assert not [text for text in taken for page in pages if text[:60] in page]
    check_digests(root)


def test_in_tokens_and_shards_end_tokens_stand_in_its_place_and_nothing_moves(
    root: Path, twice: Path, asked: list[int], gone: set[int], capsys: pytest.CaptureFixture[str]
) -> None:
    take_down(root, asked, capsys)
    index = json.loads((root / "shards" / "index.json").read_text())
    blanked = 0
    for path in sorted(twice.glob("shards/*.bin")):
        entries = [*index["train"], *index["validation"].values()]
        sequences = next(entry["sequences"] for entry in entries if entry["file"] == path.name)
        before, after = (
            np.fromfile(one / "shards" / path.name, index["dtype"]).reshape(sequences, -1) for one in (twice, root)
        )
        rows, left = (
            pq.read_table(one / "shards" / path.name.replace(".bin", ".docs.parquet")).to_pylist()
            for one in (twice, root)
        )
        assert left == [row for row in rows if row["doc"] not in gone]
        for row in rows:
            if row["doc"] in gone:
                before[row["sequence"], row["start"] : row["start"] + row["length"]] = index["eos"]
                blanked += row["length"]
        assert np.array_equal(before, after)
    assert blanked > 200
    manifest = json.loads((root / "tokens" / "manifest.json").read_text())
    for part in manifest["parts"]:
        path = Path("tokens") / part["file"]
        table = pq.read_table(twice / path.with_suffix(".docs.parquet"))
        before, after = (np.fromfile(one / path, index["dtype"]) for one in (twice, root))
        at = 0
        for row in table.to_pylist():
            if row["doc"] in gone:
                before[at : at + row["tokens"]] = index["eos"]
            at += row["tokens"]
        assert np.array_equal(before, after)
        assert part["bytes"] == sum(row["bytes"] for row in table.to_pylist() if row["doc"] not in gone)
    held = {name: entry["bytes"] for name, entry in index["validation"].items()}
    there = [(part["domain"], part["bytes"]) for part in manifest["parts"] if part["split"] == "validation"]
    assert held == {name: sum(count for domain, count in there if domain == name) for name in held}


def test_the_trainer_puts_no_loss_on_it_and_reads_all_else_as_before(
    root: Path, twice: Path, asked: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")
    from corpuskit.train.data import IGNORE, Shards

    take_down(root, asked, capsys)
    one, other = (Shards(folder / "shards", "document") for folder in (twice, root))
    assert one.fingerprint == other.fingerprint, "a training of these shards goes on"
    before, after = (
        shards.train[0].batch(range(len(shards.train[0])), len(shards.train[0])) for shards in (one, other)
    )
    lost = after.documents == 0
    assert (after.targets[lost] == IGNORE).all()
    same = after.targets != IGNORE
    assert (after.targets[same] == before.targets[same]).all()
    assert ((before.targets != IGNORE) & ~same).any()
    # what lost its loss is in the place of a document that went, or is predicted from one
    assert lost[(before.targets != IGNORE) & ~same].all()


def test_the_same_recipe_runs_nothing_and_a_changed_one_does_not_bring_it_back(
    root: Path, raw: Path, tmp_path: Path, asked: list[int], gone: set[int], capsys: pytest.CaptureFixture[str]
) -> None:
    take_down(root, asked, capsys)
    published = digests(root)
    assert again(capsys, tmp_path / "same", raw, root)["units_run"] == 0
    assert digests(root) == published
    for changed in ({"shortest": 40}, {"shortest": 900, "extra": "keep_dropped: true\n" + EXTRA}):
        again(capsys, tmp_path / "changed", raw, root, **changed)
        assert not {doc for doc, _ in texts(root)} & gone
        opened = Root(root)
        plan = opened.require_plan()
        found = books(opened, plan.stages.values())
        assert sum(counts["rule: removed"] for counts in found.values()) == len(gone)
        check_conservation(found)
        check_digests(root)
        dropped = pq.read_table(root / "dropped", columns=["doc", "rule"]).to_pylist()
        assert sorted(row["doc"] for row in dropped if row["rule"] == "removed") == sorted(gone)


def test_shards_that_are_made_again_are_the_same_bytes(
    root: Path, raw: Path, tmp_path: Path, asked: list[int], gone: set[int], capsys: pytest.CaptureFixture[str]
) -> None:
    take_down(root, asked, capsys)
    before = {name: sha for name, sha in digests(root).items() if name.startswith("shards/")}
    for folder in root.glob("stages/shards-*"):
        shutil.rmtree(folder)
    assert again(capsys, tmp_path, raw, root)["units_run"] == 1
    assert {name: sha for name, sha in digests(root).items() if name.startswith("shards/")} == before
    again(capsys, tmp_path, raw, root, extra=MIX.replace("SEQ_LEN", "32"))
    for path in (root / "shards").glob("*.docs.parquet"):
        assert not set(pq.read_table(path)["doc"].to_pylist()) & gone


@pytest.mark.parametrize("stop", [0, 1, 8, 25])
def test_a_kill_anywhere_is_completed_and_until_then_nothing_runs(
    root: Path,
    raw: Path,
    tmp_path: Path,
    asked: list[int],
    stop: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = tmp_path / "other" / "root"
    other.parent.mkdir()
    subprocess.run(["cp", "-a", root, other], check=True)
    take_down(other, asked, capsys)
    done = []
    with monkeypatch.context() as patch:
        for name in ("put", "put_files", "delete", "copy_all"):
            method = getattr(LocalStore, name)

            def counted(store: LocalStore, *given: object, method=method) -> None:
                if len(done) > stop:
                    raise KeyboardInterrupt
                done.append(method)
                method(store, *given)

            patch.setattr(LocalStore, name, counted)
        (root.parent / "docs.txt").write_text("".join(f"{doc}\n" for doc in asked))
        assert run("remove", root, "--docs", root.parent / "docs.txt") == 130
    assert removed.pending(LocalStore(root)) is not None
    assert run("run", recipe(tmp_path, raw, extra=EXTRA), "--root", root, "--engine", "inline") == 2
    assert f"corpuskit remove {root}" in capsys.readouterr().err
    assert run("remove", root, "--docs", root.parent / "docs.txt") == 2
    assert answer(capsys, "remove", root)["removed"]
    one, two = whole(root), whole(other)
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name] and not name.startswith("removed/")] == []
    assert again(capsys, tmp_path, raw, root)["units_run"] == 0


def test_only_leaves_the_copies_and_they_say_what_became_of_their_witness(
    root: Path, asked: list[int], pairs: list[tuple[int, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    kept = asked[0]
    copies = {doc for doc, witness in pairs if witness == kept}
    found = take_down(root, [kept], capsys, "--only")
    assert (found["documents"], found["copies_left"]) == ([kept], len(copies))
    rows = pq.read_table(root / "duplicates").to_pylist()
    assert {row["kept_dropped_by"] for row in rows if row["kept_doc"] == kept} == {"removed"}
    assert {row["doc"] for row in rows if row["kept_doc"] == kept} == copies


def test_a_second_takedown_adds_to_the_first_and_trace_tells_both(
    root: Path, raw: Path, tmp_path: Path, asked: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    first = take_down(root, asked[:1], capsys)
    again(capsys, tmp_path, raw, root, shortest=61)
    second = take_down(root, [*asked[:2], asked[4]], capsys)
    assert second["removed_before"] == 1
    assert not set(first["documents"]) & set(second["documents"])
    opened = Root(root)
    plan = opened.require_plan()
    check_conservation(books(opened, plan.stages.values()))
    check_digests(root)
    for found, record in ((first, "removed/00000.json"), (second, "removed/00001.json")):
        for doc in found["documents"]:
            life = answer(capsys, "trace", root, doc)
            assert (life["fate"], life["taken_down"]["record"], life["text"]) == ("removed", record, None)
            assert (life["tokens"], life["shards"]) == (None, [])
    assert run("trace", root, first["documents"][0]) == 0
    assert "taken down" in capsys.readouterr().out
    assert take_down(root, asked[:1], capsys)["removed"] is False


def test_a_dry_run_changes_nothing_and_wrong_files_name_their_lines(
    root: Path, raw: Path, asked: list[int], gone: set[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = whole(root)
    found = take_down(root, asked, capsys, "--dry-run")
    assert (set(found["documents"]), found["removed"], found["models"]) == (gone, False, ["tokenizer"])
    (tmp_path / "docs.txt").write_text(f"# a request of today\n\n  # and its document\n{asked[0]}\n")
    assert run("remove", root, "--docs", tmp_path / "docs.txt", "--dry-run") == 0
    said = capsys.readouterr().out
    for line in ("1 documents asked for", "no checkpoint of this root saw any", "was exported keeps its own copies"):
        assert line in said
    (tmp_path / "wrong.txt").write_text(f"{asked[0]}\n\nriver\n12\n{raw}/web/00.jsonl#400\n{raw}/web/00.jsonl#0\n")
    assert run("remove", root, "--docs", tmp_path / "wrong.txt") == 2
    said = capsys.readouterr().err
    assert [f"wrong.txt:{line}:" in said for line in range(1, 7)] == [False, False, True, True, True, False]
    assert run("remove", root) == 2
    assert "--docs FILE" in capsys.readouterr().err
    assert whole(root) == before


def test_what_was_numbered_by_rows_fits_after_a_takedown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines to cut, and texts to compare, are found by row in the parts that lose a text."""
    rng = random.Random(3)
    notices = [f"A notice of the {name} that recurs" for name in ("north", "south", "east")]
    rows = [{"text": f"{text(rng)}\n{rng.choice(notices)}\n{text(rng)}", "score": number / 40} for number in range(40)]
    rows += [{"text": rows[number]["text"].replace(" ", " edited ", 1), "score": 0.5} for number in range(6)]
    (tmp_path / "web.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    steps = "  - lines: {min_chars: 10}\n  - where: score < MOST\n    name: high\n  - minhash: {threshold: 0.7}\n"
    source = f"  web: {{read: jsonl, path: '{tmp_path}/web.jsonl', columns: {{score: float64}}}}\n"
    path = tmp_path / "recipe.yaml"

    def build(root: Path, most: float) -> None:
        path.write_text(f"name: rows\nsources:\n{source}steps:\n{steps.replace('MOST', str(most))}")
        assert run("run", path, "--root", root, "--engine", "inline") == 0

    down = tmp_path / "down"
    build(down, 0.95)
    docs = [answer(capsys, "trace", down, f"{tmp_path}/web.jsonl#{number}")["doc"] for number in (2, 20, 21)]
    gone = set(take_down(down, docs, capsys)["documents"])
    assert gone == set(docs)
    for root in (down, tmp_path / "whole"):
        build(root, 0.85)
    found, wanted = (pq.read_table(root / "corpus").to_pylist() for root in (down, tmp_path / "whole"))
    left = {row["doc"]: row["text"] for row in wanted if row["doc"] not in gone}
    assert {row["doc"]: row["text"] for row in found} == left
    assert len(left) > 25
