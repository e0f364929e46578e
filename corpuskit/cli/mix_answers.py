"""`corpuskit mix`: the weights of a recipe, what they mean, mixtures for proxy runs, and laws of mixing from these."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corpuskit.core.keys import plain
from corpuskit.core.plan import Plan
from corpuskit.core.tables import table, width
from corpuskit.engines import Task
from corpuskit.errors import UsageError, did_you_mean
from corpuskit.explore.report.mixture import plot
from corpuskit.loops.proxies import draw, given, ratios_of
from corpuskit.mix.explain import explain, weights_table
from corpuskit.mix.held_out import HeldOut, fit_laws, report
from corpuskit.mix.laws import LAWS
from corpuskit.mix.methods import as_method
from corpuskit.mix.runs import Ratios, Runs, read_runs, write_ratios
from corpuskit.mix.sizes import read_sizes
from corpuskit.plan.planner import make
from corpuskit.recipe import Recipe
from corpuskit.run.execute import execute
from corpuskit.shards.contents import make_plan, with_weights
from corpuskit.shards.kinds import FILE_TOKENS
from corpuskit.shards.planning import learns_from_swarm, mix_parameters
from corpuskit.shards.stages import taught
from corpuskit.store.root import Root
from corpuskit.train.blocks import Blocks

Answer = tuple[str, Any]
"""Text for people, and the same as JSON."""


@dataclass(frozen=True)
class Asked:
    """What the command line asks.

    Attributes:
        recipe: loaded; None where `fit` is given two tables.
        root: of the recipe's run.
        command: `RECIPE` and the options that a command to try next repeats.
        tables: ratios.csv and metrics.csv, for `fit`.
        sizes: a table of domains and tokens in place of a corpus, for all but `fit`.
        output: where `swarm` writes. plot: where `explain` draws.
        laws: those that `fit` fits; none: all.
        metrics: the columns that `fit` looks at; none: all.
    """

    recipe: Recipe | None
    root: str | None
    command: str
    tables: Sequence[Path] = ()
    sizes: Path | None = None
    output: Path | None = None
    plot: Path | None = None
    laws: Sequence[str] = ()
    metrics: Sequence[str] = ()


def answer_to(what: str, asked: Asked) -> Answer:
    """Do `what`.

    Raises:
        UsageError: an unknown word, a recipe without what is needed, or stages that are not complete yet.
    """
    words: dict[str, Callable[[Asked], Answer]] = {
        "solve": _solve,
        "explain": _explain,
        "swarm": _swarm,
        "fit": _fit,
    }
    if what not in words:
        hint = did_you_mean(what, words) or f"known: {', '.join(words)}, doremi, ablate"
        raise UsageError(f"unknown: mix {what}", hint)
    return words[what](asked)


def _solve(asked: Asked) -> Answer:
    made = _mixture(asked)
    data: dict[str, Any] = {"weights": {name: domain["weight"] for name, domain in made["domains"].items()}}
    if "phases" in made:
        data["phases"] = [
            {"until": phase["until"], "weights": {name: one["weight"] for name, one in phase["domains"].items()}}
            for phase in made["phases"]
        ]
    return weights_table(made), data


def _explain(asked: Asked) -> Answer:
    made = _mixture(asked)
    text = explain(made, width())
    if asked.plot is not None:
        asked.plot.write_text(plot(made), encoding="utf-8")
        text += f"wrote {asked.plot}\n"
    return text, made


def _mixture(asked: Asked) -> dict[str, Any]:
    """The content of `shards/plan.json` of the recipe, made if all that it needs is there; the root stays as it is."""
    if asked.sizes is not None:
        return _imagined(asked, asked.sizes)
    plan, root = _plan(asked)
    _complete(plan, root, "mixture", asked)
    content: dict[str, Any] = json.loads(_only(root, plan, "mixture")["plan"].local().read_bytes())
    return content


def _imagined(asked: Asked, sizes: Path) -> dict[str, Any]:
    """The same for a table of sizes in place of the corpus: each domain as one stream that is cut into sequences."""
    recipe = _recipe(asked)
    mix = recipe.mix
    assert mix is not None
    buckets = read_sizes(sizes, {source.domain for source in recipe.sources.values()})
    # so many tokens that what one epoch predicts, all but the first of each block, is the size
    blocks = {b.name: Blocks(b.tokens + -(-b.tokens // mix.longest), mix.longest + 1) for b in buckets}
    content = plain(mix_parameters(mix)) | {"packing": "concat"}
    content = with_weights(content, plain(mix.weights if mix.phases is None else mix.weighings))
    if learns_from_swarm(mix):
        plan, root = _plan(asked)
        _complete(plan, root, "losses", asked)
        content = taught(content, root.receipts(plan.stages["losses"])[0])
    made = make_plan({bucket.name: bucket.docs for bucket in buckets}, blocks, content, "", FILE_TOKENS)
    for domain in made["domains"].values():
        domain["documents"] = None  # sizes say nothing of them
    return made


def _swarm(asked: Asked) -> Answer:
    recipe = _recipe(asked)
    assert recipe.mix is not None
    swarm = recipe.mix.swarm
    if swarm is None:
        hint = "add `swarm: {runs: 64, tokens: 1M}` to `mix`"
        raise UsageError(f"{asked.command} has no `swarm`: there is nothing to draw", hint)
    if asked.sizes is not None:
        settings = plain(swarm)
        buckets = read_sizes(asked.sizes, {source.domain for source in recipe.sources.values()})
        drawn = (
            given(Path(swarm.ratios), buckets, settings) if swarm.ratios else draw(buckets, swarm.runs or 0, settings)
        )
        target = asked.output or Path("ratios.csv")
        following = f"train a model on each line of {target}, one loss a column of metrics.csv, then corpuskit mix fit"
    else:
        plan, root = _plan(asked)
        _complete(plan, root, "swarm", asked)
        drawn = ratios_of(root.receipts(plan.stages["swarm"]))
        target = asked.output or (root.store.path or Path()) / "ratios.csv"
        following = f"to train them: corpuskit run {asked.command} --until losses"
    target.parent.mkdir(parents=True, exist_ok=True)
    waiting = target.with_name(f".{target.name}.partial")
    write_ratios(waiting, drawn)
    waiting.replace(target)  # and not in place: a published table is a link to the part of a unit
    data = {"ratios": str(target), "runs": len(drawn.runs), "domains": list(drawn.domains)}
    return f"{_described(drawn)}\nwrote {len(drawn.runs)} mixtures to {target}; {following}", data


def _described(drawn: Ratios) -> str:
    """How far each domain's ratios spread over a swarm."""
    rows = []
    for name, ratios in zip(drawn.domains, drawn.values.T, strict=True):
        least, middle, most = (f"{100 * value:.2f} %" for value in (ratios.min(), np.median(ratios), ratios.max()))
        rows.append([name, least, middle, most, str(int((ratios > 0).sum()))])
    return table(["domain", "least", "median", "most", "runs with it"], rows)


