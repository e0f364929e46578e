"""The verb `mix`."""

from __future__ import annotations

import argparse

from corpuskit.cli.options import answer, load_recipe, repeated, root_of
from corpuskit.errors import UsageError

MIX_OPTIONS = {
    "sizes": ("solve", "explain", "swarm"),
    "plot": ("explain",),
    "output": ("swarm",),
    "law": ("fit",),
    "metric": ("fit",),
}
"""Options of `mix`, and what they go with."""


def mix(options: argparse.Namespace) -> None:
    """Print weights, what they mean, mixtures for proxy runs, how well laws predict, or what trained models say."""
    from corpuskit.cli.mix_answers import Asked, answer_to

    for name, verbs in MIX_OPTIONS.items():
        if getattr(options, name) and options.what not in verbs:
            raise UsageError(f"--{name} goes with mix {' or '.join(verbs)}, not with mix {options.what}")
    tables = options.what == "fit" and options.inputs[0].suffix == ".csv"
    if len(options.inputs) > 1 and not tables:
        raise UsageError(f"mix {options.what} takes one recipe, not {len(options.inputs)}", "corpuskit mix --help")
    options.recipe = options.inputs[0]
    if options.what in ("doremi", "ablate"):
        from corpuskit.cli import mix_runs

        {"doremi": mix_runs.doremi, "ablate": mix_runs.ablate}[options.what](options)
        return
    recipe = None if tables else load_recipe(options)
    asked = Asked(
        recipe=recipe,
        root=None if recipe is None else root_of(options, recipe),
        command=f"{options.recipe}{repeated(options)}",
        tables=options.inputs if tables else (),
        sizes=options.sizes,
        output=options.output,
        plot=options.plot,
        laws=options.law,
        metrics=options.metric,
    )
    answer(options, *answer_to(options.what, asked))
