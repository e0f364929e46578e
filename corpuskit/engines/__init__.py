"""Engines: where units run. Which there are, and how one is asked for by name."""

from __future__ import annotations

import importlib

from corpuskit.engines.base import Ended, Engine, Failure, Job, Task, cores
from corpuskit.engines.inline import Inline
from corpuskit.engines.local import Local
from corpuskit.errors import UsageError, did_you_mean

__all__ = ["Ended", "Engine", "Failure", "Job", "Task", "check_engine", "make_engine"]

ENGINES = ("inline", "local", "ray", "slurm")


def make_engine(name: str, workers: int | None, job: Job) -> Engine:
    """The engine called `name`, for the units of `job`.

    Args:
        workers: processes of `local`, units at once of `ray`: default: one a core, of this machine or of the cluster;
            tasks of an array of `slurm`.
    """
    if name == "inline":
        return Inline(job.execute)
    if name == "ray":
        from corpuskit.engines.ray import Ray

        return Ray(job, workers)
    if name == "slurm":
        from corpuskit.engines.slurm import Slurm

        return Slurm(job, workers)
    return Local(job.command, workers or cores())


def check_engine(name: str, workers: int | None) -> None:
    """Refuse an engine before anything is written.

    Raises:
        UsageError: unknown engine, one that is not installed or not reached, or no worker.
    """
    if name not in ENGINES:
        raise UsageError(f"unknown engine `{name}`", did_you_mean(name, ENGINES) or f"engines: {', '.join(ENGINES)}")
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: at least one is needed", "leave it out for one a core")
    if name in ("ray", "slurm"):
        importlib.import_module(f"corpuskit.engines.{name}").check()
