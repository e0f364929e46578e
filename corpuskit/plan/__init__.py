"""From a recipe to the plan: `make` lays out its stages and units; `why` says what would run again, and why."""

from corpuskit.plan.planner import make

__all__ = ["make"]
