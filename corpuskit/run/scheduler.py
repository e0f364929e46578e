"""Runs a plan: each unit as soon as what it needs is complete. What was sealed, ran and failed is told as events.

What is complete is asked of the disk once, at the start; then the engine says how each unit ended.
"""

from __future__ import annotations

import heapq
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from corpuskit.core.kinds import kind_of
from corpuskit.core.plan import Plan
from corpuskit.core.tables import counted
from corpuskit.engines import Ended, Failure, Job, Task, make_engine
from corpuskit.errors import UnitFailed
from corpuskit.run.execute import execute
from corpuskit.run.seal import FOLDERS, seal, sealed_by
from corpuskit.store.removed import refuse_pending
from corpuskit.store.root import Root
from corpuskit.store.scratch import at_work
from corpuskit.store.versions import other_versions

Report = Callable[[dict[str, Any]], None]
"""Takes an event. `event` is `planned` (units to run by stage), `started`, `ended`, `failed` (of a unit: its stage,
number and label, and whether it was reused, or its error and traceback), `sealed` (a folder) or `note` (a text); `time`
is in seconds since 1970."""


@dataclass
class Outcome:
    """What a run did: units that ran, that were reused from an earlier run, and that were complete before.

    `other_versions` says what of the last two was made with other versions of packages, see `corpuskit.store.versions`.
    """

    ran: int = 0
    reused: int = 0
    complete: int = 0
    failures: list[tuple[Task, Failure]] = field(default_factory=list)
    other_versions: list[str] = field(default_factory=list)


class Queue:
    """Which units can run: those that are not complete and have all they need. Nothing here reads the disk.

    Args:
        plan: the stages. wanted: the names of those that are to run.
        complete: of each wanted or needed stage, the numbers of its complete units.
    """

    def __init__(self, plan: Plan, wanted: set[str], complete: dict[str, set[int]]) -> None:
        self._plan, self._wanted, self._complete = plan, wanted, complete
        self._ready: list[tuple[int, int, int, Task]] = []
        self._order = {name: place for place, name in enumerate(plan.stages)}
        self._blocked = dict.fromkeys(wanted, 0)
        self._behind: dict[str, list[str]] = {name: [] for name in plan.stages}  # that need the whole stage
        self._beside: dict[str, list[str]] = {name: [] for name in plan.stages}  # that need it unit by unit
        for name in sorted(wanted):
            for need in plan.stages[name].needs.values():
                if need.how == "each":
                    self._beside[need.stage].append(name)
                elif not self.whole(need.stage):
                    self._blocked[name] += 1
                    self._behind[need.stage].append(name)
        for name in wanted:
            if not self._blocked[name]:
                self._offer(name, range(len(plan.stages[name].units)))

    def whole(self, name: str) -> bool:
        """Whether all units of a stage are complete."""
        return len(self._complete[name]) == len(self._plan.stages[name].units)

    def take(self) -> Task | None:
        """The next unit to run, the largest first, so that the last to end is a small one; None if none can."""
        return heapq.heappop(self._ready)[3] if self._ready else None

    def done(self, task: Task) -> None:
        """A unit is complete: what waited for it can run."""
        self._complete[task.stage].add(task.unit)
        for name in self._beside[task.stage]:
            if not self._blocked[name]:
                self._offer(name, [task.unit])
        if self.whole(task.stage):
            for name in self._behind[task.stage]:
                self._blocked[name] -= 1
                if not self._blocked[name]:
                    self._offer(name, range(len(self._plan.stages[name].units)))

    def _offer(self, name: str, numbers: range | list[int]) -> None:
        stage = self._plan.stages[name]
        one_to_one = [self._complete[need.stage] for need in stage.needs.values() if need.how == "each"]
        for number in numbers:
            if number not in self._complete[name] and all(number in complete for complete in one_to_one):
                task = Task(name, number)
                heapq.heappush(self._ready, (-stage.units[number].bytes, self._order[name], number, task))


