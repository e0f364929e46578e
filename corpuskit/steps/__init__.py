"""The steps of corpuskit, each file with the names of its steps; it is imported when one of them is asked for.

A process that runs one recipe needs few of them, and all together take longer to import than a small unit takes to run.
"""

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
