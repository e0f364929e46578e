"""corpuskit: builds pre-training corpora from one recipe.

    import corpuskit as ck

    recipe = ck.load("recipe.yaml", ["memory=4GiB"])
    ck.plan(recipe)                                  # stages and units, nothing is run
    run = ck.run(recipe)                             # or ck.open_run("runs/slimpajama"), of one that was made
    run.sql("SELECT domain, count(*) FROM corpus GROUP BY 1")     # a pyarrow.Table
    run.corpus(), run.stats(), run.rules()           # polars frames, the corpus a lazy one
    ck.steps.gopher_quality(min_words=20)(table)     # a step on a table of pyarrow or a frame of polars

    from corpuskit import step                       # decorators for your own sources, signals, filters and edits

Names are loaded when they are first used, so that the command line answers at once.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from corpuskit import step, steps
    from corpuskit.core.plan import Plan
    from corpuskit.errors import CorpuskitError
    from corpuskit.explore.opened import OpenRun, build, open_run
    from corpuskit.plan.planner import make
    from corpuskit.recipe import Recipe, load

    plan, run, make_plan = make, build, make

_HOMES = {
    "CorpuskitError": ("corpuskit.errors", "CorpuskitError"),
    "OpenRun": ("corpuskit.explore.opened", "OpenRun"),
    "Plan": ("corpuskit.core.plan", "Plan"),
    "Recipe": ("corpuskit.recipe", "Recipe"),
    "load": ("corpuskit.recipe", "load"),
    "make_plan": ("corpuskit.plan.planner", "make"),
    "open_run": ("corpuskit.explore.opened", "open_run"),
}

_ROOMS = ("plan", "run", "step", "steps")
"""Modules that are part of the API; the first two can be called, too."""

__all__ = [
    "CorpuskitError",
    "OpenRun",
    "Plan",
    "Recipe",
    "load",
    "make_plan",
    "open_run",
    "plan",
    "run",
    "step",
    "steps",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"corpuskit.{name}")
    if name in _HOMES:
        module, attribute = _HOMES[name]
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'corpuskit' has no attribute '{name}'")


class _Called(types.ModuleType):
    """A room that can be called: `corpuskit.plan(recipe)`, `corpuskit.run(recipe)`."""

    @property
    def __wrapped__(self) -> Any:
        """The function, whose parameters and documentation editors and notebooks show."""
        module, function = {
            "corpuskit.plan": ("corpuskit.plan.planner", "make"),
            "corpuskit.run": ("corpuskit.explore.opened", "build"),
        }[self.__name__]
        return getattr(importlib.import_module(module), function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(*args, **kwargs)


class _Package(types.ModuleType):
    """Makes `plan` and `run` such rooms when the import system binds them here."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("plan", "run") and isinstance(value, types.ModuleType):
            value.__class__ = _Called
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
