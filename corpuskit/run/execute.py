"""Runs one unit: its body, or what an earlier unit made of the same; and commits it."""

from __future__ import annotations

import contextlib
import ctypes
import re
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from corpuskit.core.kinds import kind_of, load, spec_of
from corpuskit.core.plan import Plan, Stage
from corpuskit.core.spec import Spec
from corpuskit.core.work import Work
from corpuskit.engines import Task
from corpuskit.errors import InputError
from corpuskit.run.limit import limited
from corpuskit.run.reuse import content_key, remember, take_over
from corpuskit.store.root import Root
from corpuskit.store.scratch import scratch_name

BASE_BYTES = 192 << 20
"""Of a worker's memory, what the interpreter and its libraries take."""


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
    scratch = root.store.scratch(stage.folder, scratch_name(unit.key))
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    needs = {label: need.stage for label, need in stage.needs.items()}
    work = Work(
        store=root.store,
        stage=stage.name,
        spec=spec_of(stage, Spec),
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
        taken = content is not None and take_over(root, stage, task.unit, content)
        if content is not None:
            remember(root, stage, task.unit, content)  # before the receipt, without which it says nothing
        if not taken:
            with limited(plan.timeouts.get(stage.name)):
                _with_room(lambda: _run_body(root, stage, work))
    except OSError as error:
        if error.filename is None and error.errno is not None:  # what was written to says not where it is
            raise type(error)(error.errno, error.strerror or str(error), str(scratch)) from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        root.store.release()
        _give_back()


def _with_room(call: Callable[[], None]) -> None:
    """Call a function with room for the frames of all that it calls.

    CPython keeps frames in chunks of 16 KiB. A call that finds the last one full maps another and unmaps it when it
    returns: a loop at such a place pays for two system calls and a page fault each time. This frame is so large that
    a chunk of 512 KiB is made for it, of which nothing is touched but what is used.
    """
    call()


_with_room.__code__ = _with_room.__code__.replace(co_stacksize=1 << 15)


def _give_back() -> None:
    """Give freed memory back to the system, where it can be (glibc): the next unit starts from the base."""
    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _run_body(root: Root, stage: Stage, work: Work[Spec]) -> None:
    _forget_peak()
    wall, cpu = time.monotonic(), _cpu_seconds()
    load(kind_of(stage).body)(work)
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


def _check_unchanged(work: Work[Spec]) -> None:
    if not work.inputs:
        return
    from corpuskit.sources.listing import identity

    for entry in work.inputs:
        now = identity(entry["path"])
        if now != (entry["size"], entry["identity"]):
            raise InputError(
                f"{entry['path']} changed while it was read", "run again: the plan takes the file as it is now"
            )
