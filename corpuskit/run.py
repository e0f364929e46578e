"""Runs a plan: the units that have no receipt, wave by wave; then seals the root, checking that the books balance."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib
import os
import re
import resource
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from corpuskit.engine import Failure, Task, make_engine
from corpuskit.errors import CorpuskitError, InputError, UnitFailed
from corpuskit.graph import Plan, Stage, digest
from corpuskit.reuse import content_key, remember, take_over
from corpuskit.store import Root, at_work, other_versions, publish, scratch_name
from corpuskit.unit import Work
from corpuskit.views import rebuild

PROGRESS_SECONDS = 10.0

BASE_BYTES = 192 << 20
"""Of a worker's memory, what the interpreter and its libraries take."""

CORPUS_FOLDERS = ("corpus", "holdout", "dropped", "duplicates", "index")


def execute(plan: Plan, root: Root, task: Task) -> None:
    """Run one unit and commit it, or commit what an earlier unit made of the same; nothing if its receipt is there.

    Raises:
        InputError: a raw file is damaged, or changed since it was listed.
    """
    stage = plan.stages[task.stage]
    if root.receipt(stage, task.unit) is not None:
        return
    unit = stage.units[task.unit]
    content = content_key(plan, root, stage, task.unit)
    scratch = root.folder(stage) / "scratch" / scratch_name(unit.key)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    needs = {label: need.stage for label, need in stage.needs.items()}
    work = Work(
        root=root.path,
        stage=stage.name,
        spec=stage.spec,
        run=stage.run,
        unit=task.unit,
        units=len(stage.units),
        key=content or unit.key,
        inputs=unit.inputs,
        memory=plan.memory - BASE_BYTES,
        batch_bytes=plan.batch_bytes,
        scratch=scratch,
        receipts_of=lambda name: root.receipts(plan.stages[name]),
        needs=needs,
        receipt_of=lambda name, number: root.receipt(plan.stages[name], number),
        origin=unit.origin,
    )
    try:
        if content is None or not take_over(root, stage, task.unit, content, scratch):
            _run_body(root, stage, work)
        if content is not None:
            remember(root, stage, task.unit, content)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        _give_back()


def _give_back() -> None:
    """Give freed memory back to the system, where it can be (glibc): the next unit starts from the base."""
    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _run_body(root: Root, stage: Stage, work: Work) -> None:
    _forget_peak()
    wall, cpu = time.monotonic(), _cpu_seconds()
    module, _, name = stage.body.partition(":")
    getattr(importlib.import_module(module), name)(work)
    _check_unchanged(work)
    root.commit(stage, work, time.monotonic() - wall, _cpu_seconds() - cpu, _peak_bytes())


def _cpu_seconds() -> float:
    usage, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime + children.ru_utime + children.ru_stime


