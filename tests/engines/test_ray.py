"""The engine `ray` on a real cluster of two nodes of this machine, one of which is killed."""

import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corpuskit.cli import main
from corpuskit.core.kinds import Resources
from corpuskit.engines import Failure, Job, Task
from tests.core.builder import corpus, digests

pytestmark = [
    pytest.mark.clusters,
    # Ray's processes are not waited for when a node is killed
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ray = pytest.importorskip("ray", reason="needs ray: pip install '.[ray]' in the clone")
from corpuskit.engines.ray import Ray  # noqa: E402 - not without ray

STEP = """
import os, time
from pathlib import Path

import ray
from corpuskit import step


@step.filter
def trouble(batch, *, seen: str, at: str, dies: bool = False):
    '''At the document `at`: say where this runs; the first time wait to be killed, or always die.'''
    if at in batch["url"].to_pylist():
        there = ray.get_runtime_context().get_node_id() if ray.is_initialized() else "here"
        with open(seen, "a") as file:
            file.write(there + chr(10))
        if dies:
            os._exit(7)
        if there != "here" and len(Path(seen).read_text().split()) == 1:
            time.sleep(600)
    return [True] * len(batch["text"])
"""

RECIPE = """\
name: clustered
memory: 512MiB
sources:
  web:   {{read: jsonl, path: "{raw}/web/*", columns: {{url: string}}}}
  books: {{read: jsonl, path: "{raw}/books/*", columns: {{url: string}}}}
steps:
  - clean_chars: {{}}
  - where: clean_chars >= 60
  - ./trouble.py:trouble: {{seen: "{seen}", at: "https://web/1/3", dies: {dies}}}
  - exact: {{}}
"""


class Cluster:
    """A head without cores, and two nodes with one each; the second has what Ray takes for a GPU."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as Nodes

        self.nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.two = [self.nodes.add_node(num_cpus=1, num_gpus=gpus) for gpus in (0, 1)]
        self.address: str = self.nodes.address


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        made = Cluster()
        patch.setenv("RAY_ADDRESS", made.address)
        yield made
        made.nodes.shutdown()
        del made
        gc.collect()  # while their warnings are ignored


def recipe(folder: Path, raw: Path, *, dies: bool = False) -> Path:
    (folder / "trouble.py").write_text(STEP)
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(raw=raw, seen=folder / "seen", dies=str(dies).lower()))
    return path


def started(path: Path, root: Path) -> "subprocess.Popen[str]":
    words = ["run", str(path), "--root", str(root), "--engine", "ray", "--json"]
    command = [sys.executable, "-m", "corpuskit.cli", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(engine: Ray, task: Task) -> list[tuple[Task, Failure | None]]:
    engine.give(task)
    found: list[Any] = []
    while not found:
        found = engine.ended()
    return found


def test_a_unit_gets_the_gpu_that_it_asks_for_and_one_that_no_node_can_run_is_reported(
    cluster: Cluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    task, large = Task("only", 0), Task("large", 1)
    asks = {task: Resources(1 << 28, 1, 1), large: Resources(1 << 45)}  # Ray counts in ten-thousandths, in 64 bits
    job = Job(lambda _task: None, "tests.engines.writing", "run", str(tmp_path), asks.__getitem__, str)
    with Ray(job, None, patience=0.1) as engine:
        assert engine.free() == 2
        assert ended(engine, task) == [(task, None)]
        said = json.loads((tmp_path / "only-0").read_text())
        assert said == {"CUDA_VISIBLE_DEVICES": "0", "NUMBA_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "run": "run"}
        [(given_up, failure)] = ended(engine, large)
    assert given_up == large
    assert failure is not None
    assert "no node of the cluster has 1 core, 0 GPUs and 32.0 TiB" in failure.message
    assert "large:1: waits for a node with" in capfd.readouterr().err


def test_a_worker_that_dies_twice_is_a_failed_unit_on_two_nodes_and_all_others_are_committed(
    cluster: Cluster, tmp_path: Path
) -> None:
    path = recipe(tmp_path, corpus(tmp_path / "raw", files=2, rows=10), dies=True)
    process = started(path, tmp_path / "root")
    out, said = process.communicate()
    assert (process.returncode, out) == (1, ""), said
    assert "1 unit failed; all others are committed" in said
    assert "its worker or node died, 2 times" in said
    assert len(set((tmp_path / "seen").read_text().split())) == 2
    assert list(tmp_path.glob("root/stages/*-books-*/receipts/*"))
    assert not (tmp_path / "root" / "corpus").exists()


def test_a_node_is_killed_and_the_run_gives_the_same_bytes_as_inline(cluster: Cluster, tmp_path: Path) -> None:
    path = recipe(tmp_path, corpus(tmp_path / "raw", files=2, rows=10))
    assert main(["run", str(path), "--root", str(tmp_path / "inline"), "--engine", "inline"]) == 0
    (tmp_path / "seen").unlink()  # written here too
    process = started(path, tmp_path / "root")
    seen = tmp_path / "seen"
    while process.poll() is None and not (seen.exists() and seen.read_text().endswith("\n")):
        time.sleep(0.05)
    where = seen.read_text().strip()
    [node] = [node for node in cluster.two if node.node_id == where]
    cluster.nodes.remove_node(node, allow_graceful=False)
    out, said = process.communicate()
    assert process.returncode == 0, said
    assert json.loads(out)["units_run"] > 4
    assert "its worker or node died; trying once more: Task failed because the node it was running on is dead" in said
    assert digests(tmp_path / "root") == digests(tmp_path / "inline")


def test_an_address_where_nothing_answers_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recipe(tmp_path, corpus(tmp_path / "raw", files=1, rows=2))
    for address, why in (("127.0.0.1:1", "Connection refused"), ("ray://host:10001", "must be on a node")):
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert main(["run", str(path), "--root", str(tmp_path / "root"), "--engine", "ray"]) == 2
        assert f"RAY_ADDRESS={address}: " in (said := capsys.readouterr().err)
        assert why in said
    assert not (tmp_path / "root").exists()
