"""Stage kinds: what a stage of the plan is, said in one place by the room that it belongs to.

A room with stages has a module `kinds`, which lists them in `KINDS`, and the steps that it plans in `BARRIERS`. It
imports nothing heavy: `corpuskit plan` reads it, and the body is imported when a unit runs. Rooms are found by their
folder, so that a new one is named nowhere else.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from corpuskit.core.flow import Flow
from corpuskit.core.plan import Stage
from corpuskit.core.spec import Spec
from corpuskit.errors import InputError


def _nothing(_stage: Stage, _flow: Flow) -> float:
    return 0.0


REST = 340 << 20
"""Bytes of memory that a worker has at rest: the interpreter, libraries and kernels, of which 130 MiB are shared files,
and what earlier units have left. Where kernels are still to be compiled, up to 170 MiB more."""

Holds = Callable[["Stage", "Flow", int], float]
"""From a stage, the flow and the recipe's `memory` to bytes."""


def constant(mib: int) -> Holds:
    """As many MiB, whatever flows."""
    return lambda _stage, _flow, _memory: float(mib << 20)


def _little(_stage: Stage, _flow: Flow, _memory: int) -> float:
    return 40 << 20


@dataclass(frozen=True)
class Resources:
    """What a unit is given by an engine that shares out machines.

    Attributes:
        memory: bytes. cores: a worker has one thread for each. gpus: asked for only where there are any.
    """

    memory: int
    cores: int = 1
    gpus: int = 0


def _one_core(_stage: Stage, memory: int) -> Resources:
    return Resources(memory)


@dataclass(frozen=True)
class StageKind:
    """A kind of stage.

    Attributes:
        name: in plan.json and in keys; unique.
        body: `module:function`, called with a `Work`; imported when a unit runs.
        spec: the dataclass of what the body is told.
        seals: the folders that its parts are published in and that wait for it: `corpus` for `corpus/`, `holdout/`,
            `dropped/`, `findings/`, `duplicates/` and `index/`, `shards` for `tokens/` and `shards/`, `swarm`; None: it
            publishes nothing and holds nothing back.
        disk: bytes that a stage leaves on disk, predicted from what flows through the plan.
        holds: bytes of memory that a unit of a stage takes beyond `REST`, predicted from what flows through the plan
            and from `memory` of the recipe; None: it is that of a model, which nothing is predicted of.
        asks: what a unit of a stage is given, from the recipe's `memory`.
        packages: those that pass into its parts beside the ones that pass into all, see `made_with`.
    """

    name: str
    body: str
    seals: Literal["corpus", "shards", "swarm"] | None = "corpus"
    disk: Callable[[Stage, Flow], float] = _nothing
    holds: Holds | None = _little
    asks: Callable[[Stage, int], Resources] = _one_core
    packages: tuple[str, ...] = ()
    spec: type[Spec] = Spec


@dataclass(frozen=True)
class Barrier:
    """A step that must have seen every document before it says what becomes of each.

    Attributes:
        step: its name.
        plan: `module:function`, called with the planner, the step's call and the sources that it is for, see
            `corpuskit.core.planning`: adds its stages, and to each source's decisions what the next segment applies.
            Returns the name of the stage that the texts depend on from here on, or None if they stay as they are.
        applied: `module:class` that applies a decision, see `corpuskit.documents.decisions`.
        only_removes: whether a decision may be applied by whatever only looks at documents, which then are not written
            first: it removes some of them, and does nothing else.
    """

    step: str
    plan: str
    applied: str
    only_removes: bool = False


def _listed(what: str) -> Iterator[Any]:
    for path in sorted(Path(__file__).parents[1].glob("*/kinds.py")):
        name = f"corpuskit.{path.parent.name}.kinds"
        if name != __name__:
            yield from getattr(importlib.import_module(name), what, ())


@functools.cache
def kinds() -> dict[str, StageKind]:
    """All kinds of stages by name."""
    found: dict[str, StageKind] = {}
    for kind in _listed("KINDS"):
        assert kind.name not in found, f"two kinds of stages are named {kind.name}"
        found[kind.name] = kind
    return found


@functools.cache
def barriers() -> dict[str, Barrier]:
    """All barriers by the name of their step."""
    return {barrier.step: barrier for barrier in _listed("BARRIERS")}


T = TypeVar("T", bound=Spec)


def spec_of(stage: Stage, expected: type[T]) -> T:
    """What a stage is told.

    Args:
        expected: the dataclass, or `Spec` if any will do.

    Raises:
        InputError: the plan is of a version of corpuskit that tells such a stage other things.
    """
    if stage.made is None:
        stage.made = kind_of(stage).spec.parse(stage.spec, stage.run)
    assert isinstance(stage.made, expected), f"{stage.name} is told a {type(stage.made).__name__}"
    return stage.made


def kind_of(stage: Stage) -> StageKind:
    """The kind of a stage.

    Raises:
        InputError: the plan is of a version of corpuskit that has other kinds.
    """
    try:
        return kinds()[stage.kind]
    except KeyError:
        msg = f"the plan has a stage `{stage.name}` of the kind `{stage.kind}`, which this version does not know"
        raise InputError(msg, "run the recipe again, or use the version that made the run") from None


def peak(stage: Stage, flow: Flow, memory: int) -> float | None:
    """Bytes of resident memory that a worker has at most while it runs a unit of a stage, predicted if they can be."""
    holds = kind_of(stage).holds
    return None if holds is None else REST + holds(stage, flow, memory)


def disk(stage: Stage, flow: Flow) -> float:
    """Bytes that a stage leaves on disk: what units that are done have left, and the like for those to come."""
    done = flow.done.get(stage.name)
    return done.disk * flow.raw(stage) / done.raw if done is not None else kind_of(stage).disk(stage, flow)


def load(place: str) -> Any:
    """What `module:name` names."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
