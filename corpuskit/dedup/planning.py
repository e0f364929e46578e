"""The stages of deduplication in the plan."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from corpuskit.graph import Need, Stage
from corpuskit.recipe import Recipe, Source, StepCall

PARTITION_BYTES = 4 << 30
"""Raw bytes for each unit of the global stages of dedup (rounded up to a power of two of units)."""


@dataclass(frozen=True)
class Decision:
    """What a barrier decided about documents: the stage that holds it, and how the next segment applies it.

    Attributes:
        label: under which the segment finds the stage.
        need: the stage.
        spec: for `corpuskit.pipeline.Decisions`.
    """

    label: str
    need: Need
    spec: dict[str, Any]


class Planner(Protocol):
    """What is known while a recipe's steps are walked; see `corpuskit.plan`."""

    recipe: Recipe
    stages: dict[str, Stage]
    docs: dict[str, str | None]
    decisions: dict[str, list[Decision]]
    raw_bytes: int

    def add(self, stage: Stage, *, like: str | None = None, count: int | None = None) -> None:
        """Give a stage its key and its units: one per unit of the stage `like`, or `count`."""

    def flush(self, sources: list[Source], before: str) -> None:
        """See that the documents of these sources stand in a stage."""


def minhash(planner: Planner, call: StepCall, sources: list[Source]) -> None:
    """Add the stages of the step `minhash`; each source's next segment applies what they decide."""
    planner.flush(sources, "minhash")
    params = call.step.function(**call.params)
    keep: list[str] = params["keep"]
    ranked = [
        {
            "source": source.name,
            "domain": source.domain,
            "priority": keep.index(source.domain) if source.domain in keep else len(keep),
        }
        for source in sources
    ]
    docs = {f"docs:{source.name}": Need(_known(planner.docs[source.name]), "all") for source in sources}
    signatures: dict[str, Need] = {}
    for source in sources:
        name, upstream = f"signatures-{source.name}", _known(planner.docs[source.name])
        # priority and threshold are no matter of a signature: changing them computes none again
        shared = {key: value for key, value in params.items() if key not in ("keep", "threshold")}
        spec = {"version": 1, "minhash": shared, "domain": source.domain}
        body = "corpuskit.dedup.stages:signatures"
        planner.add(Stage(name, body, spec, {}, {"docs": Need(upstream, "each")}), like=upstream)
        signatures[f"signatures:{source.name}"] = Need(name, "all")
    spec = {"version": 1, "minhash": params, "sources": ranked}
    partitions = 1 << max(0, (planner.raw_bytes // PARTITION_BYTES).bit_length())
    needs: dict[str, Need] = dict(signatures)
    for body, units in (("exact", partitions), ("bands", partitions), ("verify", partitions), ("choose", 1)):
        if body == "verify":
            needs |= docs
        stage = Stage(body, f"corpuskit.dedup.stages:{body}", spec, {}, dict(needs))
        planner.add(stage, count=units)
        needs[body] = Need(body, "all")
    for source in sources:
        planner.decisions[source.name].append(Decision("choose", Need("choose", "all"), {"barrier": "minhash"}))


def evidence(planner: Planner) -> None:
    """Add the stage that publishes why documents were removed, if there is deduplication."""
    if "choose" not in planner.stages:
        return
    needs = {"choose": Need("choose", "all")}
    for source in planner.recipe.sources:
        for name in _after(planner, source, "choose"):
            needs[name] = Need(name, "all")
    spec = {"version": 1, "segments": sorted(needs.keys() - {"choose"})}
    planner.add(Stage("duplicates", "corpuskit.barriers:duplicates", spec, {}, needs), count=1)


def _after(planner: Planner, source: str, decided: str) -> list[str]:
    """Segments of a source that come after the choice: they may drop a kept document."""
    found, name = [], _known(planner.docs[source])
    while decided in {need.stage for need in _above(planner, planner.stages[name])}:
        found.append(name)
        upstream = planner.stages[name].needs.get("docs")
        if upstream is None:
            break
        name = upstream.stage
    return found


def _above(planner: Planner, stage: Stage) -> Iterable[Need]:
    """Needs of a stage and, one to one, of those it descends from."""
    for need in stage.needs.values():
        yield need
        if need.how == "each":
            yield from _above(planner, planner.stages[need.stage])


def _known(name: str | None) -> str:
    assert name is not None
    return name
