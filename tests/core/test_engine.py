"""The local engine never waits for a worker that is gone or silent."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from corpuskit.engines import Task
from corpuskit.engines.local import Local

WORKER = """
import os, pathlib, signal, sys
from corpuskit.engines.worker import serve

def ok(task):
    pathlib.Path(f"{task.stage}-{task.unit}").touch()

def stops(task):
    os.kill(os.getpid(), signal.SIGSTOP)

def fails(task):
    raise ValueError("on purpose")

serve(globals()[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3]))
"""


def command(body: str) -> list[str]:
    return [sys.executable, "-c", WORKER, body]


def outcomes(body: str, silence: float = 60.0) -> dict[int, str | None]:
    """What becomes of three units on two workers."""
    waiting, found = [Task("only", number) for number in range(3)], {}
    with Local(command(body), 2, silence=silence) as pool:
        while len(found) < 3:
            while waiting and pool.free() > 0:
                pool.give(waiting.pop())
            found |= {task.unit: failure and failure.message for task, failure in pool.ended()}
    return found


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_units_run(here: Path) -> None:
    assert outcomes("ok") == {0: None, 1: None, 2: None}
    assert sorted(path.name for path in here.iterdir()) == ["only-0", "only-1", "only-2"]


def test_an_exception_is_a_failed_unit_with_its_reason() -> None:
    assert outcomes("fails") == dict.fromkeys(range(3), "ValueError: on purpose")


def test_a_silent_worker_is_killed_and_its_unit_reported() -> None:
    started = time.monotonic()
    found = outcomes("stops", silence=5.0)
    assert all(message is not None and "SIGKILL" in message for message in found.values())
    assert time.monotonic() - started < 90


def one_unit(pool: Local) -> None:
    pool.give(Task("only", 0))
    ended = []
    while not ended:
        ended = pool.ended()
    assert ended == [(Task("only", 0), None)]


def test_workers_end_with_the_pool() -> None:
    with Local(command("ok"), 1) as pool:
        one_unit(pool)
        process = pool._workers[0].process
        assert process.poll() is None
    assert process.poll() is not None


def test_a_worker_whose_run_is_gone_ends_by_itself() -> None:
    pool = Local(command("ok"), 1)
    one_unit(pool)
    worker = pool._workers[0]
    worker.pipe.close()
    os.close(worker._to_write)
    timer = threading.Timer(30, lambda: os.kill(worker.process.pid, signal.SIGKILL))
    timer.start()
    status = worker.process.wait()
    timer.cancel()
    assert status != -signal.SIGKILL
