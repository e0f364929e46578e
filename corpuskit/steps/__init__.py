"""The steps of corpuskit, each file with the names of its steps; it is imported when one of them is asked for.

A process that runs one recipe needs few of them, and all together take longer to import than a small unit takes to run.

From Python they are `corpuskit.steps.NAME(**params)(table)`, see `corpuskit.steps.frames`.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from corpuskit.steps import frames

FILES: dict[str, tuple[str, ...]] = {
    "c4": (
        "c4",
        "c4_lines",
    ),
    "clean_chars": ("clean_chars",),
    "code_heuristics": (
        "code_heuristics",
        "redpajama_code",
        "source_code",
    ),
    "datatrove": (),
    "decontaminate": ("decontaminate",),
    "dolma": (
        "dolma",
        "dolma_heuristics",
        "dolma_lines",
    ),
    "exact": ("exact",),
    "fineweb2": (
        "fineweb2",
        "language_stop_words",
    ),
    "heuristics": (
        "gopher_quality",
        "heuristics",
    ),
    "holdout": ("holdout",),
    "importance": ("importance",),
    "language": ("language",),
    "lines": ("lines",),
    "metadata": (
        "identifiers",
        "metadata",
    ),
    "minhash": ("minhash",),
    "normalize": ("normalize",),
    "page_heuristics": (
        "fineweb",
        "page_heuristics",
    ),
    "perplexity": ("perplexity",),
    "pii": ("pii",),
    "presets": (
        "ccnet",
        "dclm",
        "redpajama_v2",
        "slimpajama",
    ),
    "quality": ("quality",),
    "quantile": ("quantile",),
    "refinedweb": (
        "refinedweb",
        "refinedweb_cut",
        "refinedweb_lines",
    ),
    "repetition": (
        "gopher_repetition",
        "repetition",
    ),
    "sample": ("sample",),
    "substrings": ("substrings",),
    "urls": ("urls",),
    "where": ("where",),
    "words": ("words",),
}


def __getattr__(name: str) -> frames.Named:
    from corpuskit.core import registry
    from corpuskit.errors import did_you_mean

    known = [one for names in FILES.values() for one in names]
    if name in known:
        from corpuskit.steps import frames

        step = registry.resolve(name, ("barrier", *frames.KINDS), Path())
        if step.kind in frames.KINDS:
            return frames.Named(step)
    raise AttributeError(f"there is no step `{name}`; {did_you_mean(name, known) or 'docs/recipe.md lists them'}")


class _Package(types.ModuleType):
    """Keeps a file from taking the name of its step here when the import system binds it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, types.ModuleType) and name in FILES.get(name, ())):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
