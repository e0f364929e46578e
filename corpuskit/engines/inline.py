"""The engine `inline`: a loop in this process, for the debugger and for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from corpuskit.engines.base import Ended, Failure, Task


class Inline:
    """Runs a unit when it is asked for what ended.

    Args:
        execute: runs one unit and commits it.
    """

    def __init__(self, execute: Callable[[Task], None]) -> None:
        self._execute = execute
        self._given: list[Task] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_rest: object) -> None:
        return

    def free(self) -> int:
        """One unit at a time."""
        return 1 - len(self._given)

    def give(self, task: Task) -> None:
        """Keep a unit for `ended`."""
        self._given.append(task)

    def ended(self) -> list[Ended]:
        """Run the unit."""
        given, self._given = self._given, []
        return [(task, self._run(task)) for task in given]

    def _run(self, task: Task) -> Failure | None:
        try:
            self._execute(task)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - any fault of a step is a failed unit
            return Failure.of(error)
        return None
