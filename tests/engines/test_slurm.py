"""The engine `slurm` on a real Slurm of one node, which the test starts."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from corpuskit.cli import main
from corpuskit.core.kinds import Resources
from corpuskit.engines import Job, Task
from corpuskit.engines import slurm as engine
from corpuskit.errors import CorpuskitError
from tests.core.builder import corpus, digests
from tests.core.kills import receipts
from tests.engines.slurm import missing, slurm

pytestmark = [pytest.mark.clusters, pytest.mark.skipif(bool(missing()), reason=missing())]

STEP = """
import os, time
from pathlib import Path

from corpuskit import step


@step.filter
def trouble(batch, *, folder: str, at: str):
    '''At the document `at`: do what the folder asks for.'''
    folder = Path(folder)
    if at in batch["url"].to_pylist():
        (folder / "begun").touch()
        while (folder / "wait").exists():
            time.sleep(0.05)
        if (folder / "dies").exists():
            os._exit(7)
        if (folder / "kills").exists():
            (folder / "kills").unlink()
            os.killpg(0, 9)  # the whole task, as the system does that has no memory left
    return [True] * len(batch["text"])
"""

RECIPE = """\
name: queued
memory: 512MiB
sources:
{sources}steps:
  - clean_chars: {{}}
  - where: clean_chars >= 60
  - ./trouble.py:trouble: {{folder: "{folder}", at: "https://web/1/3"}}
"""


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="slurm-", dir="/run") as folder,
        slurm(Path(folder), port) as configuration,
    ):
        patch.setenv("SLURM_CONF", str(configuration))
        patch.setattr(engine, "POLL_SECONDS", 0.2)
        patch.setattr(engine, "QUEUE_SECONDS", 1.0)
        patch.setattr(engine, "SUBMIT_SECONDS", 2.0)
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "trouble.py").write_text(STEP)
    path = tmp_path / "recipe.yaml"
    files = sorted(corpus(tmp_path / "raw", files=2, rows=8).glob("*/*"))
    sources = [
        f'  s{number}: {{read: jsonl, path: "{file}", domain: {file.parent.name}, columns: {{url: string}}}}\n'
        for number, file in enumerate(files)
    ]
    path.write_text(RECIPE.format(sources="".join(sources), folder=tmp_path))
    return path


def run(path: Path, root: Path, *more: str) -> int:
    return main(["run", str(path), "--root", str(root), "--engine", "slurm", *more])


def packs(root: Path) -> list[list[list[tuple[str, int, str]]]]:
    """The units of every task of every array, in the order in which they were submitted."""
    return [json.loads(path.read_text())["packs"] for path in sorted(root.glob("runs/*/slurm/*/packs.json"))]


def until(true: Callable[[], bool]) -> None:
    for _ in range(1200):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it does not happen")


def test_units_are_packed_into_arrays_a_killed_task_is_submitted_again_and_the_bytes_are_those_of_inline(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(path.read_text() + "  - exact: {}\n")
    assert main(["run", str(path), "--root", str(tmp_path / "inline"), "--engine", "inline"]) == 0
    root = tmp_path / "root"
    (tmp_path / "kills").touch()
    assert run(path, root) == 0
    said = capsys.readouterr().err
    assert "ended without a word" in said
    assert "trying once more" in said
    assert digests(root) == digests(tmp_path / "inline")
    arrays = packs(root)
    assert max(len(array) for array in arrays) == 3  # the limit of this Slurm
    assert sorted(len(pack) for pack in arrays[0]) == [1, 1, 2]
    assert len({stage for pack in arrays[0] for stage, _, _ in pack}) == 4
    assert run(path, root) == 0
    assert len(packs(root)) == len(arrays)


def test_tasks_go_on_without_the_run_status_tells_and_the_next_run_submits_what_is_missing(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    for name in ("wait", "dies"):
        (tmp_path / name).touch()
    words = ["run", str(path), "--root", str(root), "--engine", "slurm"]
    process = subprocess.Popen([sys.executable, "-m", "corpuskit.cli", *words], stderr=subprocess.DEVNULL)
    until((tmp_path / "begun").exists)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = packs(root)
    (tmp_path / "wait").unlink()
    until(lambda: len(receipts(root)) == 3 and any(b"exited" in path.read_bytes() for path in said_in(root)))
    capsys.readouterr()
    assert main(["status", str(root)]) == 0
    status = capsys.readouterr().out
    assert "3 of 4 units complete" in status
    assert "1 unit failed in the last run" in status
    assert "the worker process exited with status 7, 2 times" in status
    (tmp_path / "dies").unlink()
    assert run(path, root) == 0
    failed = [unit for pack in packs(root)[len(before)] for unit in pack]
    assert len(failed) == 1
    assert main(["run", str(path), "--root", str(tmp_path / "inline"), "--engine", "inline"]) == 0
    assert digests(root) == digests(tmp_path / "inline")


def said_in(root: Path) -> list[Path]:
    return list(root.glob("runs/*/slurm/*/ended-*.jsonl"))


def test_what_an_earlier_run_submitted_is_taken_up_and_not_submitted_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wait").touch()
    first, second, task = job(tmp_path, "runs/1"), job(tmp_path, "runs/2"), Task("only", 0)
    with engine.Slurm(first, None) as left:
        left.give(task)
        assert left.ended() == []
    assert "1 unit left with Slurm, to go on there" in capsys.readouterr().err
    with engine.Slurm(second, None) as taken:
        taken.give(task)
        assert taken.ended() == []
        (tmp_path / "wait").unlink()
        found = []
        until(lambda: bool(found.extend(taken.ended()) or found))
    assert found == [(task, None)]
    assert not list((tmp_path / "runs" / "2" / "slurm").iterdir())
    said = json.loads((tmp_path / "only-0").read_text())
    assert (said["NUMBA_NUM_THREADS"], said["PYTHONHASHSEED"], said["run"]) == ("2", "0", "runs/1")


def job(folder: Path, run: str) -> Job:
    asks = Resources(1 << 28, cores=2)
    return Job(lambda _task: None, "tests.engines.writing", run, str(folder), lambda _task: asks, str)


def test_what_slurm_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    asks = Resources(1 << 50)
    wanted = Job(lambda _task: None, "tests.engines.writing", "runs/1", str(tmp_path), lambda _task: asks, str)
    with engine.Slurm(wanted, None) as refused:
        refused.give(Task("only", 0))
        with pytest.raises(CorpuskitError, match=r"sbatch: .*not available"):
            refused.ended()
