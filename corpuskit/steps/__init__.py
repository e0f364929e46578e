"""The steps of corpuskit, each a file; importing them makes them known by name."""

from corpuskit.steps import (
    clean_chars,
    datatrove,
    decontaminate,
    exact,
    heuristics,
    holdout,
    importance,
    language,
    lines,
    minhash,
    normalize,
    perplexity,
    pii,
    quality,
    sample,
    where,
)

__all__ = [
    "clean_chars",
    "datatrove",
    "decontaminate",
    "exact",
    "heuristics",
    "holdout",
    "importance",
    "language",
    "lines",
    "minhash",
    "normalize",
    "perplexity",
    "pii",
    "quality",
    "sample",
    "where",
]
