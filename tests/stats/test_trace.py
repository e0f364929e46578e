"""Every token leads to its document, and every document to where it went and to what the steps did with it."""

import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from corpuskit.cli import main
from corpuskit.documents.reading import RECORD_BITS
from corpuskit.errors import UsageError
from corpuskit.explore.trace import Trace, trace
from corpuskit.explore.views import query, rebuild
from corpuskit.plan.planner import make
from corpuskit.recipe import load
from corpuskit.run import scheduler
from corpuskit.shards.tokenizer import from_json
from corpuskit.store.root import Root
from tests.core.builder import corpus

RECIPE = """\
name: traced
memory: 512MiB
sources:
  web:   {read: jsonl, path: "RAW/web/*", columns: {url: string, score: float64}}
  books: {read: jsonl, path: "RAW/books/*", columns: {url: string, score: float64}}
steps:
  - normalize: {unicode: NFC}
  - pii: {}
    only: [web]
  - clean_chars: {}
  - where: clean_chars >= 60
    name: too_short
  - lines: {documents: 3, min_chars: 10}
  - exact: {keep: [books, web]}
  - where: score < 0.8
    name: odd
    only: [web]
  - minhash: {shingle: {unit: word, n: 3}, threshold: 0.7, keep: [books, web]}
  - holdout: {tokens: 2k, seed: 1, dedup_train: true}
mix:
  tokenizer: {train: {vocab_size: 400}}
  tokens: 8k
  max_epochs: 3
  shards: {seq_len: 64, seed: 42}
  phases:
    - {until: 0.4, weights: {web: 0.4, books: 0.6}, seq_len: 32}
    - {until: 1, weights: {web: 0.7, books: 0.3}}
train: {model: 1M, tokens: 6k, batch_tokens: 2048, validation_sequences: 2, checkpoint_every: 2}
"""
NOTICE = "All rights reserved by the keeper of this notice."


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small corpus with a line that recurs, an address, and a record without text."""
    folder = corpus(tmp_path_factory.mktemp("raw"), rows=16)
    path = folder / "web" / "00.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for number, row in enumerate(rows):
        row["text"] += f"\n{NOTICE}" if number < 9 else f"\nWrite to editor{number}@letters.org" if number < 12 else ""
    rows.append({"text": "  ", "url": "https://web/empty", "score": 0.5})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def build(folder: Path, raw: Path, until: str | None = None) -> Root:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.replace("RAW", str(raw)))
    plan, root = make(load(path, [])), Root(folder / "root")
    outcome = scheduler.run(plan, root, root.new_run(path.read_text(), "", plan), engine="inline", until=until)
    assert not outcome.failures, outcome.failures[0][1].traceback
    rebuild(root, plan)
    return root


@pytest.fixture(scope="module")
def traced(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")
    root = build(tmp_path_factory.mktemp("traced"), raw)
    return Trace(root, root.require_plan())


@pytest.fixture(scope="module")
def lineage(traced: Trace) -> list[dict]:
    """Every record of the run with its fate, as the published folders have it."""
    return query(traced.root, "SELECT * FROM lineage").to_pylist()


@pytest.fixture(scope="module")
def lives(traced: Trace, lineage: list[dict]) -> dict[int, dict]:
    return {row["doc"]: traced.document(row["doc"]) for row in lineage}


def test_every_record_is_found_by_its_id_and_by_its_file(traced: Trace, lineage: list[dict], lives: dict) -> None:
    assert len(lineage) == len(lives) == 97
    for row in lineage:
        life = lives[row["doc"]]
        assert (life["raw"]["path"], life["raw"]["record"]) == (row["path"], row["record"])
        assert life["fate"] == row["fate"]
        assert life["raw"]["digest"] == row["digest"]
    for path, record in (("00.jsonl", 3), ("02.jsonl", 15)):
        whole = next(row for row in lineage if row["source"] == "web" and row["relative"] == path)["path"]
        assert traced.record(whole, record) == lives[traced.origins.at(whole, record).doc]


def test_the_fixture_has_every_fate(lives: dict) -> None:
    assert {life["fate"] for life in lives.values()} == {
        *("kept", "held_out", "exact", "near", "too_short", "odd", "empty")
    }


def test_steps_are_told_up_to_the_one_that_took_the_document_out(lives: dict) -> None:
    books = ["normalize", "clean_chars", "too_short", "lines", "exact", "minhash", "holdout"]
    web = ["normalize", "pii", "clean_chars", "too_short", "lines", "exact", "odd", "minhash", "holdout"]
    last = {"too_short": "too_short", "odd": "odd", "exact": "exact", "near": "minhash", "held_out": "holdout"}
    for life in lives.values():
        every = web if life["raw"]["source"] == "web" else books
        steps, end = [step["step"] for step in life["steps"]], last.get(life["fate"])
        if life["fate"] == "empty":
            assert steps in (["empty"], [*every[: every.index("lines") + 1], "empty"]), "empty, or emptied by `lines`"
            continue
        assert steps == (every if end is None else every[: every.index(end) + 1])
        outcomes = [step["outcome"] for step in life["steps"]]
        ends = {"kept": "passed", "held_out": "held out"}
        assert outcomes == ["passed"] * (len(steps) - 1) + [ends.get(life["fate"], "dropped")]


def test_values_are_those_that_the_rule_read(lives: dict, raw: Path) -> None:
    for life in lives.values():
        steps = {step["step"]: step for step in life["steps"]}
        if "too_short" not in steps:
            continue
        counted = steps["clean_chars"]["values"]["clean_chars"]
        assert steps["too_short"]["values"] == {"clean_chars": counted}
        assert (counted < 60) == (life["fate"] == "too_short")
        if "odd" in steps:
            assert steps["odd"]["values"]["score"] == life["columns"]["score"]
            assert "clean_chars" not in life["columns"], "what a signal gave is no column of the reader"


def test_findings_and_cut_lines_are_counted_by_document(traced: Trace, lives: dict) -> None:
    found = {doc: step["found"] for doc, life in lives.items() for step in life["steps"] if "found" in step}
    assert len(found) == 3
    assert all([one["what"] for one in each] == ["email"] for each in found.values())
    cut = {doc: step["lines"] for doc, life in lives.items() for step in life["steps"] if step.get("lines")}
    facts = Counter()
    for stage in traced.plan.stages.values():
        for receipt in traced.root.complete(stage):
            for counts in receipt.facts.get("lines", {}).values() if stage.kind == "segment" else ():
                facts.update(counts)
    assert (len(cut), sum(cut.values())) == (facts["documents"], facts["lines"])
    assert facts["lines"] >= 5
    assert all(NOTICE not in (lives[doc]["text"] or "") for doc in cut)


def test_copies_and_witnesses_point_at_each_other(lives: dict) -> None:
    pairs = {(doc, life["duplicate_of"]["kept_doc"]) for doc, life in lives.items() if life["duplicate_of"]}
    assert {doc for doc, _ in pairs} == {doc for doc, life in lives.items() if life["fate"] in ("exact", "near")}
    assert pairs == {(copy["doc"], doc) for doc, life in lives.items() for copy in life["copies"]}
    assert all(life["text"] for life in lives.values() if life["fate"] in ("exact", "near")), "it was stored before"


def test_stored_texts_are_in_the_row_that_is_said(traced: Trace, lives: dict) -> None:
    for life in lives.values():
        if life["stored"] is None:
            assert life["fate"] in ("exact", "near")
            continue
        row = pq.read_table(traced.root.path / life["stored"]["file"]).slice(life["stored"]["row"], 1).to_pylist()[0]
        assert (row["doc"], row["text"]) == (life["doc"], life["text"])


@pytest.fixture(scope="module")
def encoded(traced: Trace, lives: dict) -> dict[int, list[int]]:
    """The tokens of every document that has some, from its text, with the end token."""
    loaded = from_json((traced.root.path / "tokens" / "tokenizer.json").read_text(), "test")
    kept = {doc: life["text"] for doc, life in lives.items() if life["fate"] in ("kept", "held_out")}
    return {doc: [*ids.tolist(), loaded.eos] for doc, ids in zip(kept, loaded.encode(list(kept.values())), strict=True)}


def test_the_tokens_of_every_document_are_where_they_are_said_to_be(
    traced: Trace, lives: dict, encoded: dict[int, list[int]]
) -> None:
    assert {doc for doc, life in lives.items() if life["tokens"]} == set(encoded)
    for doc, tokens in encoded.items():
        said = lives[doc]["tokens"]
        assert said["split"] == ("train" if lives[doc]["fate"] == "kept" else "validation")
        stored = np.fromfile(traced.root.path / said["file"], "<u2")
        assert stored[said["offset"] : said["offset"] + said["tokens"]].tolist() == tokens
        last = traced.place(said["file"], said["offset"] + said["tokens"] - 1)
        assert (last["doc"], last["token"]) == (doc, tokens[-1])


def test_every_training_batch_leads_to_texts_that_give_its_tokens(
    traced: Trace, lives: dict, encoded: dict[int, list[int]]
) -> None:
    """What the trainer itself reads at a step, against the texts of the documents that `trace` names."""
    from corpuskit.train.data import Shards

    trained, read = Shards(traced.root.path / "shards", "document"), 0
    steps = traced.step(1)["steps"]
    places = defaultdict(list)
    for number in range(1, steps + 1):
        found = traced.step(number)
        split = trained.train[found["phase"]]
        numbers = [one["number"] for one in found["sequences"]]
        batch = split.batch(numbers, len(numbers))
        tokens = np.concatenate([batch.inputs.numpy(), np.zeros((len(numbers), 1), np.int64)], 1)
        owner = batch.documents.numpy()
        for row, one in enumerate(found["sequences"]):
            for run, said in enumerate(one["documents"], 1):
                text = encoded[said["doc"]][said["doc_start"] : said["doc_start"] + said["length"]]
                end = min(said["start"] + said["length"], split.seq_len)
                assert tokens[row, said["start"] : end].tolist() == text[: end - said["start"]]
                assert (owner[row, said["start"] : end] == run).all()
                places[said["doc"]].append((number, one["file"], one["sequence"], said["start"]))
            assert (owner[row] > 0).sum() == sum(min(s["length"], split.seq_len - s["start"]) for s in one["documents"])
            read += 1
    assert traced.step(steps)["phase"] == 1, "the fixture trains through both phases"
    assert read == sum(stretch.sequences for stretch in traced._trainings[0].budget.stretches)
    for doc, life in lives.items():
        (seen,) = life["training"]
        assert seen["steps"] == sorted({number for number, *_ in places[doc]})
        there = [(run["file"], run["sequence"], run["start"]) for run in life["shards"]]
        assert {place[1:] for place in places[doc]} <= set(there)
        assert seen["checkpoints"] == [step for step in (2, 4) if seen["steps"] and step >= seen["steps"][0]]


def test_every_run_in_the_shards_is_listed_at_its_document_with_its_epoch(
    traced: Trace, lives: dict, encoded: dict[int, list[int]]
) -> None:
    rows = []
    for path in sorted((traced.root.path / "shards").glob("*.docs.parquet")):
        file = f"shards/{path.name.replace('.docs.parquet', '.bin')}"
        rows += [(file, *row.values()) for row in pq.read_table(path).to_pylist()]
    listed = [
        tuple(run[name] for name in ("file", "sequence", "start", "length", "domain", "doc", "doc_start"))
        for life in lives.values()
        for run in life["shards"]
    ]
    assert sorted(listed) == sorted(rows)
    most = 0
    for doc, life in lives.items():
        for epoch in {run["epoch"] for run in life["shards"]} - {None}:
            covered = np.zeros(len(encoded[doc]), np.int64)
            for run in life["shards"]:
                if run["epoch"] == epoch:
                    covered[run["doc_start"] : run["doc_start"] + run["length"]] += 1
            # slices of a block share a token: their last is the next one's first
            assert covered.max() <= 2
            most = max(most, epoch)
    assert most >= 1, "the fixture has a second epoch"


def test_a_place_in_a_shard_names_its_token_and_document(traced: Trace, lives: dict) -> None:
    shard = np.fromfile(traced.root.path / "shards" / "train-00000.bin", "<u2")
    padding = 0
    for offset in range(0, len(shard), 211):
        found = traced.place("shards/train-00000.bin", offset)
        assert found["token"] == shard[offset]
        if found["doc"] is None:
            padding += 1
        else:
            assert found["document"] == lives[found["doc"]]
    assert traced.place("train-00000.bin", 0) == traced.place(str(traced.root.path / "shards/train-00000.bin"), 0)


def test_text_says_what_data_says(traced: Trace, lives: dict) -> None:
    copy = next(life for life in lives.values() if life["fate"] == "near")
    said, _ = trace(traced.root, traced.plan, str(copy["doc"]))
    assert "removed, a near duplicate" in said
    assert f"copy of {copy['duplicate_of']['kept_doc']} (" in said
    kept = next(life for life in lives.values() if life["training"][0]["steps"])
    said, data = trace(traced.root, traced.plan, f"{kept['raw']['path']}#{kept['raw']['record']}")
    assert data == kept
    assert kept["stored"]["file"] in said
    assert f"{traced._trainings[0].folder}: in step {kept['training'][0]['steps'][0]}" in said
    said, _ = trace(traced.root, traced.plan, "step:2")
    assert ", step 2 of " in said
    assert trace(traced.root, traced.plan, "shards/train-00000.bin:5")[0].startswith("shards/train-00000.bin, token 5:")


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("5", "gave a document 5"),
        ("nowhere.jsonl#0", "is nowhere.jsonl"),
        ("00.jsonl#0", "may be "),
        ("step:0", "no step 0"),
        ("step:99", "it has the steps 1 to "),
        ("shards/train-00009.bin:0", "no file of shards or tokens"),
        ("shards/train-00000.bin:99999999", "has no place 99,999,999"),
        ("river", "nothing that can be traced"),
    ],
)
def test_what_is_not_there_is_an_error_that_says_what_is(traced: Trace, what: str, reason: str) -> None:
    with pytest.raises(UsageError) as error:
        trace(traced.root, traced.plan, what)
    assert reason in str(error.value)
    assert error.value.hint


def test_of_a_run_that_has_not_come_to_its_end_the_steps_so_far_are_told(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = build(tmp_path, raw, until="filter-books")
    path = raw / "books" / "00.jsonl"
    assert main(["trace", str(root.path), f"{path}#2", "--json"]) == 0
    life = json.loads(capsys.readouterr().out)
    assert (life["fate"] in (None, "too_short"), life["tokens"], life["shards"]) == (True, None, [])
    assert main(["trace", str(root.path), str(life["doc"])]) == 0
    assert "train-00000" not in capsys.readouterr().out
    assert main(["trace", str(root.path), "step:1"]) == 2
    assert "not complete" in capsys.readouterr().err


def test_records_of_a_file_that_was_read_in_ranges_count_from_its_start(tmp_path: Path) -> None:
    """Two ranges of 64 MiB: the second one's first record is numbered on."""
    row = json.dumps({"text": "x" * (1 << 20)})
    (tmp_path / "long.jsonl").write_text(f"{row}\n" * 70)
    (tmp_path / "recipe.yaml").write_text(
        f"name: ranges\nsources:\n  web: {{read: jsonl, path: '{tmp_path}/long.jsonl'}}\n"
    )
    assert main(["run", str(tmp_path / "recipe.yaml"), "--root", str(tmp_path / "root"), "--engine", "inline"]) == 0
    root = Root(tmp_path / "root")
    opened = Trace(root, root.require_plan())
    docs = [opened.origins.at(str(tmp_path / "long.jsonl"), number) for number in range(70)]
    assert [one.record for one in docs] == list(range(70))
    assert len({one.doc >> RECORD_BITS for one in docs}) == 2
    assert [opened.origins.of(one.doc) for one in docs] == docs


def test_a_takedown_names_the_checkpoints_that_saw_the_document(
    traced: Trace, lives: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = max(
        (life for life in lives.values() if life["training"][0]["steps"]), key=lambda one: one["training"][0]["steps"]
    )
    (tmp_path / "docs.txt").write_text(f"{late['doc']}\n")
    words = ["remove", str(traced.root.path), "--docs", str(tmp_path / "docs.txt"), "--only", "--dry-run"]
    assert main([*words, "--json"]) == 0
    (seen,) = json.loads(capsys.readouterr().out)["trainings"]
    assert seen == late["training"][0] | {"first_step": late["training"][0]["steps"][0]}
    assert main(words) == 0
    first, kept = seen["first_step"], ", ".join(f"step-{step}" for step in seen["checkpoints"])
    assert f"{seen['training']} saw some from step {first} on; its checkpoints: {kept}" in capsys.readouterr().out
