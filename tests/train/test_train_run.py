"""Whole runs: one process or two, interrupted or not, end with the same model; what does not fit is refused."""

import fcntl
import json
import math
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from small_shards import write_shards

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")

from torch.distributed.checkpoint.format_utils import dcp_to_torch_save  # noqa: E402

from corpuskit.errors import CorpuskitError, InputError, UsageError  # noqa: E402
from corpuskit.train import checkpoint, ending, loop, metrics, saved  # noqa: E402
from corpuskit.train.config import from_dict  # noqa: E402
from corpuskit.train.launch import launch  # noqa: E402
from corpuskit.train.optim import optimizer_of  # noqa: E402
from corpuskit.train.parallel import sharded_model, world  # noqa: E402
from corpuskit.train.trained import Trained  # noqa: E402

STEPS, HALF = 9, 5  # 33 sequences in batches of 4: a last batch of one, so that the second process has none


def given(shards, out, **more):
    tiny = {"width": 32, "layers": 2, "heads": 2}
    base = {"shards": str(shards), "out": str(out), "model": tiny, "batch_tokens": 128, "micro_batch": 1, "threads": 1}
    return base | {"device": "cpu", "checkpoint_every": HALF, "lr": 0.01} | more


def run(shards, out, **more):
    loop.train(from_dict(given(shards, out, **more)))
    return out


def records(out, key="loss"):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line[key]) for line in lines if "domain" not in line]


def result(out):
    return json.loads((out / "result.json").read_text())


def tensors(out, step=STEPS):
    """All model tensors and AdamW moments of a checkpoint."""
    path = out / f"step-{step}.pt"
    dcp_to_torch_save(out / f"step-{step}", path)
    held = torch.load(path, weights_only=True)
    path.unlink()
    moments = {(name, k): v for name, state in held["optimizer"]["state"].items() for k, v in state.items()}
    return {**held["model"], **moments}


def assert_same_bits(a, b, step=STEPS):
    a, b = tensors(a, step), tensors(b, step)
    assert set(a) == set(b)
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def assert_close(a, b):
    assert records(a)[-1][0] == STEPS
    assert [loss for _, loss in records(a)] == pytest.approx([loss for _, loss in records(b)], rel=1e-5)
    a, b = tensors(a), tensors(b)
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=2e-3, atol=2e-5)


def stopped_at_half(done, to):
    """A folder as a run leaves it that was killed after its checkpoint at HALF, amid a line and a save."""
    to.mkdir()
    shutil.copytree(done / f"step-{HALF}", to / f"step-{HALF}")
    shutil.copytree(done / f"step-{HALF}", to / f"step-{STEPS}.partial")
    shutil.copy(done / "metrics.jsonl", to)
    with (to / "metrics.jsonl").open("a") as log:
        log.write('{"step": 1')
    return to


