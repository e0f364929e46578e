"""What a run may choose: optimizer, HSDP, saves in the background, loggers; how it ends when it is told to, or must."""

import json
import resource
import signal
import subprocess
import sys
import time

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")

from test_train_run import STEPS, assert_close, assert_same_bits, given, records, result, run, stopped_at_half  # noqa: E402

from corpuskit.errors import UsageError  # noqa: E402
from corpuskit.train.launch import launch  # noqa: E402

MORE = {"optimizer": "muon", "z_loss": 1e-3}


def start(config, path, **more):
    path.write_text(json.dumps(config))
    command = [sys.executable, "-m", "corpuskit.train", str(path)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **more)


@pytest.fixture(scope="module")
def muon(shards, tmp_path_factory):
    return run(shards, tmp_path_factory.mktemp("muon"), **MORE)


def test_muon_learns_and_moves_matrices_by_orthogonal_steps(muon):
    losses = [loss for _, loss in records(muon)]
    assert losses[-2] < losses[0] - 0.5


def test_copies_of_the_model_and_saves_behind_training_change_nothing(muon, shards, tmp_path):
    launch(given(shards, tmp_path / "out", hsdp=1, async_save=True, **MORE), 2)
    assert result(tmp_path / "out")["world_size"] == 2
    assert_close(muon, tmp_path / "out")


def test_saves_behind_training_hold_the_same_bits_and_resume_to_the_same(muon, shards, tmp_path):
    behind = run(shards, tmp_path / "behind", async_save=True, checkpoint_every=1, keep=9, **MORE)
    assert sorted(path.name for path in behind.glob("step-*")) == [f"step-{step}" for step in range(1, STEPS + 1)]
    for step in (5, 9):  # those of the other run
        assert_same_bits(muon, behind, step)
    assert_same_bits(muon, run(shards, stopped_at_half(behind, tmp_path / "out"), async_save=True, **MORE))


def test_an_hsdp_that_does_not_divide_the_processes_is_refused(shards, tmp_path):
    with pytest.raises(UsageError, match="hsdp: 1 processes cannot be divided into groups of 2"):
        run(shards, tmp_path, hsdp=2)


def test_sigterm_saves_and_exits_143_and_the_run_goes_on_to_the_same_bits(muon, shards, tmp_path):
    out = tmp_path / "out"
    config = given(shards, out, checkpoint_every=1000, validate_every=1, **MORE)
    process = start(config, tmp_path / "config.json")
    while not (out / "metrics.jsonl").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert "error: SIGTERM: saved step" in said
    assert len(list(out.glob("step-*"))) == 1
    run(shards, out, **MORE)
    assert_same_bits(muon, out)


def test_a_full_disk_in_a_checkpoint_names_the_last_good_one_and_leaves_no_rest(shards, tmp_path):
    out = run(shards, tmp_path / "out", tokens=32 * 8)
    assert [path.name for path in out.glob("step-*")] != []

    def limit():  # no file may grow beyond: what the disk says when it is full, by another number
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    last = max(int(path.name[5:]) for path in out.glob("step-*"))
    state = out / f"step-{last}" / "state.json"
    held = json.loads(state.read_text())
    held["identity"]["tokens"] = None
    state.write_text(json.dumps(held))
    (out / "result.json").unlink()
    process = start(given(shards, out), tmp_path / "config.json", preexec_fn=limit)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1, said
    assert f"could not be written: File too large; step-{last} is the last checkpoint" in said
    assert [path.name for path in out.glob("step-*")] == [f"step-{last}"]


def test_a_logger_that_is_not_installed_is_refused_before_anything_runs(shards, tmp_path, monkeypatch):
    monkeypatch.setattr("corpuskit.train.metrics.importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"`wandb` is not installed\n.*pip install wandb"):
        run(shards, tmp_path / "out", loggers=["wandb"])
    assert not (tmp_path / "out").exists()


def test_tensorboard_gets_each_number_of_the_log(shards, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = run(shards, tmp_path / "out", tokens=32 * 8, loggers=["tensorboard"])
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx([x for _, x in records(out)])
    assert "validation/books/bits_per_byte" in events.Tags()["scalars"]
