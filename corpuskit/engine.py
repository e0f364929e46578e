"""Engines are launchers: they run unit numbers and say how each ended. Only paths and numbers cross a process border.

`inline` is a loop in this process. `local` keeps a pool of worker processes: one that dies or falls silent is a failed
unit, tried once more, then reported; nothing ever waits for a process that is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, Self

from corpuskit.errors import CorpuskitError, UsageError

if TYPE_CHECKING:
    from corpuskit.graph import Plan
    from corpuskit.store import Root

HEARTBEAT_SECONDS = 2.0
SILENCE_SECONDS = 600.0
"""A worker that has not been heard for so long is killed; its heart beats from a thread of its own."""

ATTEMPTS = 2


class Task(NamedTuple):
    """One unit of one stage."""

    stage: str
    unit: int


@dataclass(frozen=True)
class Failure:
    """Why a unit failed: for people, and for developers."""

    message: str
    traceback: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Describe an exception; one that is not the user's to mend keeps its type's name."""
        message = str(error) if isinstance(error, CorpuskitError) else f"{type(error).__name__}: {error}"
        return cls(message, "".join(traceback.format_exception(error)))


RunUnits = Callable[[list[Task]], Iterator[tuple[Task, Failure | None]]]


@contextlib.contextmanager
def make_engine(name: str, workers: int | None, plan: Plan, root: Root, folder: Path) -> Iterator[RunUnits]:
    """The engine called `name`, as a function from tasks to (task, failure or None) in the order in which they end."""
    if name == "inline":
        yield _inline(plan, root)
    else:
        with Local(folder / "plan.json", root.path, workers or cores()) as pool:
            yield pool.run


def check_engine(name: str, workers: int | None) -> None:
    """Refuse an engine before anything is written.

    Raises:
        UsageError: unknown engine, one that is not there yet, or no worker.
    """
    if name in ("slurm", "ray"):
        raise UsageError(f"the engine `{name}` is not in this version yet", "use --engine local or --engine inline")
    if name not in ("inline", "local"):
        raise UsageError(f"unknown engine `{name}`", "engines: inline, local")
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: at least one is needed", "leave it out for one a core")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _inline(plan: Plan, root: Root) -> RunUnits:
    from corpuskit.run import execute

    def run_units(tasks: list[Task]) -> Iterator[tuple[Task, Failure | None]]:
        for task in tasks:
            failure = None
            try:
                execute(plan, root, task)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - any fault of a step is a failed unit
                failure = Failure.of(error)
            yield task, failure

    return run_units


class _Worker:
    """A worker process and the two pipes to it; what it prints goes where our own output goes."""

    def __init__(self, plan: Path, root: Path, threads: int) -> None:
        to_read, self._to_write = os.pipe()
        from_read, from_write = os.pipe()
        variables = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS")
        environment = {
            **os.environ,
            **dict.fromkeys(variables, str(threads)),
            "TOKENIZERS_PARALLELISM": "true",
            "PYTHONHASHSEED": "0",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "corpuskit.worker", str(plan), str(root), str(to_read), str(from_write)],
            pass_fds=(to_read, from_write),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=2,  # what steps print must not stand in what `--json` prints
        )
        os.close(to_read)
        os.close(from_write)
        self.pipe: IO[bytes] = os.fdopen(from_read, "rb", buffering=0)
        self.task: Task | None = None
        self.heard = time.monotonic()
        self._rest = b""

    def give(self, task: Task) -> None:
        """Send a task; a worker that is gone is noticed when its pipe is read."""
        self.task = task
        self.heard = time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            os.write(self._to_write, json.dumps(task).encode() + b"\n")

    def messages(self) -> list[dict[str, str]] | None:
        """What the worker has said; None if it is gone."""
        data = self.pipe.read(65536)
        if not data:
            return None
        self.heard = time.monotonic()
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines if line]

    def end(self) -> int:
        """Kill the process if it lives, and reap it; returns its exit status."""
        if self.process.poll() is None:
            self.process.kill()
        status = self.process.wait()
        self.pipe.close()
        os.close(self._to_write)
        return status


class Local:
    """A pool of worker processes.

    Args:
        plan: path of plan.json. root: of the run. workers: how many processes.
        silence: seconds after which a worker that is not heard counts as dead.
    """

    def __init__(self, plan: Path, root: Path, workers: int, silence: float = SILENCE_SECONDS) -> None:
        self._plan, self._root, self._count, self._silence = plan, root, max(1, workers), silence
        self._threads = max(1, cores() // self._count)
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_rest: object) -> None:
        for worker in list(self._workers):
            self._remove(worker)
        self._selector.close()

    def run(self, tasks: list[Task]) -> Iterator[tuple[Task, Failure | None]]:
        """Run tasks on the pool; yields each as it ends."""
        waiting = deque(tasks)
        attempts: dict[Task, int] = {}
        unfinished = len(tasks)
        while unfinished:
            self._feed(waiting)
            for worker, messages in self._listen():
                task = worker.task
                if messages is None:
                    status = self._remove(worker)
                    if task is None:
                        continue
                    attempts[task] = attempts.get(task, 0) + 1
                    if attempts[task] < ATTEMPTS:
                        sys.stderr.write(f"{task.stage}:{task.unit}: its worker died; trying once more\n")
                        waiting.appendleft(task)
                        continue
                    unfinished -= 1
                    yield task, Failure(_death(status, worker), "")
                    continue
                for message in messages:
                    if "ended" in message and task is not None:
                        worker.task = None
                        unfinished -= 1
                        failure = (
                            Failure(message["message"], message["traceback"]) if message["ended"] == "failed" else None
                        )
                        yield task, failure

    def _feed(self, waiting: deque[Task]) -> None:
        idle = [worker for worker in self._workers if worker.task is None]
        while waiting and (idle or len(self._workers) < self._count):
            if not idle:
                worker = _Worker(self._plan, self._root, self._threads)
                self._workers.append(worker)
                self._selector.register(worker.pipe, selectors.EVENT_READ, worker)
                idle.append(worker)
            idle.pop().give(waiting.popleft())

    def _listen(self) -> Iterator[tuple[_Worker, list[dict[str, str]] | None]]:
        for key, _ in self._selector.select(timeout=HEARTBEAT_SECONDS):
            yield key.data, key.data.messages()
        now = time.monotonic()
        for worker in list(self._workers):
            if worker.task is not None and now - worker.heard > self._silence:
                worker.process.kill()
                yield worker, None

    def _remove(self, worker: _Worker) -> int:
        self._selector.unregister(worker.pipe)
        self._workers.remove(worker)
        return worker.end()


def _death(status: int, worker: _Worker) -> str:
    silent = time.monotonic() - worker.heard
    if status < 0:
        name = signal.Signals(-status).name
        how = f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    else:
        how = f"exited with status {status}"
    return f"the worker process {how}, {ATTEMPTS} times; last heard of {silent:.0f} s before"
