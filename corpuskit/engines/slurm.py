"""The engine `slurm`: units as tasks of Slurm's job arrays, on nodes that share the root and the raw files.

What is ready is submitted together, whatever its stage: several units to a task where an array would have too many. A
task is `corpuskit.engines.pack`, which writes down how each unit ended, beside the list of its units; the process of
the run reads that, and asks Slurm which tasks are still there. It may end: tasks that were submitted go on, and the
next run over the root takes them up instead of submitting their units again. A unit whose task is gone without a word
is submitted once more, then reported. Partition, account, time limit and the like are Slurm's own `SBATCH_*` variables.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from corpuskit.core.kinds import Resources
from corpuskit.core.tables import counted
from corpuskit.engines.base import ATTEMPTS, Ended, Failure, Job, Task
from corpuskit.errors import CorpuskitError, UsageError

POLL_SECONDS = 2.0
"""Between two looks at what tasks wrote."""

QUEUE_SECONDS = 10.0
"""Between two questions to Slurm's controller."""

SUBMIT_SECONDS = 30.0
"""Between two submissions while tasks run: units become ready one by one, and arrays should be few."""

OVERHEAD = 256 << 20
"""Bytes of memory that a task asks for beside the worker's."""


def check() -> None:
    """Refuse a machine that cannot submit.

    Raises:
        UsageError: there is no `sbatch`, or the controller does not answer.
    """
    if shutil.which("sbatch") is None:
        raise UsageError("the engine `slurm` needs `sbatch`, which is not here", "run it where jobs are submitted")
    try:
        _array_size()
    except CorpuskitError as error:
        raise UsageError(error.message, "scontrol ping") from error


def failures(folder: Path) -> Iterator[tuple[Task, Failure]]:
    """The units of a run, `ROOT/runs/<time>`, that failed in tasks, whether or not its process was there to hear it."""
    for path in sorted(folder.glob("slurm/*/packs.json")):
        array = Array.read(path.parent)
        keys = {key: Task(stage, unit) for pack in array.packs for stage, unit, key in pack}
        yield from ((keys[key], Failure(*why)) for key, why in array.said() if why is not None)


