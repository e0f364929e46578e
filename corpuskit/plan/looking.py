"""What a look at the files of a recipe's sources tells a plan of the disk and memory that it will take."""

from __future__ import annotations

import contextlib

from corpuskit.core.kinds import spec_of
from corpuskit.core.plan import Plan
from corpuskit.core.spec import Spec
from corpuskit.documents.look import look as look_at
from corpuskit.errors import CorpuskitError
from corpuskit.recipe import Recipe
from corpuskit.store.root import Root


def look(recipe: Recipe, plan: Plan, root: Root) -> None:
    """Fill `plan.looked`, with what the last plan of the root has of the same files. It is in no key."""
    before = None
    with contextlib.suppress(CorpuskitError):  # a plan that is damaged tells nothing, and is of no use to this run
        before = root.latest_plan()
    for stage in plan.stages.values():
        if spec_of(stage, Spec).reads:
            source = recipe.sources[stage.spec["source"]]
            last = None if before is None else before.stages.get(stage.name)
            if before is not None and last is not None and last.units == stage.units and source.name in before.looked:
                plan.looked[source.name] = before.looked[source.name]
                continue
            entries = [entry for unit in stage.units for entry in unit.inputs]
            with contextlib.suppress(Exception):  # what is wrong with a file or a reader the run will say
                if found := look_at(source, entries):
                    plan.looked[source.name] = found