def _forget_peak() -> None:
    """Start the count of peak resident memory anew, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> int:
    """Peak resident memory since `_forget_peak`, bytes; of this process or of the largest child that has ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    try:
        status = Path("/proc/self/status").read_text()
        return max(children, int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024)  # type: ignore[index]
    except (OSError, TypeError):
        return max(children, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def _check_unchanged(work: Work) -> None:
    if not work.inputs:
        return
    from corpuskit.sources.listing import identity

    for entry in work.inputs:
        now = identity(entry["path"])
        if now != (entry["size"], entry["identity"]):
            raise InputError(
                f"{entry['path']} changed while it was read", "run again: the plan takes the file as it is now"
            )


@dataclass
class Outcome:
    """What a run did: units that ran, that took over what an earlier one made, and that were complete before.

    `other_versions` says what of the last two was made with other versions of packages, see `store.other_versions`.
    """

    ran: int = 0
    reused: int = 0
    complete: int = 0
    failures: list[tuple[Task, Failure]] = field(default_factory=list)
    other_versions: list[str] = field(default_factory=list)


def wave(plan: Plan, root: Root, wanted: set[str], failed: set[Task]) -> list[Task]:
    """All units that can run now: no receipt yet, everything they need complete, not failed in this run."""
    ready = []
    done = {name: len(root.complete(stage)) == len(stage.units) for name, stage in plan.stages.items()}
    for name, stage in plan.stages.items():
        if name not in wanted or done[name]:
            continue
        if not all(done[need.stage] for need in stage.needs.values() if need.how == "all"):
            continue
        each = [plan.stages[need.stage] for need in stage.needs.values() if need.how == "each"]
        for number in range(len(stage.units)):
            task = Task(name, number)
            if task in failed or root.receipt(stage, number) is not None:
                continue
            if all(root.receipt(upstream, number) is not None for upstream in each):
                ready.append(task)
    # the largest first, so that the last unit of a wave is a small one
    return sorted(ready, key=lambda task: -plan.stages[task.stage].units[task.unit].bytes)


def run(
    plan: Plan,
    root: Root,
    folder: Path,
    *,
    engine: str = "local",
    workers: int | None = None,
    until: str | None = None,
    report: Callable[[str], None] = lambda _line: None,
) -> Outcome:
    """Run all units that are not complete, then seal.

    Args:
        plan: what to run. root: where.
        folder: of this run, for its log; it holds plan.json, which workers read.
        engine, workers: `inline` or `local` with this many processes.
        until: stop after this stage.
        report: told a line of progress now and then.

    Returns:
        What ran and what failed; all units that did not fail are committed. `failure_report` makes the error of it.
    """
    wanted = plan.until(until) if until is not None else set(plan.stages)
    root.describe(plan)
    outcome = Outcome(complete=sum(len(root.complete(plan.stages[name])) for name in wanted))
    outcome.other_versions = other_versions(root, [stage for name, stage in plan.stages.items() if name in wanted])
    for line in outcome.other_versions:
        report(f"note: {line}")
    failed: set[Task] = set()
    sealed: set[str] = set()
    with make_engine(engine, workers, plan, root, folder) as run_units, (folder / "log.jsonl").open("ab") as log:
        while True:
            seal_ready(plan, root, sealed, report)
            tasks = wave(plan, root, wanted, failed)
            if not tasks:
                rebuild(root, plan)
                break
            report(f"{_names(tasks)}: {len(tasks)} unit(s)")
            told = time.monotonic()
            for done, (task, failure) in enumerate(run_units(tasks), start=1):
                if time.monotonic() - told > PROGRESS_SECONDS:
                    told = time.monotonic()
                    report(f"  {done} of {len(tasks)}")
                label = plan.stages[task.stage].units[task.unit].label
                entry = {"time": time.time(), "stage": task.stage, "unit": task.unit, "label": label}
                if failure is None:
                    made = root.receipt(plan.stages[task.stage], task.unit)
                    reused = made is not None and made.reused is not None
                    outcome.reused += reused
                    outcome.ran += not reused
                    entry |= {"reused": reused}
                else:
                    failed.add(task)
                    outcome.failures.append((task, failure))
                    report(f"failed: {task.stage}:{task.unit} ({label})")
                    entry |= {"error": failure.message, "traceback": failure.traceback}
                log.write(orjson.dumps(entry) + b"\n")
                log.flush()
    _clean_scratch(root)
    return outcome


def _clean_scratch(root: Root) -> None:
    """Remove what units left behind whose process on this machine is gone."""
    for folder in root.path.glob("stages/*/scratch/*"):
        if at_work(folder) is False:
            shutil.rmtree(folder, ignore_errors=True)


def _names(tasks: Iterable[Task]) -> str:
    return ", ".join(sorted({task.stage for task in tasks}))


def failure_report(outcome: Outcome, plan: Plan, recipe: str, options: str) -> UnitFailed:
    """The error that names every failed unit, with the command to try again and the one to debug it."""
    lines = []
    for task, failure in outcome.failures:
        unit = plan.stages[task.stage].units[task.unit]
        lines.append(f"{task.stage}:{task.unit} ({unit.label})\n    " + failure.message.replace("\n", "\n    "))
    first = outcome.failures[0][0]
    return UnitFailed(
        f"{len(lines)} unit(s) failed; all others are committed\n" + "\n".join(lines),
        f"try again: corpuskit run {recipe}{options}\n"
        f"  debug one: corpuskit run {recipe}{options} --unit {first.stage}:{first.unit} --pdb",
    )


# -- sealing -------------------------------------------------------------------------------------------------------


def corpus_stages(plan: Plan) -> list[Stage]:
    """The stages that decide what is in the corpus."""
    later = ("corpuskit.shards.", "corpuskit.mix.", "corpuskit.training:")
    return [stage for stage in plan.stages.values() if not stage.body.startswith(later)]


def shard_stages(plan: Plan) -> list[Stage]:
    """The stages that make tokens and shards; none without a `mix`."""
    return [stage for stage in plan.stages.values() if stage.body.startswith("corpuskit.shards.")]


def swarm_stages(plan: Plan) -> list[Stage]:
    """The stage that publishes the tables of proxy runs; none without a `swarm`."""
    return [stage for name, stage in plan.stages.items() if name == "losses"]


def _all_complete(root: Root, stages: Iterable[Stage]) -> bool:
    return all(len(root.complete(stage)) == len(stage.units) for stage in stages)


@contextlib.contextmanager
def _sealing(root: Root) -> Iterator[None]:
    """One run at a time fills the published folders of a root; units are committed without any lock."""
    with (root.path / ".seal").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def seal_ready(plan: Plan, root: Root, sealed: set[str], report: Callable[[str], None]) -> None:
    """Publish each group of folders whose stages are all complete: the corpus, the tokens and shards."""
    with _sealing(root):
        _seal_ready(plan, root, sealed, report)


def _seal_ready(plan: Plan, root: Root, sealed: set[str], report: Callable[[str], None]) -> None:
    corpus = corpus_stages(plan)
    if "corpus" not in sealed and _all_complete(root, corpus):
        check_conservation(books(root, corpus))
        changed = publish(root, corpus, CORPUS_FOLDERS, {"recipe": plan.recipe, "plan": fingerprint(corpus)})
        _write_files(root, plan)
        sealed.add("corpus")
        if changed:
            report("sealed: corpus/")
    shards = shard_stages(plan)
    if not shards and "shards" not in sealed and "corpus" in sealed and (root.path / "shards").exists():
        # left by a recipe that had a mixture
        publish(root, [], ("tokens", "shards"), {"recipe": plan.recipe, "plan": fingerprint([])})
        sealed.add("shards")
    if shards and "shards" not in sealed and _all_complete(root, shards):
        changed = publish(root, shards, ("tokens", "shards"), {"recipe": plan.recipe, "plan": fingerprint(shards)})
        sealed.add("shards")
        if changed:
            report("sealed: shards/")
    tables = swarm_stages(plan)
    left = not tables and "corpus" in sealed and (root.path / "swarm").exists()  # by a recipe that had a swarm
    if (tables or left) and "swarm" not in sealed and _all_complete(root, tables):
        changed = publish(root, tables, ("swarm",), {"recipe": plan.recipe, "plan": fingerprint(tables)})
        sealed.add("swarm")
        if changed:
            report("sealed: swarm/")


def fingerprint(stages: Iterable[Stage]) -> str:
    """Identity of what a set of stages gives: the keys of all their units."""
    return digest({stage.name: [unit.key for unit in stage.units] for stage in stages})


def unsealed(plan: Plan, root: Root) -> list[str]:
    """Published folders that hold what an earlier plan gave, because this one is not complete."""
    found = []
    made = {"corpus": corpus_stages(plan), "shards": shard_stages(plan), "swarm": swarm_stages(plan)}
    for folder, stages in made.items():
        manifest = root.path / folder / "_manifest.json"
        if manifest.exists() and orjson.loads(manifest.read_bytes()).get("plan") != fingerprint(stages):
            found.append(folder)
    return found


def books(root: Root, stages: Iterable[Stage]) -> dict[str, Counter[str]]:
    """Counts by domain and category over the complete units of `stages`."""
    total: dict[str, Counter[str]] = {}
    for stage in stages:
        for receipt in root.complete(stage):
            for domain, counts in receipt.books.items():
                total.setdefault(domain, Counter()).update(counts)
    return total


def check_conservation(found: dict[str, Counter[str]]) -> None:
    """Every record that was read is unreadable, empty, dropped by a rule, a duplicate, held out or kept.

    Raises:
        CorpuskitError: the books of a domain do not balance.
    """
    for domain, counts in sorted(found.items()):
        read, rest = counts["read"], sum(counts.values()) - counts["read"]
        if read != rest:
            shown = ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items()))
            raise CorpuskitError(
                f"the books of `{domain}` do not balance: {read:,} read, {rest:,} accounted for ({shown})",
                "this is a fault of corpuskit or of a step; nothing was published",
            )


