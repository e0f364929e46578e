"""`mix.swarm` of a recipe and the methods that learn from it: what would fail after hours is refused at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from corpuskit.errors import UsageError, did_you_mean
from corpuskit.mix.held_out import least_runs
from corpuskit.mix.laws import enough_runs
from corpuskit.mix.methods import Method
from corpuskit.mix.runs import read_ratios
from corpuskit.recipe.faults import Faults
from corpuskit.recipe.tree import Node
from corpuskit.shards.settings import Mix, Swarm


def check_swarm(node: Node, mix: Mix, domains: Sequence[str], faults: Faults, *, held_out: bool) -> Swarm:
    """Check the proxy runs.

    Args:
        node: of `swarm`. mix: validated, with a swarm. domains: of the recipe. faults: to add to.
        held_out: whether the recipe holds documents out.

    Returns:
        The swarm with the path of its table made absolute.
    """
    swarm, table = mix.swarm, node.get("ratios")
    assert swarm is not None
    if not held_out:
        faults.add(node.owner, "`swarm` measures proxy runs on held-out text", "remove `holdout: none`")
    if (swarm.runs is None) == (swarm.ratios is None):
        hint = "`runs: N` draws mixtures, `ratios: table.csv` takes yours"
        faults.add(node.owner, "`swarm` takes either `runs` or `ratios`", hint)
    if swarm.tokens < mix.longest:
        reason = f"`swarm.tokens` {swarm.tokens:,} are less than one sequence of {mix.longest:,}"
        faults.add((node.get("tokens") or node).span, reason)
    if table is None or swarm.ratios is None:
        return swarm
    try:
        read_ratios(_path(table), domains)
    except UsageError as error:
        faults.add(table.span, error.message, error.hint)
    return swarm.model_copy(update={"ratios": str(_path(table))})


def check_learning(
    node: Node, values: Mapping[str, Any], method: Method, swarm: Node | None, domains: Sequence[str], faults: Faults
) -> Iterator[str]:
    """Check that a method that learns from proxy runs has their two tables, or a swarm that makes them.

    Args:
        node: of the method. values: its parameters. swarm: node of `mix.swarm`. domains, faults: as `check_swarm`.

    Yields:
        Warnings.
    """
    given = [name for name in ("runs", "losses") if values[name] is not None]
    if len(given) == 1:
        faults.add(node.owner, f"`{given[0]}` is given alone", "it takes both: `runs` and `losses`")
    elif not given and swarm is None:
        hint = "give `runs: ratios.csv` and `losses: metrics.csv`, or add `swarm: {runs: N, tokens: N}` to `mix`"
        faults.add(node.owner, f"`{values['method']}` learns from proxy runs, and there are none", hint)
    elif not given and swarm is not None:
        for metric in values.get("metrics") or ():
            if metric not in domains:
                hint = did_you_mean(metric, domains) or f"domains: {', '.join(domains)}"
                place = (node.get("metrics") or node).span
                faults.add(place, f"the swarm measures losses on domains, and `{metric}` is none", hint)
        yield from _enough(values, method, swarm, domains, faults)


def _enough(
    values: Mapping[str, Any], method: Method, swarm: Node, domains: Sequence[str], faults: Faults
) -> Iterator[str]:
    count = _count(swarm)
    if count is None:
        return
    runs, place = count
    least, advised = max(method.least_runs, least_runs(len(domains))), enough_runs(len(domains))
    if runs < least:
        reason = f"{runs} proxy runs are too few for `{values['method']}` over {len(domains)} domains"
        faults.add(place.span, reason, f"it needs at least {least}")
    elif runs < advised:
        yield f"{place.span}: {runs} proxy runs for {len(domains)} domains; {advised} or more are advised (OLMix)"


def _count(swarm: Node) -> tuple[int, Node] | None:
    """How many runs there will be, and what says so."""
    runs, table = swarm.get("runs"), swarm.get("ratios")
    if runs is not None and isinstance(runs.value, int):
        return runs.value, runs
    if table is None or not isinstance(table.value, str):
        return None
    try:
        return len(read_ratios(_path(table)).runs), table
    except UsageError:
        return None  # a fault by itself


def _path(table: Node) -> Path:
    path: Path = table.span.document.base / table.value
    return path
