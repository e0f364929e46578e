"""What an engine is: a launcher. It runs unit numbers and says how each ended; what they execute is handed to it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

from corpuskit.buckets.secrets import without_secrets
from corpuskit.core.kinds import Resources
from corpuskit.errors import CorpuskitError

ATTEMPTS = 2
"""How often a unit is begun whose worker dies."""


class Task(NamedTuple):
    """One unit of one stage."""

    stage: str
    unit: int


MOST_CHARACTERS = 20_000
"""Of a failure's message, and of its traceback."""


@dataclass(frozen=True)
class Failure:
    """Why a unit failed: for people, and for developers."""

    message: str
    traceback: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Describe an exception; one that is not the user's to fix keeps its type's name."""
        message = str(error) if isinstance(error, CorpuskitError) else f"{type(error).__name__}: {error}"
        said = (message, "".join(traceback.format_exception(error)))
        return cls(*(_bounded(without_secrets(text)) for text in said))


def _bounded(text: str) -> str:
    """The beginning and the end of a text: an error may hold a whole document, and goes to the log."""
    left = len(text) - MOST_CHARACTERS
    half = MOST_CHARACTERS // 2
    return text if left <= 0 else f"{text[:half]} [{left:,} characters left out] {text[-half:]}"


Ended = tuple[Task, Failure | None]
"""A unit that ended, and why it failed if it did."""


@dataclass(frozen=True)
class Job:
    """What an engine runs units of.

    Attributes:
        execute: runs one unit in this process, and commits it.
        worker: a module for other processes, whose `executor(run, root)` gives such a function; as a program it is a
            worker, which takes the two pipes of `corpuskit.engines.worker` besides.
        run, root: where that finds the plan, and the root: a path that starts at `/`, or a URL.
        asks: what a unit is to be given. key: names a unit in all runs over this root.
    """

    execute: Callable[[Task], None]
    worker: str
    run: str
    root: str
    asks: Callable[[Task], Resources]
    key: Callable[[Task], str]

    @property
    def command(self) -> list[str]:
        """Starts a worker."""
        return [sys.executable, "-m", self.worker, self.run, self.root]


class Engine(Protocol):
    """Runs units while it is entered; leaving it ends all that it started."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *rest: object) -> None: ...

    def free(self) -> int:
        """How many units it would begin at once."""

    def give(self, task: Task) -> None:
        """Begin a unit."""

    def ended(self) -> list[Ended]:
        """The units that have ended since; waits a while for one, so that there may be none."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_environment(threads: int) -> dict[str, str]:
    """The variables that a worker is started with: so many threads, and sets in an order that is always the same."""
    variables = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS")
    return dict.fromkeys(variables, str(threads)) | {"TOKENIZERS_PARALLELISM": "true", "PYTHONHASHSEED": "0"}
