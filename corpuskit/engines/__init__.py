"""Engines: where units run. Which there are, and how one is asked for by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from corpuskit.engines.base import Ended, Engine, Failure, Task, cores
from corpuskit.engines.inline import Inline
from corpuskit.engines.local import Local
from corpuskit.errors import UsageError

__all__ = ["Ended", "Engine", "Failure", "Task", "check_engine", "make_engine"]


def make_engine(name: str, workers: int | None, execute: Callable[[Task], None], command: Sequence[str]) -> Engine:
    """The engine called `name`.

    Args:
        workers: processes of `local`; default: one a core.
        execute: runs one unit in this process. command: starts a process that does, see `corpuskit.engines.worker`.
    """
    return Inline(execute) if name == "inline" else Local(command, workers or cores())


def check_engine(name: str, workers: int | None) -> None:
    """Refuse an engine before anything is written.

    Raises:
        UsageError: unknown engine, one that is not there yet, or no worker.
    """
    if name in ("slurm", "ray"):
        raise UsageError(f"the engine `{name}` is not in this version yet", "use --engine local or --engine inline")
    if name not in ("inline", "local"):
        raise UsageError(f"unknown engine `{name}`", "engines: inline, local")
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: at least one is needed", "leave it out for one a core")
