"""The engine `ray`: units as tasks of a Ray cluster, whose nodes share the root and the raw files.

`RAY_ADDRESS` names the cluster; without it Ray takes the one that was started on this machine, or starts one here. Only
the root's place, stage names and unit numbers are sent. A worker or node that dies is a failed unit, begun once more,
on another node if there is one, then reported. Ray says that a process or a node is gone; a unit that no node has the
room for is given up after a while.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from corpuskit.core.kinds import Resources
from corpuskit.core.tables import counted, size
from corpuskit.engines.base import ATTEMPTS, Ended, Failure, Job, Task, worker_environment
from corpuskit.engines.worker import HEARTBEAT_SECONDS
from corpuskit.errors import CorpuskitError, UsageError, install

PATIENCE_SECONDS = 600.0
"""How long a unit waits for a node that has room for it, where none has: a cluster may be growing."""

CONNECT_SECONDS = 10.0


def check() -> None:
    """Refuse a cluster that cannot be reached.

    Raises:
        UsageError: ray is not installed, or nothing answers at `RAY_ADDRESS`.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError("the engine `ray` needs ray, which is not installed", install("ray"))
    address = os.environ.get("RAY_ADDRESS", "")
    hint = "RAY_ADDRESS is HOST:PORT as `ray start --head` prints it, or `auto`"
    if "://" in address:
        raise UsageError(f"RAY_ADDRESS={address}: the run itself must be on a node of the cluster", hint)
    host, _, port = address.rpartition(":")
    if host:
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        except (OSError, ValueError) as error:
            raise UsageError(f"RAY_ADDRESS={address}: {error}", hint) from error


@dataclass
class _Begun:
    """A task that Ray has; `node` is where it runs, None while it waits."""

    task: Task
    asks: Resources
    since: float = field(default_factory=time.monotonic)
    node: str | None = None
    waits: bool = False