def _fit(asked: Asked) -> Answer:
    laws = {name: LAWS[name] for name in _known_laws(asked.laws)}
    runs = _tables(asked)
    count, domains = len(runs.ratios.runs), len(runs.ratios.domains)
    texts, data = [], {}
    for name, law in laws.items():
        fits: list[HeldOut[Any]] = fit_laws(law(), runs)
        texts.append(f"{name}\n{report(fits, count, domains)}")
        data[name] = [
            {
                "metric": fit.metric,
                "rank_correlation": fit.spearman,
                "error": fit.error,
                "error_of_the_mean": fit.mean_error,
                "worse_than_mean": fit.worse_than_mean,
            }
            for fit in fits
        ]
    head = f"{count} runs of {domains} domains; each is predicted by a law fitted to the other four fifths"
    return "\n".join([head, "", *texts]).rstrip(), {"runs": count, "domains": list(runs.ratios.domains), "laws": data}


def _known_laws(wanted: Sequence[str]) -> Sequence[str]:
    for name in wanted:
        if name not in LAWS:
            raise UsageError(f"unknown law `{name}`", did_you_mean(name, LAWS) or f"laws: {', '.join(LAWS)}")
    return wanted or list(LAWS)


def _tables(asked: Asked) -> Runs:
    """The two tables: as given, as the recipe's method names them, or of the recipe's own swarm."""
    metrics = list(asked.metrics) or None
    if asked.tables:
        if len(asked.tables) != 2:
            raise UsageError("fit takes two tables", "corpuskit mix fit ratios.csv metrics.csv, or mix fit RECIPE")
        return read_runs(*asked.tables, metrics=metrics)
    recipe = _recipe(asked)
    assert recipe.mix is not None
    for weights in recipe.mix.weighings:
        named = as_method(weights)
        if named is not None and named.get("runs") is not None:
            return read_runs(Path(named["runs"]), Path(named["losses"]), metrics=metrics)
    if recipe.mix.swarm is None:
        hint = "name the tables: corpuskit mix fit ratios.csv metrics.csv; or add `swarm:` to `mix`"
        raise UsageError(f"{asked.command} has no proxy runs to fit a law to", hint)
    plan, root = _plan(asked)
    _complete(plan, root, "losses", asked)
    parts = _only(root, plan, "losses")
    return read_runs(parts["ratios"].local(), parts["metrics"].local(), metrics=metrics)


# -- what the recipe has so far ------------------------------------------------------------------------------------

QUICK = ("blocks", "swarm", "losses", "mixture")
"""Stages that this command runs itself if all that they need is there."""


def _recipe(asked: Asked) -> Recipe:
    assert asked.recipe is not None
    if asked.recipe.mix is None:
        raise UsageError(f"{asked.recipe.path} has no `mix`", "add `mix:`; corpuskit init shows one")
    return asked.recipe


def _plan(asked: Asked) -> tuple[Plan, Root]:
    recipe = _recipe(asked)
    assert asked.root is not None
    plan, root = make(recipe), Root(asked.root)
    root.refuse_other(root.latest_plan(), plan)
    return plan, root


def _complete(plan: Plan, root: Root, wanted: str, asked: Asked) -> None:
    """Run a stage, and the quick ones that it needs.

    Raises:
        UsageError: a stage that is not quick is not complete.
    """
    stage = plan.stages[wanted]
    if len(root.complete(stage)) == len(stage.units):
        return
    if wanted == "proxies":
        hint = f"corpuskit run {asked.command} --until losses, then again"
        raise UsageError("the proxy runs of this recipe are not trained yet", hint)
    if wanted not in QUICK:
        hint = f"corpuskit run {asked.command} --until tokens, then again"
        raise UsageError("the corpus of this recipe is not tokenized yet", hint)
    for need in stage.needs.values():
        _complete(plan, root, need.stage, asked)
    root.describe(plan)
    for number in range(len(stage.units)):
        execute(plan, root, Task(wanted, number))


def _only(root: Root, plan: Plan, stage: str) -> dict[str, Any]:
    return root.receipts(plan.stages[stage])[0].parts
