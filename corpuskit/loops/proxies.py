"""The stages of the closed loop: draw a swarm of mixtures, train a small model on each, gather their losses.

`swarm` and `proxies` have a unit for each run, so that runs are resumed one by one, run beside each other, and are
kept when more are asked for; `losses` writes the two tables that methods such as `regmix` read.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from corpuskit.core.spec import Spec
from corpuskit.core.work import Receipt, Work
from corpuskit.errors import CorpuskitError
from corpuskit.loops.fetched import handed
from corpuskit.loops.kept import kept
from corpuskit.loops.kinds import Proxy, Swarm
from corpuskit.mix.problem import Bucket, Constraints, Infeasible, Problem, largest_budget
from corpuskit.mix.runs import Ratios, read_ratios, write_metrics, write_ratios
from corpuskit.mix.sized import proportional
from corpuskit.mix.swarm import halving_swarm
from corpuskit.mix.swarm import swarm as dirichlet_swarm
from corpuskit.shards.contents import readable, unwritten
from corpuskit.shards.stages import buckets, planned, token_receipts


def swarm(work: Work[Swarm]) -> None:
    """Body: the mixture of one proxy run, drawn around the mixture by size; or of a table of the user's own.

    Needs `tokenizer`, `blocks` and `tokens:<source>` of all sources. Part `ratios`: {domain: fraction of tokens}.
    """
    domains = buckets(work, work.spec.mix)
    if work.spec.ratios is not None:
        drawn = given(Path(work.spec.ratios), domains, work.spec.swarm)
    else:
        drawn = draw(domains, work.units, work.spec.swarm)
    ratios = dict(zip(drawn.domains, drawn.values[work.unit].tolist(), strict=True))
    work.put("ratios", ".json").write_bytes(readable(ratios))


def draw(domains: Sequence[Bucket], runs: int, asked: dict[str, Any]) -> Ratios:
    """The mixtures of a swarm over the domains of a corpus.

    Args:
        domains: with their sizes. runs: how many mixtures.
        asked: {draw, tokens, temperature, strength, max_epochs, seed}, as `swarm:` of a recipe.

    Raises:
        Infeasible: a run would read a domain more than `max_epochs` times, or no mixture keeps the limits.
    """
    prior = proportional(Problem(domains))
    epochs, tokens = asked["max_epochs"], asked["tokens"]
    if asked["draw"] == "halving":
        largest = {bucket.name: min(1.0, epochs * bucket.tokens / tokens) for bucket in domains if bucket.tokens}
        drawn = _over(domains, halving_swarm(largest, runs, seed=asked["seed"]))
    else:
        limits, strength = Constraints(max_epochs=epochs), tuple(asked["strength"])
        drawn = dirichlet_swarm(
            prior, runs, temperature=asked["temperature"], strength=strength, constraints=limits, seed=asked["seed"]
        )
    return _affordable(drawn, domains, asked)


def given(table: Path, domains: Sequence[Bucket], asked: dict[str, Any]) -> Ratios:
    """The mixtures of a table (see `read_ratios`); `asked`: {tokens, max_epochs}.

    Raises:
        UsageError: the table is damaged, or of other domains.
        Infeasible: as `draw`.
    """
    return _affordable(read_ratios(table, [bucket.name for bucket in domains]), domains, asked)


def _affordable(drawn: Ratios, domains: Sequence[Bucket], asked: dict[str, Any]) -> Ratios:
    largest = {run: largest_budget(drawn.mixture(run), domains, asked["max_epochs"]) for run in drawn.runs}
    run = min(largest, key=largest.__getitem__)
    if asked["tokens"] > largest[run]:
        msg = f"{asked['tokens']:,} tokens of run {run} would read a domain more than {asked['max_epochs']:g} times"
        raise Infeasible(msg, f"set `swarm.tokens` to {int(largest[run]):,} or less, or raise `swarm.max_epochs`")
    return drawn


def _over(domains: Sequence[Bucket], drawn: Ratios) -> Ratios:
    """A swarm with a column for each domain; those without a token have the ratio 0."""
    names = tuple(sorted(bucket.name for bucket in domains))
    values = np.zeros((len(drawn.runs), len(names)))
    values[:, [names.index(name) for name in drawn.domains]] = drawn.values
    return Ratios(drawn.runs, names, values)


def proxy(work: Work[Proxy]) -> None:
    """Body: train a small model on one mixture of the swarm, and keep its losses on held-out documents.

    Needs as `swarm`, and its unit of `swarm`. Parts: `ratios`, {domain: fraction of the tokens that were drawn}, which
    whole sequences make differ from what was asked; `losses`, {domain: nats a token}; `result`, as the trainer gave. A
    killed run goes on from its last checkpoint; a run that has its result keeps no checkpoint.
    """
    weights = json.loads(work.receipt("swarm").parts["ratios"].local().read_bytes())
    plan, index = planned(work, work.spec.mix | {"weights": weights})
    with kept(work, _folder(work.key)) as out:
        out.mkdir(parents=True, exist_ok=True)
        with out.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another process of this machine may be at the same run
            if not (out / "result.json").exists():
                _train(work, plan, index, out)
            result = json.loads((out / "result.json").read_text())
            for checkpoint in out.glob("step-*"):
                shutil.rmtree(checkpoint)
    del result["config"]  # it names this machine's folders
    losses = {name: score["loss"] for name, score in result["validation"].items() if score["loss"] is not None}
    if not losses:
        msg = "no domain has held-out text whose loss a proxy run could measure"
        raise CorpuskitError(msg, "hold more out: `- holdout: {tokens: 50k}`")
    drawn = {name: domain["taken"] / plan["tokens"] for name, domain in plan["domains"].items()}
    work.put("ratios", ".json").write_bytes(readable(drawn))
    work.put("losses", ".json").write_bytes(readable(losses))
    work.put("result", ".json").write_bytes(readable(result))


def _folder(key: str) -> str:
    """Where the root keeps what the trainer of a proxy run writes."""
    return f"checkpoints/proxy-{key}"


def _train(work: Work[Proxy], plan: dict[str, Any], index: dict[str, Any], out: Path) -> None:
    """Train on all sequences of a plan, which is followed over the tokens: a mixture costs no disk."""
    from corpuskit.train.launch import launch

    receipts = token_receipts(work)
    blocks = work.receipts("blocks")[0].parts.items()
    parts = [(f"shards/{name}.idx", part) for name, part in blocks if name != "manifest"]
    for receipt in (receipt for group in receipts.values() for _, receipt in group):
        named = ((part.publish or "", part) for part in receipt.parts.values())
        parts += [(place, part) for place, part in named if place.endswith(".bin")]
    made = {"plan.json": readable(plan), "index.json": readable(unwritten(index, plan, receipts))}
    launch({**work.spec.train, **handed(work, parts, made), "out": str(out)}, processes=1, quiet=True)


def losses(work: Work[Spec]) -> None:
    """Body: the tables of the swarm: ratios.csv, what runs were trained on, and metrics.csv, their losses by domain.

    Needs `proxies`. Parts `ratios` and `metrics`, published in `swarm/`.
    """
    proxies = work.receipts("proxies")
    drawn = ratios_of(proxies)
    found = [json.loads(receipt.parts["losses"].local().read_bytes()) for receipt in proxies]
    write_ratios(work.put("ratios", ".csv", publish="swarm/ratios.csv", rows=len(found)), drawn)
    metrics = tuple(found[0])
    values = np.array([[run[metric] for metric in metrics] for run in found])
    target = work.put("metrics", ".csv", publish="swarm/metrics.csv", rows=len(found))
    write_metrics(target, drawn.runs, metrics, values)
    for receipt in proxies:  # their results stand in the parts now
        folder = _folder(receipt.name)
        work.store.delete([*work.store.list(folder), f"{folder}.lock"])


def ratios_of(receipts: Sequence[Receipt]) -> Ratios:
    """The table of a swarm from the receipts of `swarm` or of `proxies`; runs are named from 1."""
    rows = [json.loads(receipt.parts["ratios"].local().read_bytes()) for receipt in receipts]
    runs = tuple(str(number) for number in range(1, len(rows) + 1))
    domains = tuple(rows[0])
    return Ratios(runs, domains, np.array([[row[name] for name in domains] for row in rows]))
