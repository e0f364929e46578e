"""Early cut-off: units that would read what an earlier unit read do not run, and what they publish keeps its name."""

import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from corpuskit.cli import main
from corpuskit.engines import Task
from corpuskit.explore.views import query
from corpuskit.plan.grouping import GROUP_BYTES, MIN_FILE_BYTES
from corpuskit.run.execute import execute
from corpuskit.store.root import Root
from tests.core.builder import digests, text

RECIPE = """\
name: growing
sources:
  web:   {{read: jsonl, path: "{raw}/web/*"}}
  books: {{read: jsonl, path: "{raw}/books/*"}}
steps:
  - clean_chars: {{}}
  - where: clean_chars >= 60
    name: too_short
  - minhash: {{shingle: {{unit: word, n: 3}}, threshold: {threshold}, keep: [books, web]}}
  - where: clean_chars < 5000
    name: too_long
"""


def own_unit(number: int) -> str:
    """The number-th file name behind which a unit ends, however the files around it are called."""
    chance = MIN_FILE_BYTES / GROUP_BYTES * 2**32
    names = (f"{k:07d}.jsonl" for k in itertools.count())
    ends = (name for name in names if int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) < chance)
    return next(itertools.islice(ends, number, None))


def texts(seed: object, rows: int = 12) -> list[str]:
    rng = random.Random(str(seed))
    return [text(rng, 80) for _ in range(rows)]