class Ray:
    """Units on a Ray cluster.

    Args:
        job: what units are of.
        workers: how many units at once; default: as many as the cluster has cores now.
        patience: seconds that a unit waits for a node that is large enough, while there is none.
    """

    def __init__(self, job: Job, workers: int | None, patience: float = PATIENCE_SECONDS) -> None:
        self._job, self._count, self._patience = job, workers, patience
        self._begun: dict[Any, _Begun] = {}
        self._attempts: dict[Task, int] = {}
        self._printed = contextlib.redirect_stdout(sys.stderr)  # where Ray's reports and `--json` would mix

    def __enter__(self) -> Self:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # for a cluster that is started here: it tells nobody
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray will do, says a warning
        import ray

        terminated = signal.getsignal(signal.SIGTERM)
        self._printed.__enter__()
        try:
            ray.init(log_to_driver=False, logging_level="ERROR", configure_logging=False)
        except ConnectionError as error:
            raise CorpuskitError(f"no Ray cluster: {error}", "ray status says which runs here") from error
        signal.signal(signal.SIGTERM, terminated)  # ray has set its own
        # `max_retries`: it is for us to count them
        self._remote = ray.remote(max_retries=0, num_returns="streaming")(_execute)
        return self

    def __exit__(self, *_rest: object) -> None:
        import ray

        ray.shutdown()
        self._printed.__exit__(None, None, None)

    def free(self) -> int:
        """As many units as the cluster has cores, or as are wanted."""
        import ray

        return (self._count or int(ray.cluster_resources().get("CPU", 1))) - len(self._begun)

    def give(self, task: Task) -> None:
        """Hand a unit to Ray."""
        self._begin(task, None)

    def ended(self) -> list[Ended]:
        """The units that ended; a unit whose worker died for the first time is begun again."""
        import ray

        said, _ = ray.wait(list(self._begun), num_returns=1, timeout=HEARTBEAT_SECONDS, fetch_local=False)
        return [ended for answers in said for ended in self._heard(answers)] + list(self._without_a_node())

    def _begin(self, task: Task, strategy: Any) -> None:
        import ray

        asks = self._job.asks(task)
        gpus = asks.gpus if ray.cluster_resources().get("GPU") else 0
        options = {"num_cpus": asks.cores, "memory": asks.memory, "num_gpus": gpus, "name": f"{task.stage}:{task.unit}"}
        environment = {"env_vars": worker_environment(asks.cores)}
        remote = self._remote.options(**options, runtime_env=environment, scheduling_strategy=strategy or "DEFAULT")
        answers = remote.remote(self._job.worker, self._job.run, self._job.root, task)
        self._begun[answers] = _Begun(task, Resources(asks.memory, asks.cores, gpus))

    def _heard(self, answers: Any) -> Iterator[Ended]:
        """A task says first on which node it is, then how it ended."""
        import ray

        begun = self._begun[answers]
        try:
            said = ray.get(next(answers))
        except ray.exceptions.RayTaskError as error:  # before the unit: the package or the root is not there
            del self._begun[answers]
            yield begun.task, Failure(f"on a node of the cluster: {error.cause!r}", str(error))
        except (ray.exceptions.RayError, StopIteration) as error:
            del self._begun[answers]
            yield from self._died(begun, str(error).partition("\n")[0])
        else:
            if begun.node is None:
                begun.node = said
                return
            del self._begun[answers]
            yield begun.task, Failure(*said) if said else None

    def _died(self, begun: _Begun, how: str) -> Iterator[Ended]:
        task = begun.task
        self._attempts[task] = self._attempts.get(task, 0) + 1
        if self._attempts[task] >= ATTEMPTS:
            yield task, Failure(f"its worker or node died, {ATTEMPTS} times; the last time: {how}", "")
            return
        sys.stderr.write(f"{task.stage}:{task.unit}: its worker or node died; trying once more: {how}\n")
        self._begin(task, _elsewhere(begun))

    def _without_a_node(self) -> Iterator[Ended]:
        """The units that have waited too long for a node that could run them."""
        import ray

        for answers, begun in list(self._begun.items()):
            if begun.node is not None or _large_enough(begun.asks):
                begun.since, begun.waits = time.monotonic(), False
                continue
            wanted = (
                f"{counted(begun.asks.cores, 'core')}, {counted(begun.asks.gpus, 'GPU')} and {size(begun.asks.memory)}"
            )
            task = begun.task
            if not begun.waits:
                begun.waits = True
                sys.stderr.write(f"{task.stage}:{task.unit}: waits for a node with {wanted}: the cluster has none\n")
            if time.monotonic() - begun.since > self._patience:
                del self._begun[answers]
                ray.cancel(answers, force=True)
                yield task, Failure(f"no node of the cluster has {wanted}; `ray status` says what they have", "")


def _large_enough(asks: Resources) -> list[str]:
    """The living nodes that could run a unit, if they were idle."""
    import ray

    wanted = {"CPU": asks.cores, "GPU": asks.gpus, "memory": asks.memory}
    living = [node for node in ray.nodes() if node["Alive"]]
    return [
        node["NodeID"]
        for node in living
        if all(node["Resources"].get(name, 0) >= count for name, count in wanted.items())
    ]


def _elsewhere(begun: _Begun) -> Any:
    """Where a unit is begun again: not on the node where its worker died, if another can run it."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    others = [node for node in _large_enough(begun.asks) if node != begun.node]
    if begun.node is None or not others:
        return None
    return NodeAffinitySchedulingStrategy(others[begun.task.unit % len(others)], soft=True)


@functools.lru_cache(maxsize=1)
def _executor(worker: str, run: str, root: str) -> Callable[[Task], None]:
    made: Callable[[Task], None] = importlib.import_module(worker).executor(run, root)
    return made


def _execute(worker: str, run: str, root: str, task: tuple[str, int]) -> Iterator[str | tuple[str, str] | None]:
    """The task of Ray: gives the node's id, then None, or the message and the traceback of a failed unit."""
    import ray

    yield ray.get_runtime_context().get_node_id()
    execute = _executor(worker, run, root)
    try:
        execute(Task(*task))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any fault of a step is a failed unit
        failure = Failure.of(error)
        yield failure.message, failure.traceback
    else:
        yield None
