"""The engine `local`: a pool of worker processes on this machine.

A worker that dies or falls silent is a failed unit, tried once more, then reported; nothing ever waits for a process
that is gone. Only stage names and unit numbers cross the border between processes.
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
from collections import deque
from collections.abc import Iterator, Sequence
from typing import IO, Self

from corpuskit.engines.base import ATTEMPTS, Ended, Failure, Task, cores, worker_environment
from corpuskit.engines.worker import HEARTBEAT_SECONDS

SILENCE_SECONDS = 600.0
"""A worker that has not been heard of for so long is killed; it sends heartbeats from a thread of its own."""


class _Worker:
    """A worker process and the two pipes to it; what it prints goes where our own output goes."""

    def __init__(self, command: Sequence[str], threads: int) -> None:
        to_read, self._to_write = os.pipe()
        from_read, from_write = os.pipe()
        self.process = subprocess.Popen(
            [*command, str(to_read), str(from_write)],
            pass_fds=(to_read, from_write),
            env={**os.environ, **worker_environment(threads)},
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
        command: starts a worker, which serves the two pipes whose numbers are added: see `corpuskit.engines.worker`.
        workers: how many processes.
        silence: seconds after which a worker that is not heard of counts as dead.
        threads: of each worker; default: its share of this machine's cores.
    """

    def __init__(
        self, command: Sequence[str], workers: int, silence: float = SILENCE_SECONDS, threads: int | None = None
    ) -> None:
        self._command, self._count, self._silence = command, max(1, workers), silence
        self._threads = threads or max(1, cores() // self._count)
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()
        self._waiting: deque[Task] = deque()
        self._attempts: dict[Task, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_rest: object) -> None:
        for worker in list(self._workers):
            self._remove(worker)
        self._selector.close()

    def free(self) -> int:
        """As many units as workers are idle, or could be started."""
        busy = sum(worker.task is not None for worker in self._workers)
        return self._count - busy - len(self._waiting)

    def give(self, task: Task) -> None:
        """Send a unit to a worker, started if none is idle."""
        self._waiting.append(task)
        self._feed()

    def ended(self) -> list[Ended]:
        """The units that ended; a unit whose worker died for the first time is begun again."""
        found = [ended for worker, messages in self._listen() for ended in self._heard(worker, messages)]
        self._feed()
        return found

    def _heard(self, worker: _Worker, messages: list[dict[str, str]] | None) -> Iterator[Ended]:
        task = worker.task
        if messages is None:
            status = self._remove(worker)
            if task is None:
                return
            self._attempts[task] = self._attempts.get(task, 0) + 1
            if self._attempts[task] < ATTEMPTS:
                sys.stderr.write(f"{task.stage}:{task.unit}: its worker died; trying once more\n")
                self._waiting.appendleft(task)
            else:
                yield task, Failure(_death(status, worker), "")
            return
        for message in messages:
            if "ended" in message and task is not None:
                worker.task = None
                failed = message["ended"] == "failed"
                yield task, Failure(message["message"], message["traceback"]) if failed else None

    def _feed(self) -> None:
        idle = [worker for worker in self._workers if worker.task is None]
        while self._waiting and (idle or len(self._workers) < self._count):
            if not idle:
                worker = _Worker(self._command, self._threads)
                self._workers.append(worker)
                self._selector.register(worker.pipe, selectors.EVENT_READ, worker)
                idle.append(worker)
            idle.pop().give(self._waiting.popleft())

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
