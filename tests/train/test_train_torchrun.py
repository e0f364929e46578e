"""The trainer under torchrun, whose store listens on every interface: in a network of its own, by `make clusters`."""

import json
import os
import shutil
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")

from corpuskit.train.launch import launch  # noqa: E402
from corpuskit.train.trained import Trained  # noqa: E402


@pytest.mark.clusters
def test_torchrun_trains_the_same_bits_and_goes_on_from_the_same_checkpoints(shards, tmp_path):
    given = {"shards": str(shards), "model": {"width": 32, "layers": 1, "heads": 2}, "batch_tokens": 256, "lr": 0.01}
    given |= {"threads": 1, "device": "cpu", "checkpoint_every": 1, "keep": 100}
    launch(given | {"out": str(tmp_path / "ours")}, 2, quiet=True)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(given | {"out": str(tmp_path / "theirs")}))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "corpuskit.train", str(config)]
    for again in (False, True):
        if again:
            shutil.rmtree(max((tmp_path / "theirs").glob("step-*"), key=lambda path: int(path.name[5:])))
            (tmp_path / "theirs/result.json").unlink()
        subprocess.run(command, env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"}, check=True)
    assert len(list((tmp_path / "ours").glob("step-*"))) > 1
    for one, other in zip(*(sorted((tmp_path / name).glob("step-*")) for name in ("ours", "theirs")), strict=True):
        ours, theirs = Trained.open(one), Trained.open(other)
        assert ours.state["world_size"] == theirs.state["world_size"] == 2
        assert all(torch.equal(tensor, theirs.weights[name]) for name, tensor in ours.weights.items())