@pytest.fixture(scope="module")
def one(shards, tmp_path_factory):
    return run(shards, tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def two(shards, tmp_path_factory):
    out = tmp_path_factory.mktemp("two")
    launch(given(shards, out), 2)
    return out


def test_a_run_learns_and_reports_what_it_did(one, shards):
    losses = [loss for _, loss in records(one)]
    assert losses[0] == pytest.approx(math.log(97), rel=0.02)
    assert losses[-2] < losses[0] - 0.5
    report = result(one)
    assert (report["steps"], report["tokens"], report["world_size"]) == (STEPS, 33 * 32, 1)
    assert (one / report["checkpoint"] / "state.json").exists()
    assert report["shards_fingerprint"] == json.loads((shards / "index.json").read_text())["fingerprint"]
    assert set(report["validation"]) == {"books", "web"}
    assert sorted(path.name for path in one.glob("step-*")) == [f"step-{HALF}", f"step-{STEPS}"]


def test_two_processes_train_the_same_model_as_one(one, two):
    assert result(two)["world_size"] == 2
    assert_close(one, two)


def test_every_domain_is_scored_the_same_by_one_process_and_by_two(one, two):
    scores, others = result(one)["validation"], result(two)["validation"]
    assert scores["books"]["loss"] != scores["web"]["loss"]
    for name, score in scores.items():
        assert others[name] == pytest.approx(score, rel=1e-5)
        assert score["bits_per_byte"] == pytest.approx(
            score["loss"] / math.log(2) / 4
        )  # the writer says 4 bytes a token


def test_the_same_run_twice_has_the_same_bits(one, shards, tmp_path):
    assert_same_bits(one, run(shards, tmp_path / "again"))


def test_validation_between_steps_changes_no_bits(one, shards, tmp_path):
    assert_same_bits(one, run(shards, tmp_path / "validated", validate_every=1))


def test_the_size_of_the_forward_pass_does_not_change_the_sums(one, shards, tmp_path):
    assert_close(one, run(shards, tmp_path / "whole", micro_batch=4))


def test_resume_in_one_process_has_the_same_bits(one, shards, tmp_path):
    out = run(shards, stopped_at_half(one, tmp_path / "out"))
    assert_same_bits(one, out)
    assert records(out) == records(one)
    assert result(out)["validation"] == result(one)["validation"]
    assert not list(out.glob("*.partial"))


def test_resume_in_two_processes_has_the_same_bits(two, shards, tmp_path):
    out = stopped_at_half(two, tmp_path / "out")
    launch(given(shards, out), 2)
    assert_same_bits(two, out)
    assert records(out) == records(two)


def test_two_processes_then_one(two, one, shards, tmp_path):
    assert_close(one, run(shards, stopped_at_half(two, tmp_path / "out")))


def test_one_process_then_two(one, shards, tmp_path):
    out = stopped_at_half(one, tmp_path / "out")
    launch(given(shards, out), 2)
    assert_close(one, out)


def test_a_run_says_how_fast_its_steps_were(shards, tmp_path, capfd):
    out = run(shards, tmp_path / "out", tokens=8 * 32)
    rates = sorted(rate for _, rate in records(out, "tokens_per_second"))
    (said,) = re.findall(r"median of the last (\d+) steps: ([\d,]+) tokens a second", capfd.readouterr().err)
    assert int(said[0]) == len(rates)
    assert rates[0] - 1 <= int(said[1].replace(",", "")) <= rates[-1] + 1


def test_a_folder_that_cannot_be_written_to_is_named(shards, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"out: .*/file: File exists"):
        run(shards, tmp_path / "file")
    with pytest.raises(UsageError, match=r"out: .*/file/out: Not a directory"):
        run(shards, tmp_path / "file/out")


def test_a_log_holds_no_more_than_the_last_rates(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(metrics, "RATES", 3)
    log = metrics.Log(tmp_path / "metrics.jsonl", 0, 9, None)
    for step in range(1, 10):
        log.step(step, step, 1.0, 1.0, 1.0, rate=step, flops=1)
    log.close()
    assert "median of the last 3 steps: 8 tokens a second" in capfd.readouterr().err


def test_a_finished_run_is_not_repeated(one, shards, tmp_path):
    out = Path(shutil.copytree(one, tmp_path / "out"))
    run(shards, out)
    assert (out / "metrics.jsonl").read_text() == (one / "metrics.jsonl").read_text()
    assert {**result(out), "config": 0} == {**result(one), "config": 0}


def test_killed_again_and_again_while_saving_it_ends_with_the_same_bits(one, shards, tmp_path):
    out, path = tmp_path / "out", tmp_path / "config.json"
    path.write_text(json.dumps(given(shards, out, checkpoint_every=1)))
    for until in (2, 6):
        process = subprocess.Popen([sys.executable, "-m", "corpuskit.train", str(path)], stderr=subprocess.DEVNULL)
        while process.poll() is None and not list(out.glob(f"step-{until}*")):
            time.sleep(0.001)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert not (out / "result.json").exists()
    run(shards, out, checkpoint_every=1)
    assert_same_bits(one, out)
    assert records(out) == records(one)


class Killed(BaseException):
    """Ends a save where it stands: nothing in it cleans up, so the disk is as after kill -9."""


def test_a_save_ended_at_any_file_operation_leaves_only_complete_checkpoints(shards, tmp_path):
    left, armed = [0], [False]

    def count(event, arguments):
        if not armed[0] or event not in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"):
            return
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    sys.addaudithook(count)
    config = from_dict(given(shards, tmp_path))
    with world(config) as group:
        model = sharded_model(config, 97, group)
        optimizer = optimizer_of(model, config)
        before = tmp_path / "before"
        before.mkdir()
        for step in (1, 2):
            checkpoint.save(before, step, model, optimizer, {"step": step}, group)
        sizes = {file.name: file.stat().st_size for file in (before / "step-2").iterdir() if file.name != "state.json"}
        for operations in range(200):
            out = Path(shutil.copytree(before, tmp_path / "out"))
            left[0], armed[0] = operations, True
            try:
                checkpoint.save(out, 3, model, optimizer, {"step": 3}, group)
                ended = True
            except BaseException:  # noqa: BLE001 - torch wraps it
                ended = False
            armed[0] = False
            complete = [path for path in out.glob("step-*") if path.suffix == ""]
            for path in complete:
                files = {file.name: file.stat().st_size for file in path.iterdir()}
                assert files.pop("state.json") > 0
                assert set(files) == set(sizes)
                assert json.loads((path / "state.json").read_text())["files"] == files
            path, state = saved.latest(out)
            assert path.name == f"step-{state['step']}" in ("step-2", "step-3")
            checkpoint.load(path, model, optimizer)
            checkpoint.save(out, 4, model, optimizer, {"step": 4}, group)
            assert [path.name for path in sorted(out.iterdir())] == [path.name, "step-4"]
            shutil.rmtree(out)
            if ended:
                break
        assert ended
        assert operations > 10


def test_when_one_process_dies_the_other_is_ended_and_its_death_reported(shards, tmp_path, capfd):
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    if not children.exists():
        pytest.skip("needs /proc to find the processes")
    before = set(children.read_text().split())
    found = []

    def kill():
        while not (tmp_path / "out" / "metrics.jsonl").exists():
            time.sleep(0.02)
        found.extend(set(children.read_text().split()) - before)
        os.kill(int(found[0]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(CorpuskitError, match=r"signal 9|connection|closed"):
        launch(given(shards, tmp_path / "out", checkpoint_every=1), 2)
    killer.join()
    assert len(found) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in found)


def test_a_child_that_refuses_raises_its_words(shards, tmp_path, capfd):
    with pytest.raises(UsageError, match=r"was made with tokenizer abab.*not cdcd"):
        launch(given(shards, tmp_path / "out", tokenizer="cd" * 32), 1)


def test_another_configuration_is_refused_naming_the_difference(one, shards):
    with pytest.raises(UsageError, match=r"step-9 is of another run: lr 0\.01 there, 0\.02 here"):
        run(shards, one, lr=0.02)


def test_other_shards_are_refused(one, tmp_path):
    with pytest.raises(UsageError, match="shards_fingerprint"):
        run(write_shards(tmp_path / "other", seed=1), one)


def test_a_damaged_checkpoint_is_passed_over_for_the_last_good_one_which_is_said(one, shards, tmp_path, capfd):
    out = Path(shutil.copytree(one, tmp_path / "out"))
    (out / f"step-{STEPS}" / "__0_0.distcp").write_bytes(b"")
    run(shards, out)
    said = capfd.readouterr().err
    assert re.search(r"step-9 is damaged: __0_0\.distcp .*; the last good one is \S*step-5\n", said)
    assert_same_bits(one, out)
    for step in (HALF, STEPS):
        (out / f"step-{step}" / "state.json").unlink()
    with pytest.raises(InputError, match=r"no checkpoint can be used: .*step-9 .*step-5 .*\n.*to start anew"):
        run(shards, out)


def test_two_trainers_in_one_folder_are_refused(shards, tmp_path, monkeypatch):
    monkeypatch.setattr(ending, "WAIT_FOR_LOCK", 0)
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another trainer"):
            run(shards, tmp_path)


def test_a_loss_that_is_not_finite_stops_the_run(shards, tmp_path):
    with pytest.raises(CorpuskitError, match=r"step (\d+): .*sequences \d+ to \d+ of phase 1\n.*trace ROOT step:\1"):
        run(shards, tmp_path / "out", lr=1e30, warmup=0.0)


@pytest.mark.parametrize("more", [{"precision": "bf16"}, {"mask": "causal"}, {"schedule": "cosine"}])
def test_every_choice_trains(one, shards, tmp_path, more):
    losses = [loss for _, loss in records(run(shards, tmp_path / "out", **more))]
    assert losses[-2] < losses[0] - 0.5
    assert losses != [loss for _, loss in records(one)]


def test_domains_without_targets_have_no_score_and_few_sequences_are_enough(tmp_path):
    folder = write_shards(tmp_path / "s", validation={"books": 4, "none": 0})
    out = run(folder, tmp_path / "out", tokens=32 * 8, validation_sequences=2, validate_every=1)
    scores = result(out)["validation"]
    assert scores["none"] == {"loss": None, "bits_per_byte": None}
    assert scores["books"]["loss"] > 0
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line.get("domain") == "books"] == [1, 2]


def test_a_checkpoint_runs_nothing(one, shards, tmp_path):
    """Its metadata is a pickle: one that names a function, or numbers that do, end the run before they are called."""

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    out = stopped_at_half(one, tmp_path / "out")
    (out / f"step-{HALF}" / ".metadata").write_bytes(pickle.dumps(Bomb()))
    state = json.loads((out / f"step-{HALF}" / "state.json").read_text())
    state["files"][".metadata"] = (out / f"step-{HALF}" / ".metadata").stat().st_size
    (out / f"step-{HALF}" / "state.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match=r"is damaged: .*mkdir, which no checkpoint needs"):
        run(shards, out)
    with pytest.raises(InputError, match=r"is damaged: .*mkdir, which no checkpoint needs"):  # as scoring reads it
        _ = Trained.open(out / f"step-{HALF}").weights
    assert not (tmp_path / "exploded").exists()
