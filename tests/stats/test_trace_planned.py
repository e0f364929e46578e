"""Sequences that are not written are traced as those of written shards are: they are the same."""

import json
from pathlib import Path

import numpy as np
import pytest

from corpuskit.cli import main
from corpuskit.explore.trace import Trace, trace
from corpuskit.explore.trace.tokens import Training
from corpuskit.plan.planner import make
from corpuskit.recipe import load
from corpuskit.run import scheduler
from corpuskit.store.root import Root
from corpuskit.train.data import Shards
from tests.core.builder import corpus, recipe

MIX = """\
mix:
  tokenizer: {train: {vocab_size: 400}}
  tokens: 12k
  max_epochs: 3
  write: WRITE
  shards: {seq_len: 64, seed: 42, packing: PACKING}
  phases:
    - {until: 0.4, weights: {web: 0.4, books: 0.6}, seq_len: 32}
    - {until: 1, weights: {web: 0.7, books: 0.3}}
train: {model: 1M, tokens: 8k, batch_tokens: 2048, validation_sequences: 2, checkpoint_every: 2}
"""


def build(folder: Path, raw: Path, write: str, packing: str, *, until: str | None) -> Trace:
    path = recipe(folder / write, raw, extra=MIX.replace("WRITE", write).replace("PACKING", packing))
    plan, root = make(load(path, [])), Root(folder / write / "root")
    outcome = scheduler.run(plan, root, root.new_run(path.read_text(), "", plan), engine="inline", until=until)
    assert not outcome.failures, outcome.failures[0][1].traceback
    return Trace(root, plan)


@pytest.fixture(scope="module", params=["concat", "best_fit"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trace, Trace]:
    """The same mixture with its shards, and without any; the latter is trained on (once)."""
    pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    raw = corpus(folder / "raw", rows=12)
    until = None if request.param == "best_fit" else "mixture"
    return (
        build(folder, raw, "shards", request.param, until="shards"),
        build(folder, raw, "plan", request.param, until=until),
    )


def test_every_document_is_in_the_same_sequences(both: tuple[Trace, Trace]) -> None:
    written, planned = both
    docs = {row["doc"] for file in written.shards.files for row in file.between(0, file.sequences)}
    assert len(docs) > 40
    epochs = set()
    for doc in sorted(docs):
        one, other = (trace.document(doc) for trace in both)
        assert one["shards"] == other["shards"] != []
        assert one["tokens"] == other["tokens"]
        epochs |= {run["epoch"] for run in one["shards"]}
    assert {0, 1} <= epochs
    assert written.shards.of(sorted(docs)) == planned.shards.of(sorted(docs))
    assert not list((planned.root.path / "shards").glob("*.bin"))


def test_every_token_is_that_of_the_shards(both: tuple[Trace, Trace]) -> None:
    written, planned = both
    files = [file.publish for file in written.shards.files]
    assert [file.publish for file in planned.shards.files] == files
    for file in files:
        size = (written.root.path / file).stat().st_size // 2
        for token in {*range(0, size, 997), size - 1}:
            assert planned.shards.at(file, token) == written.shards.at(file, token)


def test_steps_and_documents_lead_to_each_other(both: tuple[Trace, Trace], capsys: pytest.CaptureFixture[str]) -> None:
    written, planned = both
    if not planned.root.store.list("checkpoints"):
        pytest.skip("this one was not trained on")
    (training,) = planned._trainings
    steps = training.budget.steps
    assert training.done == training.checkpoints[-1] == steps
    of_shards = Training(written.root, written.plan, written.plan.stages["train"])
    seen = {}
    for number in range(1, steps + 1):
        found = planned.step(number)
        now = of_shards.budget.step(number)
        assert found["sequences"] == of_shards.shards.sequences(now.phase, now.sequences)
        for sequence in found["sequences"]:
            for run in sequence["documents"]:
                seen.setdefault(run["doc"], set()).add(number)
    assert {len(steps) for steps in seen.values()} > {1}
    for doc, wanted in seen.items():
        (told,) = planned.document(doc)["training"]
        assert set(told["steps"]) == wanted
    text, _ = trace(planned.root, planned.plan, "step:1")
    assert "step 1 of" in text
    assert main(["trace", str(planned.root.path), "shards/train-00000.bin:5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["document"]["doc"]
    assert main(["trace", str(planned.root.path), "shards/train-00000.bin:99999999"]) == 2
    assert "has no place" in capsys.readouterr().err
    phases = Shards(planned.root.path / "shards", "document").train
    assert len(phases) == 2
    assert phases[0].source.blocks(np.arange(0)) == []  # the share of a process in a step of fewer sequences
