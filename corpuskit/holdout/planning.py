"""The stages of `holdout` in the plan."""

from __future__ import annotations

from corpuskit.core.calls import Source, StepCall
from corpuskit.core.plan import Need, Stage
from corpuskit.core.planning import Decision, Planner
from corpuskit.documents.kinds import Reading
from corpuskit.holdout.kinds import Candidates, Chosen


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
        spec = Candidates(holdout=params, domain=source.domain, apply=[decision.told for decision in decisions])
        planner.add(Stage.of(name, "candidates", spec, each), like=upstream)
        needs[f"candidates:{source.name}"] = Need(name, "all")
        needs[f"docs:{source.name}"] = Need(upstream, "all")
    domains = {source.name: source.domain for source in sources}
    planner.add(Stage.of("holdout", "holdout", Chosen(params, domains), needs), count=1)
    for source in sources:
        # each unit's slice, as of minhash: a held-out document elsewhere leaves the unit's documents as they are
        name, upstream = f"decide-holdout-{source.name}", planner.holding(source.name)
        decisions = planner.decisions[source.name]
        slices = {decision.label: decision.need for decision in decisions}
        slices |= {"docs": Need(upstream, "each"), "holdout": Need("holdout", "all")}
        decided = Reading(domain=source.domain, apply=[decision.told for decision in decisions])
        planner.add(Stage.of(name, "decide_holdout", decided, slices), like=upstream)
        decisions.append(Decision("decide:holdout", Need(name, "each"), {"barrier": "holdout"}))
