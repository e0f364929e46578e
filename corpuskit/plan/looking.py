"""What a look at the files of a recipe's sources tells of the disk and memory that its plan will take."""

from __future__ import annotations

import contextlib

from corpuskit.core.flow import Looked
from corpuskit.core.kinds import spec_of
from corpuskit.core.plan import Plan
from corpuskit.core.spec import Spec
from corpuskit.documents.look import look as look_at
from corpuskit.recipe import Recipe


def look(recipe: Recipe, plan: Plan) -> Looked:
    """Look at some files of each source."""
    looked = {}
    for stage in plan.stages.values():
        if spec_of(stage, Spec).reads:
            source = recipe.sources[stage.spec["source"]]
            entries = [entry for unit in stage.units for entry in unit.inputs]
            with contextlib.suppress(Exception):  # what is wrong with a file the run will say
                if found := look_at(source, entries):
                    looked[source.name] = found
    return looked
