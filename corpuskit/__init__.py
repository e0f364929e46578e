"""corpuskit: builds pre-training corpora from one recipe.

    from corpuskit import step                # decorators for your own sources, signals, filters and edits
    import corpuskit
    recipe = corpuskit.load("recipe.yaml", ["memory=4GiB"])
    plan = corpuskit.make_plan(recipe)
    run = corpuskit.open_run("runs/slimpajama")
    run.sql("SELECT domain, count(*) FROM corpus GROUP BY 1")     # a pyarrow.Table
    run.corpus(), run.stats(), run.rules()                        # polars frames, the corpus a lazy one

Names are loaded when they are first used, so that the command line answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from corpuskit import step
    from corpuskit.core.plan import Plan
    from corpuskit.errors import CorpuskitError
    from corpuskit.explore.opened import OpenRun, open_run
    from corpuskit.plan.planner import make as make_plan
    from corpuskit.recipe import Recipe, load

_HOMES = {
    "CorpuskitError": ("corpuskit.errors", "CorpuskitError"),
    "OpenRun": ("corpuskit.explore.opened", "OpenRun"),
    "Plan": ("corpuskit.core.plan", "Plan"),
    "Recipe": ("corpuskit.recipe", "Recipe"),
    "load": ("corpuskit.recipe", "load"),
    "make_plan": ("corpuskit.plan.planner", "make"),
    "open_run": ("corpuskit.explore.opened", "open_run"),
}

__all__ = ["CorpuskitError", "OpenRun", "Plan", "Recipe", "load", "make_plan", "open_run", "step"]


def __getattr__(name: str) -> Any:
    if name == "step":
        return importlib.import_module("corpuskit.step")
    if name in _HOMES:
        module, attribute = _HOMES[name]
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'corpuskit' has no attribute '{name}'")
