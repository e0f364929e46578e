"""The stages of `index` in the plan."""

from __future__ import annotations

from corpuskit.core.plan import Need, Stage
from corpuskit.core.planning import Planner
from corpuskit.index.kinds import Spans
from corpuskit.index.settings import Index


def index(planner: Planner, asked: Index) -> None:
    """Add what the recipe asks for; the corpus of each source has been planned."""
    if asked.spans:
        for source in planner.sources.values():
            upstream = planner.holding(source.name)
            spec = Spans(source.name, source.domain)
            planner.add(
                Stage.of(f"spans-{source.name}", "spans", spec, {"corpus": Need(upstream, "each")}), like=upstream
            )
