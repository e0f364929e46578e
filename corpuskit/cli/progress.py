"""Progress of a run for people: a line when a stage ends, one now and then while units run, each failure at once."""

from __future__ import annotations

import time
from collections import Counter
from typing import IO, Any

SECONDS = 10.0
"""Between two lines that say what is running."""


class Progress:
    """Takes the events of a run and prints lines.

    Args:
        to: where the lines go.
    """

    def __init__(self, to: IO[str]) -> None:
        self._to = to
        self._planned: dict[str, int] = {}
        self._begun: dict[str, float] = {}
        self._running: Counter[str] = Counter()
        self._over: Counter[str] = Counter()
        self._told = time.monotonic()

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event of `corpuskit.run.scheduler`."""
        what = event["event"]
        if what == "planned":
            self._planned = event["units"]
        elif what == "note":
            self._say(f"note: {event['text']}")
        elif what == "sealed":
            self._say(f"sealed: {event['folder']}/")
        elif what == "started":
            self._begun.setdefault(event["stage"], time.monotonic())
            self._running[event["stage"]] += 1
        else:
            if what == "failed":
                self._say(f"failed: {event['stage']}:{event['unit']} ({event['label']})")
            self._ended(event["stage"])
        if time.monotonic() - self._told > SECONDS:
            now = (f"{name} {self._over[name]} of {self._planned[name]}" for name in sorted(+self._running))
            self._say(f"  {', '.join(now)}")

    def _ended(self, stage: str) -> None:
        self._running[stage] -= 1
        self._over[stage] += 1
        if self._over[stage] == self._planned[stage]:
            seconds = time.monotonic() - self._begun[stage]
            self._say(f"{stage}: {self._over[stage]} unit(s), {seconds:.1f} s")

    def _say(self, line: str) -> None:
        self._told = time.monotonic()
        print(line, file=self._to, flush=True)