def _write_files(root: Root, plan: Plan) -> None:
    """`files.parquet`: from a block of document ids back to its raw file."""
    rows: dict[str, list[Any]] = {
        name: []
        for name in ("source", "domain", "path", "relative", "size", "identity", "digest", "records", "blocks", "start")
    }
    owners: dict[int, tuple[str, str]] = {}
    for stage in plan.stages.values():
        if "reader" not in stage.spec:
            continue
        for receipt in root.receipts(stage):
            for entry in receipt.inputs:
                place = (stage.spec["source"], f"{entry['relative']} {entry['start']}")
                for block in entry["blocks"]:
                    if owners.setdefault(block, place) != place:
                        raise CorpuskitError(
                            f"{place} and {owners[block]} have documents of the same ids",
                            "set another `salt:` in the recipe",
                        )
                for name, column in rows.items():
                    column.append({**entry, **stage.spec}.get(name))
    schema = pa.schema(
        [(name, pa.string()) for name in ("source", "domain", "path", "relative")]
        + [("size", pa.int64()), ("identity", pa.string()), ("digest", pa.string()), ("records", pa.int64())]
        + [("blocks", pa.list_(pa.uint64())), ("start", pa.int64())]
    )
    table = pa.table(rows, schema=schema).sort_by(
        [("source", "ascending"), ("relative", "ascending"), ("start", "ascending")]
    )
    waiting = root.path / f".files.parquet.{os.getpid()}"
    pq.write_table(table, waiting, compression="zstd")
    waiting.replace(root.path / "files.parquet")
