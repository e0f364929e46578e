"""The stages of deduplication in the plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from corpuskit.core.calls import Source, StepCall
from corpuskit.core.plan import Need, Stage
from corpuskit.core.planning import Decision, Planner
from corpuskit.core.spec import Spec
from corpuskit.dedup.finished import finished_files
from corpuskit.dedup.kinds import Banded, Compared, Evidence, Sketched
from corpuskit.dedup.kinds import Source as Compares
from corpuskit.errors import UsageError


def deduplicate(planner: Planner, call: StepCall, sources: list[Source]) -> None:
    """Add the stages of the step `minhash` or `exact`; each source's next segment applies what they decide.

    Those of `exact` are named `exact-STAGE`: they are the same without bands. What an earlier one of the two decided is
    applied while documents are sketched: they are not written once more.
    """
    step = call.step.name
    prefix = "" if step == "minhash" else f"{step}-"
    planner.write(sources, step)
    params = call.step.function(**call.params)
    # priority, bands and what is done with pairs are no matter of a signature: changing them computes none again
    later = ("keep", "threshold", "bands", "rows", "verify", "choose", "against")
    shared = {key: value for key, value in params.items() if key not in later}
    keep: list[str] = params["keep"]
    listed, finished = _finished(planner, call, params, shared, prefix)
    for source in sources:
        place = keep.index(source.domain) if source.domain in keep else len(keep)
        listed.append(Compares(source.name, source.domain, 1 + place))
    docs = {f"docs:{source.name}": Need(planner.holding(source.name), "all") for source in sources}
    for source in sources:
        name, upstream = f"{prefix}signatures-{source.name}", planner.holding(source.name)
        decisions = planner.decisions[source.name]
        sketched = Sketched(minhash=shared, domain=source.domain, apply=[decision.told for decision in decisions])
        needed = {"docs": Need(upstream, "each")} | {decision.label: decision.need for decision in decisions}
        planner.add(Stage.of(name, "signatures", sketched, needed), like=upstream)
    needs = {f"signatures:{one.source}": Need(f"{prefix}signatures-{one.source}", "all") for one in listed}
    banded = _buckets(planner, params, listed) if params["bands"] else {}
    spec = Compared(params, tuple(listed), finished)
    many = planner.partitions()
    bodies = {"rank": 1, "exact": many, "bands": many, "verify": many, "choose": 1}
    for body, units in bodies.items():
        if not params["bands"] and body in ("bands", "verify"):
            continue
        if body in ("verify", "choose"):
            needs |= docs
        name = f"{prefix}{body}"
        planner.add(Stage.of(name, body, spec, needs | (banded if body == "bands" else {})), count=units)
        needs[body] = Need(name, "all")
    for source in sources:
        # each unit's slice of the choice: a choice that moves elsewhere leaves the unit's documents as they are
        name, upstream = f"{prefix}decide-{source.name}", planner.holding(source.name)
        slices = {"docs": Need(upstream, "each"), "choose": needs["choose"]}
        planner.add(Stage.of(name, "decide", Spec(), slices), like=upstream)
        planner.decisions[source.name].append(Decision(f"decide:{step}", Need(name, "each"), {"barrier": step}))


def _buckets(planner: Planner, params: dict[str, Any], listed: list[Compares]) -> dict[str, Need]:
    """Add the bands of the signatures of each source; what `bands` needs of them."""
    found = {}
    for one in listed:
        name, signed = f"buckets-{one.source}", f"signatures-{one.source}"
        spec = Banded(params["bands"], params["rows"], params["scope"], one.domain)
        planner.add(Stage.of(name, "buckets", spec, {"signatures": Need(signed, "each")}), like=signed)
        found[f"buckets:{one.source}"] = Need(name, "all")
    return found


def _finished(
    planner: Planner, call: StepCall, params: dict[str, Any], shared: dict[str, Any], prefix: str
) -> tuple[list[Compares], dict[str, list[str]]]:
    """Add the signatures of finished corpora; their sources, highest priority, and the files of each."""
    listed, files = [], {}
    for number, root in enumerate(params.get("against", ())):
        try:
            by_domain = finished_files(planner.base / root, params)
        except UsageError as error:
            at = f"{planner.path}:{call.line}: `against: {root}`"
            raise UsageError(f"{at}: {error.message}", error.hint) from None
        for domain, units in by_domain.items():
            source = f"against-{number}-{domain}"
            stage = Stage.of(f"{prefix}signatures-{source}", "signatures", Sketched(minhash=shared, domain=domain), {})
            planner.add(stage, raw=units)
            listed.append(Compares(source, domain, 0, root))
            files[source] = [unit.inputs[0]["path"] for unit in units]
    return listed, files


def evidence(planner: Planner) -> None:
    """Add the stage that publishes why documents were removed, if there is deduplication."""
    chosen = [name for name in planner.stages if name in ("exact-choose", "choose")]  # in the order of the steps
    if not chosen:
        return
    needs = {name: Need(name, "all") for name in chosen}
    segments = sorted({name for source in planner.sources for name in _after(planner, source, chosen)})
    needs |= {name: Need(name, "all") for name in segments}
    planner.add(Stage.of("duplicates", "duplicates", Evidence(chosen, segments), needs), count=1)


def _after(planner: Planner, source: str, chosen: list[str]) -> list[str]:
    """Segments of a source that come after a choice: they may drop a kept document."""
    found, name = [], planner.holding(source)
    while {need.stage for need in _above(planner, planner.stages[name])} & set(chosen):
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
