"""The stages of `holdout` in the plan."""

from __future__ import annotations

from typing import Any

from corpuskit.core.calls import Source, StepCall
from corpuskit.core.plan import Need, Stage
from corpuskit.core.planning import Decision, Planner


def hold_out(planner: Planner, call: StepCall, sources: list[Source]) -> None:
    """Add the stages of the step `holdout`; each source's next segment applies what they decide.

    What dedup decided is applied while candidates are read: the documents are not written once more.
    """
    planner.write(sources, "holdout")
    params = call.step.function(**call.params)
    needs: dict[str, Need] = {}
    for source in sources:
        name, upstream = f"candidates-{source.name}", planner.holding(source.name)
        decisions = planner.decisions[source.name]
        each: dict[str, Need] = {"docs": Need(upstream, "each")}
        each |= {decision.label: decision.need for decision in decisions}
        spec: dict[str, Any] = {"version": 1, "holdout": params, "domain": source.domain}
        spec["apply"] = [decision.spec for decision in decisions]
        planner.add(Stage(name, "candidates", spec, {}, each), like=upstream)
        needs[f"candidates:{source.name}"] = Need(name, "all")
        needs[f"docs:{source.name}"] = Need(upstream, "all")
    domains = {source.name: source.domain for source in sources}
    spec = {"version": 1, "holdout": params, "sources": domains}
    planner.add(Stage("holdout", "holdout", spec, {}, needs), count=1)
    for source in sources:
        # each unit's slice, as of minhash: a held-out document elsewhere leaves the unit's documents as they are
        name, upstream = f"decide-holdout-{source.name}", planner.holding(source.name)
        decisions = planner.decisions[source.name]
        slices = {decision.label: decision.need for decision in decisions}
        slices |= {"docs": Need(upstream, "each"), "holdout": Need("holdout", "all")}
        spec = {"version": 1, "domain": source.domain, "apply": [decision.spec for decision in decisions]}
        planner.add(Stage(name, "decide_holdout", spec, {}, slices), like=upstream)
        decisions.append(Decision("decide:holdout", Need(name, "each"), {"barrier": "holdout"}))
