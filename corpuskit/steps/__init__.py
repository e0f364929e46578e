"""The steps of corpuskit, each a file; importing them makes them known by name.

From Python they are `corpuskit.steps.NAME(**params)(table)`, see `corpuskit.steps.frames`.
"""

from corpuskit.core.step import registered
from corpuskit.steps import (
    c4,
    clean_chars,
    code_heuristics,
    datatrove,
    decontaminate,
    dolma,
    exact,
    fineweb2,
    frames,
    heuristics,
    holdout,
    importance,
    language,
    lines,
    metadata,
    minhash,
    normalize,
    page_heuristics,
    perplexity,
    pii,
    presets,
    quality,
    quantile,
    refinedweb,
    repetition,
    sample,
    substrings,
    urls,
    where,
    words,
)

__all__ = [
    "c4",
    "clean_chars",
    "code_heuristics",
    "datatrove",
    "decontaminate",
    "dolma",
    "exact",
    "fineweb2",
    "frames",
    "heuristics",
    "holdout",
    "importance",
    "language",
    "lines",
    "metadata",
    "minhash",
    "normalize",
    "page_heuristics",
    "perplexity",
    "pii",
    "presets",
    "quality",
    "quantile",
    "refinedweb",
    "repetition",
    "sample",
    "substrings",
    "urls",
    "where",
    "words",
]

# a step has its name here even where the file that holds it has the same one
globals().update({name: frames.Named(step) for name, step in registered.items() if step.kind in frames.KINDS})


def __getattr__(name: str) -> frames.Named:
    from corpuskit.errors import did_you_mean

    known = [step.name for step in registered.values() if step.kind in frames.KINDS]
    raise AttributeError(f"there is no step `{name}`; {did_you_mean(name, known) or 'docs/recipe.md lists them'}")
