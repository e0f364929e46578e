"""What an engine is: a launcher. It runs unit numbers and says how each ended; what they execute is handed to it."""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

from corpuskit.errors import CorpuskitError


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
        return cls(_bounded(message), _bounded("".join(traceback.format_exception(error))))


def _bounded(text: str) -> str:
    """The beginning and the end of a text: an error may hold a whole document, and goes to the log."""
    left = len(text) - MOST_CHARACTERS
    half = MOST_CHARACTERS // 2
    return text if left <= 0 else f"{text[:half]} [{left:,} characters left out] {text[-half:]}"


Ended = tuple[Task, Failure | None]
"""A unit that ended, and why it failed if it did."""


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
