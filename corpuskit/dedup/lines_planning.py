"""The stages of the step `lines` in the plan."""

from __future__ import annotations

from corpuskit.core.calls import Source, StepCall
from corpuskit.core.keys import safe_name
from corpuskit.core.plan import Need, Stage
from corpuskit.core.planning import Decision, Planner
from corpuskit.dedup.kinds import Hashed, Repeated, Repeats


def lines(planner: Planner, call: StepCall, sources: list[Source]) -> str:
    """Add the stages of a step `lines`; the next segment of each source cuts what they find.

    Returns:
        The name of the stage that decides: what the texts depend on from here on.
    """
    label = safe_name(call.name)
    planner.flush(sources, label)
    params = call.step.function(**call.params)
    repeated = f"repeated-{label}"
    needs: dict[str, Need] = {}
    for source in sources:
        # in how many documents, and how many keep it, is no matter of a hash: changing that computes none again
        spec = Hashed(params["unit"], params["min_chars"], source.domain if params["scope"] == "domain" else None)
        name, upstream = f"{label}-{source.name}", planner.holding(source.name)
        planner.add(Stage.of(name, "lines", spec, {"docs": Need(upstream, "each")}), like=upstream)
        needs[f"lines:{source.name}"] = Need(name, "all")
    cut = Repeated(params["documents"], params["keep"], sorted(needs))
    planner.add(Stage.of(repeated, "repeated", cut, needs), count=planner.partitions())
    for source in sources:
        # each unit's slice: lines that recur elsewhere leave the unit's documents as they are
        name, above = f"repeats-{label}-{source.name}", f"{label}-{source.name}"
        slices = {"lines": Need(above, "each"), "repeated": Need(repeated, "all")}
        planner.add(Stage.of(name, "repeats", Repeats(f"lines:{source.name}"), slices), like=above)
        applied = {"barrier": "lines", "unit": params["unit"], "repeats": f"repeats:{label}", "name": call.name}
        planner.decisions[source.name].append(Decision(f"repeats:{label}", Need(name, "each"), applied))
    return repeated
