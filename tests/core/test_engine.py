"""The local engine never waits for a worker that is gone or silent."""

import os
import signal
import threading
import time
from pathlib import Path

from corpuskit.engine import Local, Task
from corpuskit.graph import Plan, Stage, Unit

BODY = """
import os, time
def ok(work):
    work.put("x").write_bytes(b"1")
def stops(work):
    import signal
    os.kill(os.getpid(), signal.SIGSTOP)
def fails(work):
    raise ValueError("on purpose")
"""


def plan_of(body: str, folder: Path, units: int = 3) -> Plan:
    made = [Unit(f"{number:016x}", f"unit {number}", [], "", 1) for number in range(units)]
    stage = Stage("only", f"bodies:{body}", {}, {}, {}, key="k", units=made)
    plan = Plan("test", {"only": stage}, 1 << 30, 1 << 20, 0, [], [])
    (folder / "bodies.py").write_text(BODY)
    (folder / "plan.json").write_text(plan.dump())
    return plan


def outcomes(body: str, folder: Path, monkeypatch, silence: float = 60.0) -> dict[int, str | None]:
    monkeypatch.setenv("PYTHONPATH", str(folder))
    plan = plan_of(body, folder)
    with Local(folder / "plan.json", folder, 2, silence=silence) as pool:
        tasks = [Task("only", number) for number in range(len(plan.stages["only"].units))]
        return {task.unit: failure and failure.message for task, failure in pool.run(tasks)}


def test_all_units_run(tmp_path: Path, monkeypatch) -> None:
    assert outcomes("ok", tmp_path, monkeypatch) == {0: None, 1: None, 2: None}
    assert len(list(tmp_path.glob("stages/only-k/receipts/*.json"))) == 3


def test_an_exception_is_a_failed_unit_with_its_reason(tmp_path: Path, monkeypatch) -> None:
    assert outcomes("fails", tmp_path, monkeypatch) == dict.fromkeys(range(3), "ValueError: on purpose")
    assert not list(tmp_path.glob("stages/only-k/receipts/*.json"))


def test_a_silent_worker_is_killed_and_its_unit_reported(tmp_path: Path, monkeypatch) -> None:
    started = time.monotonic()
    found = outcomes("stops", tmp_path, monkeypatch, silence=5.0)
    assert all(message is not None and "SIGKILL" in message for message in found.values())
    assert time.monotonic() - started < 90


def test_workers_end_with_the_pool(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    plan_of("ok", tmp_path)
    with Local(tmp_path / "plan.json", tmp_path, 1) as pool:
        assert dict(pool.run([Task("only", 0)])) == {Task("only", 0): None}
        process = pool._workers[0].process
        assert process.poll() is None
    assert process.poll() is not None


def test_a_worker_whose_run_is_gone_ends_by_itself(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    plan_of("ok", tmp_path)
    pool = Local(tmp_path / "plan.json", tmp_path, 1)
    assert dict(pool.run([Task("only", 0)])) == {Task("only", 0): None}
    worker = pool._workers[0]
    worker.pipe.close()
    os.close(worker._to_write)
    timer = threading.Timer(30, lambda: os.kill(worker.process.pid, signal.SIGKILL))
    timer.start()
    status = worker.process.wait()
    timer.cancel()
    assert status != -signal.SIGKILL
