"""Another number of processes goes on from a checkpoint: with the same state, on the same tokens, to the same loss."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_shards import write_shards

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")

from resaved import resave  # noqa: E402
from test_train_run import assert_same_bits, given, records, result  # noqa: E402

from corpuskit.train.batches import batches  # noqa: E402
from corpuskit.train.config import budget, from_dict  # noqa: E402
from corpuskit.train.data import Shards  # noqa: E402
from corpuskit.train.launch import launch  # noqa: E402
from corpuskit.train.loop import train  # noqa: E402
from corpuskit.train.parallel import World  # noqa: E402

MUON = {"optimizer": "muon", "z_loss": 1e-3}


class Alone(World):
    """A process of `size` that never asks the others."""

    def __init__(self, rank, size):
        super().__init__(rank, size, torch.device("cpu"), None, 1, size)

    def total(self, *values):
        return list(values)


@pytest.mark.parametrize("size", [2, 4])
def test_processes_read_together_what_one_reads_in_its_order(shards, size):
    held = Shards(shards, "document")
    plan = budget(from_dict(given(shards, "out")), [(len(phase), phase.seq_len) for phase in held.train])

    def read(group):
        steps = list(batches(range(1, plan.steps + 1), plan, held, 2, group))
        return [torch.cat([part.inputs for part in ready.micro_batches]) for _, _, ready in steps]

    one, parts = read(Alone(0, 1)), [read(Alone(rank, size)) for rank in range(size)]
    for step, expected in enumerate(one):
        rows = torch.stack([part[step] for part in parts], dim=1).flatten(0, 1)  # in turn
        assert torch.equal(rows[: len(expected)], expected)
        assert not rows[len(expected) :].any()  # what only fills up


def assert_loaded_alike(config, out, step, size, folder):
    """A checkpoint that so many processes load and save again has the same bits."""
    if size == 1:
        resave(from_dict(config), out / f"step-{step}", folder / "by-1", step)
        assert_same_bits(out, folder / "by-1", step)
        return
    path = folder / f"{size}.json"
    path.write_text(json.dumps(config))
    words = [str(path), str(out / f"step-{step}"), str(folder / f"by-{size}"), str(step)]
    ranks = {"LOCAL_WORLD_SIZE": str(size), "WORLD_SIZE": str(size), "CORPUSKIT_STORE": str(folder / f"store-{size}")}
    ranks |= {"GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, str(Path(__file__).with_name("resaved.py")), *words]
    started = [
        subprocess.Popen(command, env={**os.environ, **ranks, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(size)
    ]
    assert [process.wait() for process in started] == [0] * size
    assert_same_bits(out, folder / f"by-{size}", step)


def go_on(config, out, step, size):
    """Go on from a step in so many processes; the losses that follow."""
    for path in out.glob("step-*"):
        if int(path.name[5:]) > step:
            shutil.rmtree(path)
    launch(config, size) if size > 1 else train(from_dict(config))
    assert result(out)["world_size"] == size
    return [loss for at, loss in records(out) if at > step]


def reshard(config, out, folder, first, second=None):
    """Two processes to the end; from a step of theirs one; and from a later one of its, four."""
    launch(config, 2)
    expected = dict(records(out))
    for step, size in ((first, 1), (second, 4)):
        if step is not None:
            assert_loaded_alike(config, out, step, size, folder)
            losses = go_on(config, out, step, size)
            assert losses == pytest.approx([loss for at, loss in expected.items() if at > step], abs=1e-3)
            assert len(losses) > 0


def test_two_processes_then_one(shards, tmp_path):
    reshard(given(shards, tmp_path / "out", checkpoint_every=3, keep=9, **MUON), tmp_path / "out", tmp_path, 3)


@pytest.mark.soak
@pytest.mark.parametrize("more", [{}, MUON], ids=["adamw", "muon"])
def test_two_processes_then_one_then_four_fifty_steps_later(more, tmp_path):
    shards = write_shards(tmp_path / "shards", files=(300, 141))
    # at the rate of the recipes: AdamW at 0.01 makes more of the last bits, 0.003 nats within a hundred steps
    config = given(shards, tmp_path / "out", checkpoint_every=5, keep=99, lr=0.003, **more)
    reshard(config, tmp_path / "out", tmp_path, 5, 55)
    assert records(tmp_path / "out")[-1][0] == 111  # more than fifty steps by each
