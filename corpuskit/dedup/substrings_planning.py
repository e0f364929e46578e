"""The stages of the step `substrings` in the plan."""

from __future__ import annotations

from corpuskit.core.calls import Source, StepCall
from corpuskit.core.keys import safe_name
from corpuskit.core.plan import Need, Stage
from corpuskit.core.planning import Decision, Planner
from corpuskit.dedup.kinds import Anchored, Repeated, Repeats


def substrings(planner: Planner, call: StepCall, sources: list[Source]) -> str:
    """Add the stages of a step `substrings`; the next segment of each source cuts what they find.

    Returns:
        The name of the stage that decides: what the texts depend on from here on.
    """
    label = safe_name(call.name)
    planner.flush(sources, label)
    spec = Anchored(call.step.function(**call.params)["length"])
    for source in sources:
        upstream = planner.holding(source.name)
        docs = {"docs": Need(upstream, "each")}
        planner.add(Stage.of(f"anchors-{label}-{source.name}", "anchors", spec, docs), like=upstream)
    _find(planner, sources, f"anchors-{label}", "repeats", keep=0)
    for source in sources:
        upstream = planner.holding(source.name)
        needs = {"docs": Need(upstream, "each"), "shared": Need(f"repeats-anchors-{label}-{source.name}", "each")}
        planner.add(Stage.of(f"windows-{label}-{source.name}", "windows", spec, needs), like=upstream)
    _find(planner, sources, f"windows-{label}", "recurring", keep=1)
    for source in sources:
        need = Need(f"recurring-windows-{label}-{source.name}", "each")
        applied = {"barrier": "substrings", "length": spec.length, "repeats": f"repeats:{label}", "name": call.name}
        planner.decisions[source.name].append(Decision(f"repeats:{label}", need, applied))
    return f"repeated-windows-{label}"


def _find(planner: Planner, sources: list[Source], hashed: str, places: str, *, keep: int) -> None:
    """Add the stages that find which hashes of the stages `HASHED-SOURCE` two documents have, and in which places.

    Args:
        places: kind of the stages that write the places. keep: how many documents are left out there.
    """
    # for these stages, what was hashed are lines
    needs = {f"lines:{source.name}": Need(f"{hashed}-{source.name}", "all") for source in sources}
    repeated = f"repeated-{hashed}"
    planner.add(Stage.of(repeated, "repeated", Repeated(2, keep, sorted(needs)), needs), count=planner.partitions())
    for source in sources:
        above = f"{hashed}-{source.name}"
        slices = {"lines": Need(above, "each"), "repeated": Need(repeated, "all")}
        stage = Stage.of(f"{places}-{above}", places, Repeats(f"lines:{source.name}"), slices)
        planner.add(stage, like=above)
