"""Kills of real runs, at moments that are seen and not guessed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

RUN = [sys.executable, "-m", "corpuskit.cli", "run"]


def receipts(root: Path, stage: str = "") -> set[str]:
    """Stage folder and name of every receipt under a root, of the stages whose names begin with `stage`."""
    return {f"{path.parts[-3]}/{path.name}" for path in root.glob(f"stages/{stage}*/receipts/*.json")}


def kill_at(path: Path, root: Path, count: int, stage: str = "") -> set[str]:
    """Start a run of a recipe, kill it and its workers as soon as these stages have `count` receipts.

    Returns:
        Their receipts that are there afterwards.

    Raises:
        AssertionError: the run ended before; that it was killed is what the exit status says.
    """
    process = subprocess.Popen(
        [*RUN, str(path), "--root", str(root), "--workers", "2"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    while process.poll() is None and len(receipts(root, stage)) < count:
        time.sleep(0.002)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, (
        f"ended before it was killed at {count} receipts of `{stage}`: {said.decode()}"
    )
    return receipts(root, stage)


def kill_after(path: Path, root: Path, seconds: float, what: str, pick: int) -> None:
    """Start a run of a recipe, kill all of it, the parent or a worker after some time, and wait for its end."""
    process = subprocess.Popen(
        [*RUN, str(path), "--root", str(root), "--workers", "2"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    workers = children(process.pid)
    if what == "all":
        os.killpg(process.pid, signal.SIGKILL)
    elif what == "worker" and workers:
        os.kill(workers[pick % len(workers)], signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    while any(Path(f"/proc/{worker}").exists() for worker in workers):  # they end when nobody is there to ask them
        time.sleep(0.05)


def children(parent: int) -> list[int]:
    """The processes that a process has started and that run."""
    try:
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    except FileNotFoundError:
        return []