def write(path: Path, rows: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    return path


def copies(rows: list[str]) -> list[str]:
    """Near copies: one word is another."""
    return [row.replace(row.split()[40], "edited", 1) for row in rows]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Three units a domain; books/1 has a near copy in web/1 and an exact one in books/2."""
    folder = tmp_path / "raw"
    for domain in ("web", "books"):
        for number in range(3):
            rows = texts((domain, number))
            if (domain, number) == ("web", 1):
                rows += copies(texts(("books", 1))[:2])
            if (domain, number) == ("books", 2):
                rows += texts(("books", 1))[:1]
            write(folder / domain / own_unit(number), rows)
    return folder


def recipe(folder: Path, raw: Path, *, threshold: float = 0.7, extra: str = "") -> Path:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(raw=raw, threshold=threshold) + extra)
    return path


def build(path: Path, root: Path) -> list[dict]:
    """Run a recipe; what the log of the run says of each unit that ended."""
    assert main(["run", str(path), "--root", str(root), "--engine", "inline"]) == 0
    log = map(json.loads, (root / Root(root).latest_run() / "log.jsonl").read_bytes().splitlines())
    return [entry for entry in log if entry["event"] == "ended"]


def ran(log: list[dict]) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in log:
        if not entry["reused"]:
            found[entry["stage"]] = found.get(entry["stage"], 0) + 1
    return found


def inodes(root: Path) -> dict[str, int]:
    files = itertools.chain((root / "corpus").rglob("*.parquet"), (root / "tokens").rglob("*.bin"))
    return {path.relative_to(root).as_posix(): path.stat().st_ino for path in files}


GLOBAL = {"rank": 1, "exact": 1, "bands": 1, "verify": 1, "choose": 1, "duplicates": 1}


def test_unrelated_documents_cost_their_own_units_and_the_global_stages(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, path = tmp_path / "root", recipe(tmp_path, raw)
    build(path, root)
    before = inodes(root)
    assert len(before) == 6
    write(raw / "web" / own_unit(3), texts("new"))
    capsys.readouterr()
    log = build(path, root)
    assert ran(log) == GLOBAL | dict.fromkeys(
        ("filter-web", "signatures-web", "buckets-web", "decide-web", "corpus-web"), 1
    )
    reused = {entry["stage"] for entry in log if entry["reused"]}
    assert reused == {"decide-web", "decide-books", "corpus-web", "corpus-books"}
    after = inodes(root)
    assert len(after) == 7
    assert before.items() <= after.items()
    assert "12 reused" in capsys.readouterr().out
    build(path, tmp_path / "fresh")
    assert digests(root) == digests(tmp_path / "fresh")
    shown = query(
        Root(root), "SELECT count(reused) AS reused, sum(rows) AS rows FROM receipts WHERE stage = 'corpus-web'"
    )
    assert shown.to_pylist() == [{"reused": 3, "rows": pq.read_table(root / "corpus" / "domain=web").num_rows}]


def test_a_newcomer_of_higher_priority_rewrites_the_part_of_the_document_it_removes_alone(
    raw: Path, tmp_path: Path
) -> None:
    root, path = tmp_path / "root", recipe(tmp_path, raw)
    build(path, root)
    before = inodes(root)
    longer = [row + " And one more word." for row in texts(("web", 2))[:1]]
    write(raw / "books" / own_unit(3), texts("new") + longer)
    assert ran(build(path, root))["corpus-web"] == 1
    after = inodes(root)
    gone = before.keys() - after.keys()
    assert len(gone) == 1
    assert gone.pop().startswith("corpus/domain=web/")
    assert before.items() - after.items() == {(name, before[name]) for name in before.keys() - after.keys()}
    build(path, tmp_path / "fresh")
    assert digests(root) == digests(tmp_path / "fresh")


def test_a_choice_that_comes_out_the_same_rewrites_nothing_and_one_that_does_not_gives_the_documents_back(
    raw: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    build(recipe(tmp_path, raw), root)
    before = inodes(root)
    same = ran(build(recipe(tmp_path, raw, threshold=0.72), root))
    assert not {"corpus-web", "corpus-books"} & same.keys()
    assert inodes(root) == before
    other = ran(build(recipe(tmp_path, raw, threshold=0.99), root))
    assert other["corpus-web"] == 1
    assert other["buckets-web"] == 3  # there are other bands now, and of the same signatures
    assert not {"signatures-web", "signatures-books"} & (same | other).keys()
    assert len(before.items() - inodes(root).items()) == 1
    # and back again: the parts of the first build are found
    assert not {"corpus-web", "corpus-books"} & ran(build(recipe(tmp_path, raw, threshold=0.71), root)).keys()
    assert before.keys() == inodes(root).keys()


def test_a_raw_file_with_another_time_and_the_same_documents_is_read_again_and_nothing_more(
    raw: Path, tmp_path: Path
) -> None:
    root, path = tmp_path / "root", recipe(tmp_path, raw)
    build(path, root)
    before = inodes(root)
    os.utime(raw / "web" / own_unit(1), ns=(1, 1))
    log = build(path, root)
    assert ran(log) == {"filter-web": 1} | GLOBAL
    assert inodes(root) == before


def test_a_damaged_part_is_not_taken_over(raw: Path, tmp_path: Path) -> None:
    root, path = tmp_path / "root", recipe(tmp_path, raw)
    build(path, root)
    before = digests(root)
    damaged = max(root.glob("stages/corpus-web-*/parts/*-corpus.parquet"), key=lambda found: found.name)
    os.truncate(damaged, damaged.stat().st_size // 2)  # the published file is a link to it
    assert digests(root) != before
    write(raw / "web" / own_unit(3), texts("new"))
    assert ran(build(path, root))["corpus-web"] == 2
    build(path, tmp_path / "fresh")
    assert digests(root) == digests(tmp_path / "fresh")


def test_a_part_that_vanished_and_an_index_that_is_damaged_cost_a_run(raw: Path, tmp_path: Path) -> None:
    root, path = tmp_path / "root", recipe(tmp_path, raw)
    build(path, root)
    next(root.glob("stages/corpus-books-*/parts/*-corpus.parquet")).unlink()
    place = {
        entry["folder"]: index
        for index in root.glob("stages/content/*.json")
        if (entry := json.loads(index.read_text()))
    }
    web = next(index for folder, index in place.items() if folder.startswith("corpus-web-"))
    web.write_text("{")
    write(raw / "web" / own_unit(3), texts("new"))
    found = ran(build(path, root))
    assert (found["corpus-web"], found["corpus-books"]) == (2, 1)
    build(path, tmp_path / "fresh")
    assert digests(root) == digests(tmp_path / "fresh")


KILLED = """
import os, signal, sys
from corpuskit.store import local as store
from corpuskit.cli import main

place, left = store.link, int(sys.argv[3])

def killed(source, target):
    global left
    place(source, target)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

store.link = killed
sys.exit(main(["run", sys.argv[1], "--root", sys.argv[2], "--engine", "inline"]))
"""


def test_a_run_killed_between_two_links_goes_on_and_gives_the_same(raw: Path, tmp_path: Path) -> None:
    root, path = tmp_path / "root", recipe(tmp_path, raw)
    build(path, root)
    write(raw / "web" / own_unit(3), texts("new"))
    for number in (1, 3):
        killed = [sys.executable, "-c", KILLED, str(path), str(root), str(number)]
        assert subprocess.run(killed, capture_output=True, check=False).returncode == -signal.SIGKILL
        for receipt in root.glob("stages/corpus-*/receipts/*.json"):
            for part in json.loads(receipt.read_text())["parts"].values():
                assert (receipt.parents[1] / "parts" / part["file"]).stat().st_size == part["bytes"]
    assert ran(build(path, root)).get("corpus-web", 0) <= 1
    build(path, tmp_path / "fresh")
    assert digests(root) == digests(tmp_path / "fresh")


def test_two_units_that_give_the_same_commit_at_the_same_time(raw: Path, tmp_path: Path) -> None:
    """A unit that another process committed meanwhile is left as it is."""
    root, path = tmp_path / "root", recipe(tmp_path, raw)
    build(path, root)
    plan = Root(root).require_plan()
    stage = plan.stages["corpus-web"]
    receipt = root / "stages" / stage.folder / "receipts" / f"{stage.units[0].key}.json"
    before = receipt.read_bytes()
    execute(plan, Root(root), Task("corpus-web", 0))
    assert receipt.read_bytes() == before


STEPS = """
from pathlib import Path
import pyarrow as pa
from corpuskit import step

@step.signal
def length(batch):
    return pa.array([len(text) for text in batch["text"].to_pylist()], pa.int64())

@step.signal
def mark(batch):
    return pa.array([1] * batch.num_rows, pa.int64())

@step.edit
def marked(batch):
    return batch.append_column("mark", pa.array([1] * batch.num_rows, pa.int64()))

@step.signal
def seen(batch):
    return pa.array([",".join(sorted(batch.schema.names))] * batch.num_rows)
"""


def test_what_was_scored_before_is_in_no_name(raw: Path, tmp_path: Path) -> None:
    """Stored signals are loaded: how many were computed tells of the past of a root, not of its corpus."""
    (tmp_path / "own.py").write_text(STEPS)
    path = recipe(tmp_path, raw)
    said = path.read_text().replace("  - minhash", "  - ./own.py:length: {}\n  - minhash")
    for root, shortest in (("grown", 50), ("grown", 60), ("fresh", 60)):
        path.write_text(said.replace(">= 60", f">= {shortest}"))
        found = ran(build(path, tmp_path / root))
        assert ("corpus-web" in found) == (root == "fresh" or shortest == 50)
    assert digests(tmp_path / "grown") == digests(tmp_path / "fresh")


def test_steps_that_are_shown_other_columns_of_the_same_documents_run_again(raw: Path, tmp_path: Path) -> None:
    """`mark` is the column of an edit in one recipe and a signal, which later steps are not shown, in the other."""
    (tmp_path / "own.py").write_text(STEPS)
    said = (
        f'name: own\nsources:\n  web: {{read: jsonl, path: "{raw}/web/*"}}\nsteps:\n  - ./own.py:FIRST: {{}}\n'
        "  - minhash: {shingle: {unit: word, n: 3}}\n  - ./own.py:seen: {}\n"
    )
    root, path = tmp_path / "root", tmp_path / "recipe.yaml"
    shown, reused = [], []
    for first in ("marked", "mark"):
        path.write_text(said.replace("FIRST", first))
        reused.append({entry["stage"] for entry in build(path, root) if entry["reused"]})
        shown += pq.read_table(root / "corpus").column("seen").unique().to_pylist()
    assert "signatures-web" in reused[1]  # the documents were the same, byte for byte
    assert ["mark" in names.split(",") for names in shown] == [True, False]


MIX = """\
mix:
  tokenizer: {tokenizer}
  weights: proportional
  tokens: max
  shards: {{seq_len: 64, seed: 1}}
"""


def test_tokens_of_documents_that_stayed_are_not_made_again(raw: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"<eos>": 0, "river": 1, "<unk>": 2}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(["<eos>"])
    made.save(str(tmp_path / "tokenizer.json"))
    root = tmp_path / "root"
    path = recipe(
        tmp_path,
        raw,
        extra="  - holdout: {tokens: 200, dedup_train: true}\n" + MIX.format(tokenizer=tmp_path / "tokenizer.json"),
    )
    build(path, root)
    before = inodes(root)
    write(raw / "web" / own_unit(3), texts("new"))
    found = ran(build(path, root))
    # the new unit, and one whose document is no longer held out
    assert found["tokens-web"] == found["corpus-web"] == 2
    assert not {"corpus-books", "tokens-books"} & found.keys()
    assert len(before.items() - inodes(root).items()) == 3  # its documents, and its tokens of both splits
    for part in json.loads((root / "tokens" / "manifest.json").read_text())["parts"]:
        content = (root / "tokens" / part["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == part["sha256"]
    build(path, tmp_path / "fresh")
    assert digests(root) == digests(tmp_path / "fresh")
