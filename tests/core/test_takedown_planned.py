"""A takedown where no shards are written, every dropped text is kept, and the corpus has an index of spans."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from corpuskit.core.checksum import named_sum
from corpuskit.explore.find import Search
from corpuskit.run.seal import books, check_conservation
from corpuskit.run.verify import verify
from corpuskit.store.root import Root
from corpuskit.train.stream import GONE
from tests.core.builder import corpus, digests, recipe
from tests.core.test_takedown import answer, check_digests, run, take_down, texts

EXTRA = """\
keep_dropped: true
index: {spans: true}
mix:
  tokenizer: {train: {vocab_size: 400}}
  weights: {web: 0.4, books: 0.6}
  tokens: max
  max_epochs: 2
  write: plan
  shards: {seq_len: 64, seed: 42, packing: best_fit}
"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("raw"), rows=20)


@pytest.fixture(scope="module")
def built(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planned")
    assert run("run", recipe(folder, raw, extra=EXTRA), "--root", folder / "root", "--engine", "inline") == 0
    return folder / "root"


@pytest.fixture
def root(built: Path, tmp_path: Path) -> Path:
    """A copy, with the links between its files."""
    subprocess.run(["cp", "-a", built, tmp_path / "root"], check=True)
    return tmp_path / "root"


@pytest.fixture(scope="module")
def asked(built: Path) -> list[int]:
    """Three documents that are kept, of which one has copies, and one that is held out; each text stands once."""
    copied = set(pq.read_table(built / "duplicates")["kept_doc"].to_pylist())
    kept = pq.read_table(built / "corpus", columns=["doc"])["doc"].to_pylist()
    (first, *_), (second, third, *_) = ([doc for doc in kept if (doc in copied) is it] for it in (True, False))
    return [first, second, third, pq.read_table(built / "holdout", columns=["doc"])["doc"][0].as_py()]


def go(root: Path, raw: Path, folder: Path, **changed: object) -> int:
    path = recipe(folder, raw, **({"extra": EXTRA} | changed))
    assert run("run", path, "--root", root, "--engine", "inline") == 0
    return len(Root(root).runs())


def test_no_text_is_left_not_of_duplicates_nor_in_the_index(
    root: Path, asked: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    before = list(texts(root))
    gone = set(take_down(root, asked, capsys)["documents"])
    assert len(gone) > len(asked)
    taken = {text for doc, text in before if doc in gone and " " in text}
    rules = {row["rule"] for row in pq.read_table(root / "dropped", columns=["rule"]).to_pylist()}
    assert {"minhash", "removed"} <= rules
    after = list(texts(root))
    assert {pair for pair in before if pair[0] not in gone} == set(after)
    assert not {text for _, text in after} & taken
    content = b"".join(path.read_bytes() for path in root.glob("stages/spans-*/parts/*.u8"))
    assert content
    assert not [text for text in taken if text.encode() in content]
    opened = Root(root)
    found = books(opened, opened.require_plan().stages.values())
    assert sum(counts["rule: removed"] for counts in found.values()) == len(gone)
    assert min(count for counts in found.values() for count in counts.values()) >= 0
    check_conservation(found)
    check_digests(root)
    assert all(named_sum(path.name) for path in root.glob("stages/signal-*/columns/*/*.arrow"))


def test_find_is_right_before_and_after_the_index_is_made_again(
    root: Path, raw: Path, built: Path, asked: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {row["doc"]: row["text"] for row in pq.read_table(built / "corpus", columns=["doc", "text"]).to_pylist()}
    gone = set(take_down(root, asked, capsys)["documents"])
    left = next(text for doc, text in rows.items() if doc not in gone and len(text) > 400)
    passages = [*(rows[doc][:200] for doc in asked[:3]), left[20:90], "river"]
    opened = Root(root)
    between = Search(opened, opened.require_plan())
    assert not between.indexed
    found = [between.passage(text) for text in passages]
    assert [one.total.occurrences for one in found[:4]] == [0, 0, 0, 1]
    (tmp_path / "text").write_text(left)
    assert run("find", root, "--file", tmp_path / "text") == 2
    assert "only a part of its index" in capsys.readouterr().err
    go(root, raw, tmp_path)
    opened = Root(root)
    again = Search(opened, opened.require_plan())
    assert again.indexed
    assert [again.passage(text) for text in passages] == found
    check_digests(root)


def test_only_the_index_is_made_again_and_nothing_comes_back(
    root: Path, raw: Path, asked: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = set(take_down(root, asked, capsys)["documents"])
    published = digests(root)
    path = recipe(tmp_path, raw, extra=EXTRA)
    ran = answer(capsys, "run", path, "--root", root, "--engine", "inline")["units_run"]
    assert 0 < ran <= 6
    assert answer(capsys, "run", path, "--root", root, "--engine", "inline")["units_run"] == 0
    assert digests(root) == published
    go(root, raw, tmp_path / "changed", shortest=40)
    assert not {doc for doc, _ in texts(root)} & gone
    check_digests(root)


def test_the_trainer_follows_the_plan_without_loss_on_them(
    root: Path, built: Path, raw: Path, asked: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It reads what it would from shards that are written after the takedown, all else at its place."""
    pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")
    from corpuskit.train.data import IGNORE, Shards

    take_down(root, asked, capsys)
    one, other = (Shards(folder / "shards", "document") for folder in (built, root))
    assert one.fingerprint == other.fingerprint, "a training goes on"
    pairs = [
        (one.train[0], other.train[0]),
        *((split, other.validation[name]) for name, split in one.validation.items()),
    ]
    lost = 0
    for split, now in pairs:
        before, after = (each.batch(range(len(each)), len(each)) for each in (split, now))
        padding = after.documents == 0
        assert (after.targets[padding] == IGNORE).all()
        same = after.targets != IGNORE
        assert (after.targets[same] == before.targets[same]).all()
        assert padding[(before.targets != IGNORE) & ~same].all()
        lost += int(((before.targets != IGNORE) & ~same).sum())
    assert lost > 100
    go(root, raw, tmp_path, extra=EXTRA.replace("write: plan", "write: shards"))
    written = Shards(root / "shards", "document")
    whole = [each.train[0].batch(range(len(each.train[0])), len(each.train[0])) for each in (other, written)]
    assert all((getattr(whole[0], name) == getattr(whole[1], name)).all() for name in ("targets", "documents"))
    assert [split.tokens for split in written.validation.values()] == [s.tokens for s in other.validation.values()]
    assert written.bytes == other.bytes


def test_indexes_that_are_made_again_are_those_that_were_blanked(
    root: Path, raw: Path, asked: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = take_down(root, asked, capsys)["documents"]
    before = {name: sha for name, sha in digests(root).items() if name.endswith(".idx")}
    assert len(before) > 10
    indexes = [np.fromfile(path, "<u8") for path in sorted((root / "shards").glob("[tv]*.idx"))]
    assert sum(int((index == GONE).sum()) for index in indexes) > 0
    assert not any(np.isin(index, gone).any() for index in indexes)
    for folder in root.glob("stages/blocks-*"):
        subprocess.run(["rm", "-r", folder], check=True)
    go(root, raw, tmp_path)
    assert {name: sha for name, sha in digests(root).items() if name.endswith(".idx")} == before


def test_gc_keeps_what_the_plan_is_followed_over(
    root: Path, raw: Path, asked: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take_down(root, asked, capsys)
    go(root, raw, tmp_path / "changed", shortest=700)
    go(root, raw, tmp_path)
    published = digests(root)
    assert answer(capsys, "gc", root, "--yes")["bytes"] > 0
    assert verify(Root(root)).faults == []
    assert digests(root) == published
    path = recipe(tmp_path, raw, extra=EXTRA)
    assert answer(capsys, "run", path, "--root", root, "--engine", "inline")["units_run"] == 0
    place = answer(capsys, "trace", root, "shards/train-00000.bin:70")
    assert place["documents"]


def test_a_damaged_receipt_is_told_before_anything_is_taken_down(
    root: Path, asked: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    receipt = next(root.glob("stages/tokens-web-*/receipts/*.json"))
    receipt.write_bytes(receipt.read_bytes().replace(b"digest", b"digesd", 1))
    (root.parent / "docs.txt").write_text(f"{asked[0]}\n")
    assert run("remove", root, "--docs", root.parent / "docs.txt") == 1
    said = capsys.readouterr().err
    assert receipt.name in said
    assert "is damaged" in said
    assert "--repair" in said
    assert not (root / "removed" / "pending.json").exists()
    assert json.loads((root / "tokens" / "manifest.json").read_text())["parts"]
