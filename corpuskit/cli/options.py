"""What verbs share: the recipe and the root that options name, and how an answer is printed."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

import orjson

from corpuskit.core.tables import wrapped

if TYPE_CHECKING:
    from corpuskit.recipe import Recipe

_JSON = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


def load_recipe(options: argparse.Namespace) -> Recipe:
    """Load the recipe that is named, with what `--set` changes; warnings go to standard error."""
    import sysconfig

    from corpuskit.recipe import load

    # the folder of this environment's packages: text that every machine has; recipes/quickstart.yaml reads it
    os.environ.setdefault("SITE_PACKAGES", sysconfig.get_path("purelib"))
    recipe = load(options.recipe, options.set)
    for warning in recipe.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return recipe


def root_of(options: argparse.Namespace, recipe: Recipe) -> str:
    """The root of the run: a folder, or the URL of a bucket."""
    if options.root is not None:
        return str(options.root)
    sample = getattr(options, "sample", None)
    return f"runs/{recipe.name}" if sample is None else f"runs/{recipe.name}-sample-{sample:g}"


def answer(options: argparse.Namespace, text: str, data: Any) -> None:
    """Print text for people, or data for programs with `--json`, where what is no number is null."""
    print(orjson.dumps(data, default=str, option=_JSON).decode() if options.json else wrapped(text))


def repeated(options: argparse.Namespace) -> str:
    """The options that a command to try next repeats."""
    import shlex

    said = [f" --set {shlex.quote(text)}" for text in options.set]
    if options.root is not None:
        said.append(f" --root {shlex.quote(str(options.root))}")
    if getattr(options, "sample", None) is not None:
        said.append(f" --sample {options.sample:g}")
    if getattr(options, "until", None) is not None:
        said.append(f" --until {options.until}")
    return "".join(said)