@dataclass
class Array:
    """One job array: its folder, and the units of each task as `[stage, number, key]`."""

    folder: Path
    packs: list[list[tuple[str, int, str]]]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What was submitted from a folder."""
        return cls(folder, json.loads((folder / "packs.json").read_text())["packs"])

    def said(self) -> Iterator[tuple[str, tuple[str, str] | None]]:
        """The units that ended, by their keys, each with None, or the message and traceback of its failure."""
        for path in sorted(self.folder.glob("ended-*.jsonl")):
            for line in path.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    yield json.loads(line)


class Slurm:
    """Units in job arrays.

    Args:
        job: what units are of.
        workers: tasks of an array at most; default: as many as Slurm allows.
    """

    def __init__(self, job: Job, workers: int | None) -> None:
        self._job = job
        self._name = f"corpuskit-{hashlib.sha256(job.root.encode()).hexdigest()[:12]}"
        shared = Path("corpuskit-slurm") if "://" in job.root else Path(job.root)
        self._folder = shared.absolute() / job.run / "slurm"
        self._tasks: dict[str, Task] = {}  # given and not ended, by key
        self._waiting: list[Task] = []  # of these, not submitted
        self._places: dict[str, tuple[Path, int]] = {}  # by key of what is submitted: folder and number of its task
        self._arrays: dict[Path, Array] = {}
        self._gone: set[str] = set()  # submitted, not ended, and not in the queue when it was last looked at
        self._attempts: dict[str, int] = {}
        self._workers, self._limit, self._gpus = workers, 0, False
        self._looked = self._submitted = 0.0

    def __enter__(self) -> Self:
        self._limit = min(_array_size(), self._workers or sys.maxsize)
        self._gpus = "gpu" in _told("sinfo", "--noheader", "--format=%G")
        self._folder.mkdir(parents=True)
        for folder, number in self._queue():  # what an earlier run left there
            if folder not in self._arrays:
                self._arrays[folder] = Array.read(folder)
            ended = {key for key, _ in self._arrays[folder].said()}
            self._places |= {
                key: (folder, number) for _, _, key in self._arrays[folder].packs[number] if key not in ended
            }
        return self

    def __exit__(self, *_rest: object) -> None:
        left = sum(key in self._places for key in self._tasks)
        if left:
            sys.stderr.write(
                f"{counted(left, 'unit')} left with Slurm, to go on there; the same command takes it up again, and\n"
                f"    scancel --name={self._name}\nends them\n"
            )

    def free(self) -> int:
        """As many units as there are: they wait in Slurm's queue."""
        return 1

    def give(self, task: Task) -> None:
        """Keep a unit for the next submission, unless an earlier run submitted it."""
        key = self._job.key(task)
        self._tasks[key] = task
        if key not in self._places:
            self._waiting.append(task)

    def ended(self) -> list[Ended]:
        """The units that ended; a unit whose task is gone for the first time is submitted again."""
        now = time.monotonic()
        busy = any(key in self._places for key in self._tasks)
        if self._waiting and (not busy or now - self._submitted > SUBMIT_SECONDS):
            self._submit()
            self._submitted = now
        time.sleep(POLL_SECONDS)
        lost: set[str] = set()
        if now - self._looked > QUEUE_SECONDS:
            self._looked = now
            lost = self._lost()
        return [*self._heard(), *self._died(lost)]

    def _submit(self) -> None:
        """An array for all that asks for the same; each task gets large and small units."""
        alike: dict[Resources, list[Task]] = defaultdict(list)
        for task in self._waiting:
            alike[self._job.asks(task)].append(task)
        self._waiting = []
        for asks, tasks in alike.items():
            count = min(len(tasks), self._limit)
            packs = [[(*task, self._job.key(task)) for task in tasks[number::count]] for number in range(count)]
            self._send(asks, packs)

    def _send(self, asks: Resources, packs: list[list[tuple[str, int, str]]]) -> None:
        folder = next(path for n in itertools.count() if not (path := self._folder / f"{n:04d}").exists())
        folder.mkdir()
        array = self._arrays[folder] = Array(folder, packs)
        (folder / "packs.json").write_text(json.dumps({"command": self._job.command, "packs": packs}))
        _told(
            "sbatch",
            "--parsable",
            f"--array=0-{len(packs) - 1}",
            f"--job-name={self._name}",
            f"--comment={folder}",
            f"--output={folder}/%a.out",
            "--open-mode=append",
            "--nodes=1",
            "--ntasks=1",
            f"--cpus-per-task={asks.cores}",
            f"--mem={(asks.memory + OVERHEAD) >> 20}M",
            *([f"--gpus={asks.gpus}"] if asks.gpus and self._gpus else []),
            f"--wrap=exec {shlex.join([sys.executable, '-m', 'corpuskit.engines.pack', str(folder)])}",
        )
        self._places |= {key: (folder, number) for number, pack in enumerate(array.packs) for _, _, key in pack}

    def _heard(self) -> Iterator[Ended]:
        for folder in {folder for folder, _ in self._places.values()}:
            for key, why in self._arrays[folder].said():
                if self._places.get(key, (None, 0))[0] == folder:
                    del self._places[key]
                    if (task := self._tasks.pop(key, None)) is not None:
                        yield task, Failure(*why) if why is not None else None

    def _lost(self) -> set[str]:
        """Units whose task was in the queue neither now nor at the last look: what it wrote is seen by now."""
        there = set(self._queue())
        gone = {key for key in self._tasks if key in self._places and self._places[key] not in there}
        lost, self._gone = gone & self._gone, gone
        return lost

    def _died(self, lost: set[str]) -> Iterator[Ended]:
        for key in sorted(lost & self._tasks.keys()):
            task, (folder, number) = self._tasks[key], self._places.pop(key)
            self._attempts[key] = self._attempts.get(key, 0) + 1
            how = f"task {number} of the array in {folder} ended without a word: see {number}.out there"
            if self._attempts[key] < ATTEMPTS:
                sys.stderr.write(f"{task.stage}:{task.unit}: {how}; trying once more\n")
                self._waiting.append(task)
            else:
                del self._tasks[key]
                yield task, Failure(f"{how}; {ATTEMPTS} times", "")

    def _queue(self) -> Iterator[tuple[Path, int]]:
        """Folder and number of each of our tasks that Slurm has, waiting or running."""
        said = _told("squeue", "--me", "--noheader", "--array", f"--name={self._name}", "--format=%K %k")
        for line in said.splitlines():
            number, _, folder = line.partition(" ")
            yield Path(folder), int(number)


def _array_size() -> int:
    """How many tasks an array may have."""
    lines = _told("scontrol", "show", "config").splitlines()
    return next(int(line.partition("=")[2]) for line in lines if line.startswith("MaxArraySize"))


def _told(*command: str) -> str:
    """What a command of Slurm prints.

    Raises:
        CorpuskitError: it failed, with what it says.
    """
    inherited = {name: value for name, value in os.environ.items() if name == "SLURM_CONF" or name[:6] != "SLURM_"}
    done: Any = subprocess.run(command, env=inherited, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CorpuskitError(f"{command[0]}: {done.stderr.strip()}", "what is submitted goes on: run again")
    return str(done.stdout)
