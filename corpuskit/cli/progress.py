"""Progress of a run for people: a line when a stage ends, and each failure at once.

On a terminal the stages that run have a bar each, with their rate and the time left; elsewhere a line now and then
names them.
"""

from __future__ import annotations

import time
from collections import Counter
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from corpuskit.core.tables import counted

if TYPE_CHECKING:
    import rich.progress

SECONDS = 10.0
"""Between two lines that say what is running."""


def progress(to: IO[str]) -> Progress:
    """The progress that suits where it goes: enter it, and give it the events of a run."""
    return Bars(to) if to.isatty() else Progress(to)


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
        self._failed: Counter[str] = Counter()
        self._told = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left on the screen but lines."""

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
                self._failed[event["stage"]] += 1
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
            failed = f", {self._failed[stage]} of them failed" if self._failed[stage] else ""
            self._say(f"{stage}: {counted(self._over[stage], 'unit')}{failed}, {seconds:.1f} s")

    def _say(self, line: str) -> None:
        self._told = time.monotonic()
        print(line, file=self._to, flush=True)


class Bars(Progress):
    """The same with a bar for each stage that runs."""

    def __init__(self, to: IO[str]) -> None:
        super().__init__(to)
        import rich.console
        import rich.progress as parts

        rate = parts.TextColumn("{task.fields[rate]}")
        columns = (parts.TextColumn("{task.description}"), parts.BarColumn(20), parts.MofNCompleteColumn(), rate)
        console = rich.console.Console(file=to)
        self._bars = parts.Progress(*columns, parts.TimeRemainingColumn(), console=console, transient=True)
        self._tasks: dict[str, rich.progress.TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_rest: object) -> None:
        self._bars.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event."""
        stage = event.get("stage", "")
        if event["event"] == "started" and stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=self._planned[stage], rate="")
        self._told = time.monotonic()  # the bars say what runs
        super().__call__(event)
        if event["event"] in ("ended", "failed"):
            if self._over[stage] == self._planned[stage]:
                self._bars.remove_task(self._tasks[stage])
            else:
                rate = self._over[stage] / max(1e-9, time.monotonic() - self._begun[stage])
                self._bars.update(self._tasks[stage], completed=self._over[stage], rate=f"{rate:.1f} units/s")

    def _say(self, line: str) -> None:
        self._bars.console.print(line, markup=False, highlight=False, soft_wrap=True)
