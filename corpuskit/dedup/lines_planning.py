"""The stages of the step `lines` in the plan."""

from __future__ import annotations

from corpuskit.core.calls import Source, StepCall
from corpuskit.core.plan import Need, Stage
from corpuskit.core.planning import Decision, Planner


def lines(planner: Planner, call: StepCall, sources: list[Source], label: str) -> str:
    """Add the stages of a step `lines`; the next segment of each source cuts what they find.

    Args:
        label: of the step in the names of its stages.

    Returns:
        The name of the stage that decides: what the texts depend on from here on.
    """
    planner.flush(sources, label)
    params = call.step.function(**call.params)
    repeated = f"repeated-{label}"
    needs: dict[str, Need] = {}
    for source in sources:
        # in how many documents, and how many keep it, is no matter of a hash: changing that computes none again
        spec = {"version": 1, "unit": params["unit"], "min_chars": params["min_chars"]}
        if params["scope"] == "domain":
            spec["domain"] = source.domain
        name, upstream = f"{label}-{source.name}", planner.holding(source.name)
        planner.add(Stage(name, "lines", spec, {}, {"docs": Need(upstream, "each")}), like=upstream)
        needs[f"lines:{source.name}"] = Need(name, "all")
    spec = {"version": 1, "documents": params["documents"], "keep": params["keep"], "sources": sorted(needs)}
    planner.add(Stage(repeated, "repeated", spec, {}, needs), count=planner.partitions())
    for source in sources:
        # each unit's slice: lines that recur elsewhere leave the unit's documents as they are
        name, above = f"repeats-{label}-{source.name}", f"{label}-{source.name}"
        slices = {"lines": Need(above, "each"), "repeated": Need(repeated, "all")}
        spec = {"version": 1, "lines": f"lines:{source.name}"}
        planner.add(Stage(name, "repeats", spec, {}, slices), like=above)
        applied = {"barrier": "lines", "unit": params["unit"], "repeats": f"repeats:{label}", "name": call.name}
        planner.decisions[source.name].append(Decision(f"repeats:{label}", Need(name, "each"), applied))
    return repeated
