"""What a look at the files of a recipe's sources tells a plan of the disk and memory that it will take."""

from __future__ import annotations

from corpuskit.core.kinds import spec_of
from corpuskit.core.plan import Plan
from corpuskit.core.spec import Spec
from corpuskit.documents.look import look as look_at
from corpuskit.recipe import Recipe


def look(recipe: Recipe, plan: Plan) -> None:
    """Fill `plan.looked`. It is in no key."""
    for stage in plan.stages.values():
        if spec_of(stage, Spec).reads:
            source = recipe.sources[stage.spec["source"]]
            entries = [entry for unit in stage.units for entry in unit.inputs]
            if found := look_at(source, entries):
                plan.looked[source.name] = found
