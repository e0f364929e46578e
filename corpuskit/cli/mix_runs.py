"""`mix doremi` and `mix ablate`: methods that train several models of one recipe, in one root.

Each training is a run of the recipe with other weights: what is complete is not repeated, so that a command that was
killed goes on, and another mixture of `mix ablate` trains nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from corpuskit.cli.options import answer, load_recipe, root_of
from corpuskit.core.tables import table
from corpuskit.errors import UsageError
from corpuskit.explore.opened import build
from corpuskit.mix.problem import Mixture
from corpuskit.mix.rounds import TOLERANCE, Round, rounds

if TYPE_CHECKING:
    from corpuskit.recipe import Recipe

MOST = 10
"""Rounds of DoReMi; the paper's converged within three."""


class Trained:
    """A run of a recipe, with changes, to the end of its training."""

    def __init__(self, options: argparse.Namespace, *changes: str) -> None:
        recipe = _changed(options, *changes)
        self.run = build(recipe, root_of(options, recipe), engine="local")
        root = self.run.root
        self.place = root.url if root.store.path is None else str(root.path.resolve())
        """The root, as a training is told where a checkpoint of another is."""
        (receipt,) = root.receipts(self.run.plan.stages["train"])
        self.result: dict[str, Any] = receipt.facts["result"]
        self.checkpoint = f"{self.place}/{receipt.facts['checkpoint']}"


def _changed(options: argparse.Namespace, *changes: str) -> Recipe:
    return load_recipe(argparse.Namespace(**vars(options) | {"set": [*options.set, *changes]}))


def doremi(options: argparse.Namespace) -> None:
    """Print what each round found, until the weights settle."""
    found = list(_rounds(options))
    names = list(found[0].mixture.weights)
    rows = [
        [str(number), *(f"{made.mixture.weights[name]:.4f}" for name in names), f"{made.change:.4f}"]
        for number, made in enumerate(found, 1)
    ]
    said = f"settled: no weight moved by {TOLERANCE:g}" if found[-1].settled else f"not settled after {MOST} rounds"
    text = table(["round", *names, "largest change"], rows, right=range(1, len(names) + 2))
    data = [{"weights": dict(made.mixture.weights), "change": made.change} for made in found]
    answer(options, f"{text}\n{said}; `mix.weights` of the next run is the last line", data)


def _rounds(options: argparse.Namespace) -> Iterator[Round]:
    try:
        recipe = _changed(options, "train.policy.reference=none yet")
    except UsageError:  # a policy of no name, where the recipe has none; other faults are said again
        recipe = _changed(options)
    name = None if recipe.train is None else (recipe.train.policy or {}).get("name")
    if name != "doremi":
        raise UsageError(f"`train.policy` of {options.recipe} is {name}", "mix doremi iterates `{name: doremi}`")
    if recipe.mix is not None and recipe.mix.phases is not None:  # refused now, and not when the first is trained
        raise UsageError(f"`mix.phases` of {options.recipe}: DoReMi finds one mixture", "give `mix.weights` instead")
    reference = Trained(options, "train.policy=null")
    first = reference.run.mixture()
    assert first is not None

    def proxy(drawn: Mixture) -> Mixture:
        weights = [] if drawn is first else [f"mix.weights={json.dumps(dict(drawn.weights))}"]
        reference = Trained(options, *weights, "train.policy=null")
        # Its batches are the same in every round: drawn evenly from shards that hold little of a domain, they would
        # repeat that little, and how much it is would decide what is found.
        found = Trained(options, f"train.policy.reference={reference.checkpoint}")
        return Mixture(found.result["mixture"])

    return rounds(proxy, first, MOST)


def ablate(options: argparse.Namespace) -> None:
    """Print the held-out losses that a mixture's model would have, by models of its domains."""
    from corpuskit.train.launch import need_torch

    need_torch()
    from corpuskit.train.merging import foretold

    recipe = load_recipe(options)
    if recipe.mix is None or recipe.train is None:
        raise UsageError(f"{options.recipe} lacks `mix:` or `train:`", "modular ablation trains a model of each domain")
    phases = recipe.mix.phases
    key = "mix.weights" if phases is None else f"mix.phases.{len(phases) - 1}.weights"
    weights = recipe.mix.weights if phases is None else phases[-1].weights
    if not isinstance(weights, dict) or "method" in weights:
        raise UsageError(
            f"`{key}` of {options.recipe} is no table", "give the shares to look at, `{web: 0.6, books: 0.4}`"
        )
    shares = {name: float(value) for name, value in Mixture(weights).weights.items()}
    parts = {name: Trained(options, f"{key}={json.dumps({n: float(n == name) for n in shares})}") for name in shares}
    last = next(reversed(parts.values()))
    found = foretold(
        {name: part.checkpoint for name, part in parts.items()},
        shares,
        f"{last.place}/shards",
        recipe.train.validation_sequences,
    )
    alone = {
        name: {domain: score["loss"] for domain, score in part.result["validation"].items()}
        for name, part in parts.items()
    }
    rows = [
        [domain, *(f"{alone[name][domain]:.4f}" for name in parts), f"{loss:.4f}"] for domain, loss in found.items()
    ]
    text = table(["held-out", *(f"{name} alone" for name in parts), "mixture"], rows, right=range(1, len(parts) + 2))
    text += "\nnats a token; `mixture`: of the average of the models, an estimate of what training on it would give"
    answer(options, text, {"weights": shares, "alone": alone, "mixture": found})