def run(
    plan: Plan,
    root: Root,
    folder: str,
    *,
    engine: str = "local",
    workers: int | None = None,
    until: str | None = None,
    report: Report = lambda _event: None,
) -> Outcome:
    """Run all units that are not complete, and seal what they complete.

    Args:
        plan: what to run. root: where.
        folder: of this run, `runs/<time>`, for its log; it holds plan.json, which workers read.
        engine, workers: see `corpuskit.engines.make_engine`.
        until: stop after this stage.
        report: told every event, which also goes to `log.jsonl`.

    Returns:
        What ran and what failed; all units that did not fail are committed. `failure_report` makes the error of it.
    """
    refuse_pending(root.store)
    wanted = plan.until(until) if until is not None else set(plan.stages)
    root.describe(plan)
    complete = {name: {receipt.unit for receipt in root.each_complete(stage)} for name, stage in plan.stages.items()}
    outcome = Outcome(complete=sum(len(complete[name]) for name in wanted))
    outcome.other_versions = other_versions(root, [stage for name, stage in plan.stages.items() if name in wanted])
    with root.store.log(f"{folder}/log.jsonl") as log:
        lost: list[str] = []

        def tell(event: str, **about: Any) -> None:
            said = {"time": time.time(), "event": event, **about}
            report(said)
            try:
                if not lost:
                    log.write(orjson.dumps(said) + b"\n")
                    log.flush()
            except OSError as error:  # receipts are what counts
                lost.append(event)
                text = f"{root.url}/{folder}/log.jsonl cannot be written: {error.strerror or error}; the run goes on"
                report({**said, "event": "note", "text": text})

        tell("planned", units={name: len(plan.stages[name].units) - len(complete[name]) for name in sorted(wanted)})
        for line in outcome.other_versions:
            tell("note", text=line)
        queue, seals = Queue(plan, wanted, complete), _Seals(plan, root, complete)
        seals.check(tell)
        for task, failure in _units(queue, plan, root, folder, engine, workers, tell):
            stage = plan.stages[task.stage]
            about = {"stage": task.stage, "unit": task.unit, "label": stage.units[task.unit].label}
            if failure is not None:
                outcome.failures.append((task, failure))
                tell("failed", **about, error=failure.message, traceback=failure.traceback)
                continue
            made = root.receipt(stage, task.unit)
            reused = made is not None and made.reused is not None
            outcome.reused += reused
            outcome.ran += not reused
            tell("ended", **about, reused=reused)
            queue.done(task)
            if queue.whole(task.stage):
                seals.check(tell)
    _clean_scratch(root)
    return outcome


def _units(
    queue: Queue, plan: Plan, root: Root, folder: str, name: str, workers: int | None, tell: Callable[..., None]
) -> Iterator[Ended]:
    """Run what the queue gives until it has no more; each unit as it ends."""
    job = Job(
        execute=lambda task: execute(plan, root, task),
        worker="corpuskit.run.worker",
        run=folder,
        root=root.url if root.store.path is None else str(root.store.path.absolute()),
        asks=lambda task: kind_of(stage := plan.stages[task.stage]).asks(stage, plan.memory),
        key=lambda task: f"{(stage := plan.stages[task.stage]).folder}/{stage.units[task.unit].key}",
    )
    with make_engine(name, workers, job) as engine:
        running = 0
        while True:
            while engine.free() > 0 and (task := queue.take()) is not None:
                tell("started", stage=task.stage, unit=task.unit, label=plan.stages[task.stage].units[task.unit].label)
                engine.give(task)
                running += 1
            if not running:
                return
            for ended in engine.ended():
                running -= 1
                yield ended


class _Seals:
    """Seals each group of folders once, when all its stages are complete."""

    def __init__(self, plan: Plan, root: Root, complete: dict[str, set[int]]) -> None:
        self._plan, self._root, self._complete = plan, root, complete
        self._left = list(FOLDERS)  # the corpus first: what comes after it may be left by another recipe

    def check(self, tell: Callable[..., None]) -> None:
        """Seal what can be sealed now."""
        for name in list(self._left):
            if not self._ready(name):
                continue
            self._left.remove(name)
            if seal(self._plan, self._root, name):
                tell("sealed", folder=name)

    def _ready(self, name: str) -> bool:
        stages = sealed_by(self._plan, name)
        if not stages:  # what another recipe left goes with the corpus that it was made from
            return "corpus" not in self._left
        return all(len(self._complete[stage.name]) == len(stage.units) for stage in stages)


def _clean_scratch(root: Root) -> None:
    """Remove what units left behind whose process on this machine is gone."""
    for folder in root.store.scratches():
        if at_work(folder) is False:
            shutil.rmtree(folder, ignore_errors=True)


def failure_report(outcome: Outcome, plan: Plan, log: str, recipe: str, options: str) -> UnitFailed:
    """The error that names every failed unit and the log, with the command to try again and the one to debug it."""
    lines = []
    for task, failure in outcome.failures:
        unit = plan.stages[task.stage].units[task.unit]
        lines.append(f"{task.stage}:{task.unit} ({unit.label})\n    " + failure.message.replace("\n", "\n    "))
    first = outcome.failures[0][0]
    return UnitFailed(
        f"{counted(len(lines), 'unit')} failed; all others are committed\n" + "\n".join(lines),
        f"tracebacks: {log}\n"
        f"  try again: corpuskit run {recipe}{options}\n"
        f"  debug one: corpuskit run {recipe}{options} --unit {first.stage}:{first.unit} --pdb",
    )
