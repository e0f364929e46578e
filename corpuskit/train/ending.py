"""How a run ends before its end, and what its folder is: SIGTERM, the lock, and the copy of one that is in a bucket."""

from __future__ import annotations

import fcntl
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch.distributed as dist

from corpuskit.buckets.bucket import Bucket
from corpuskit.errors import CorpuskitError, UsageError
from corpuskit.train import checkpoint
from corpuskit.train.kept import LOCK, Copy
from corpuskit.train.parallel import World

TERMINATED = threading.Event()
"""SIGTERM came: save at the end of this step."""

WAIT_FOR_LOCK = 40.0


class Terminated(CorpuskitError):
    """SIGTERM came; the run saved and goes on from there when it is started again."""

    exit_code = 128 + signal.SIGTERM


@contextmanager
def until_terminated() -> Iterator[None]:
    """Take SIGTERM as a wish to save and end, where signals can be taken: in the main thread."""
    TERMINATED.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: TERMINATED.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def alone(out: Path, group: World) -> Iterator[None]:
    """Hold `out` for this run: two trainers in one folder would mix their checkpoints.

    Waits a little, because a trainer whose launcher was killed needs a moment to end.
    """
    if group.rank != 0:
        dist.barrier()
        yield
        return
    with (out / LOCK).open("w") as file:
        deadline = time.monotonic() + WAIT_FOR_LOCK
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UsageError(
                        f"another trainer is at work in {out}", "wait for it, or set another `out`"
                    ) from None
                time.sleep(0.2)
        checkpoint.tidy(out)
        dist.barrier()  # the others look for checkpoints only now
        yield


@contextmanager
def followed(place: str, out: Path, group: World) -> Iterator[None]:
    """Let `out` be what stands at an `out` in a bucket while a run lasts; every process calls it.

    Raises:
        UsageError: the processes are on several machines, which share no copy.
    """
    if "://" not in place:
        yield
        return
    if group.size > group.neighbours:
        raise UsageError(
            f"{place}: processes of several machines write one checkpoint, of which each machine would have a part",
            "set `out` to a folder that all machines share",
        )
    if group.rank:
        dist.barrier()
        yield
        return
    copy = Copy(Bucket.from_url(place), "", out)
    copy.begin()
    dist.barrier()  # the others look for checkpoints only now
    try:
        with copy.followed():
            yield
    finally:
        if copy.is_put:  # else what was trained is here alone, and the next run goes on from it
            shutil.rmtree(out, ignore_errors=True)
