"""The stages that launch the trainer in the plan: proxy runs, and the training on the shards."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

from corpuskit.core.identity import file_digest
from corpuskit.core.keys import plain
from corpuskit.core.plan import Need, Stage
from corpuskit.core.planning import Planner
from corpuskit.core.spec import Spec
from corpuskit.loops.kinds import Proxy, Swarm, Training
from corpuskit.loops.settings import FOREIGN, Train
from corpuskit.mix.runs import read_ratios
from corpuskit.shards.planning import listed, packing
from corpuskit.shards.settings import Mix


def swarm(planner: Planner, asked: Mix, blocks: dict[str, Need]) -> Need:
    """Add the proxy runs: the drawing, the training of each, and the tables of all.

    Args:
        asked: the table `mix`, with a `swarm`. blocks: what stages need that read the blocks.

    Returns:
        The need of the tables.
    """
    runs = asked.swarm
    assert runs is not None
    sources = listed(planner)
    names = ("tokens", "max_epochs", "draw", "temperature", "strength", "seed")
    drawn = {name: plain(getattr(runs, name)) for name in names}
    drawn["numpy"] = importlib.metadata.version("numpy")  # whose random streams may change with a version
    count = runs.runs
    if runs.ratios is not None:
        drawn = {name: drawn[name] for name in ("tokens", "max_epochs")}
        drawn["ratios"] = file_digest(Path(runs.ratios))
        count = len(read_ratios(Path(runs.ratios)).runs)
    drawing = Swarm(mix=packing(asked), sources=sources, swarm=drawn, ratios=runs.ratios)
    planner.add(Stage.of("swarm", "swarm", drawing, dict(blocks)), count=count)
    # all that its shards hold, which are the `tokens` below
    trained = {name: plain(getattr(runs, name)) for name in ("model", "batch_tokens", "lr", "seed")}
    # one thread: the same sums on any machine, and as many runs beside each other as there are cores
    trained |= {"validation_sequences": runs.validation_sequences, "threads": 1}
    mixed = packing(asked) | {"seed": asked.shards.seed, "tokens": runs.tokens, "max_epochs": runs.max_epochs}
    spec = Proxy(torch=_torch(), train=trained, mix=mixed, sources=sources)
    planner.add(Stage.of("proxies", "proxy", spec, {**blocks, "swarm": Need("swarm", "each")}), like="swarm")
    planner.add(Stage.of("losses", "losses", Spec(), {"proxies": Need("proxies", "all")}), count=1)
    return Need("losses", "all")


def train(planner: Planner, asked: Train, mix: Mix) -> None:
    """Add the training on the shards, or on the tokens where the mixture writes none."""
    stages = ["shards", "mixture"]
    if mix.write == "plan":
        stages = ["mixture", "blocks", *(f"tokens-{source}" for source in planner.sources)]
    needs = {stage: Need(stage, "all") for stage in stages}
    told = Training(_torch(), train_parameters(asked), cache_bytes=asked.cache_bytes)
    if isinstance(asked.model, str) and asked.model.startswith(FOREIGN):  # another content is another model
        digest = file_digest(Path(asked.model.removeprefix(FOREIGN)))
        told = replace(told, train=told.train | {"model": FOREIGN}, config=digest, model=asked.model)
    planner.add(Stage.of("train", "train", told, needs), count=1)


def train_parameters(asked: Train) -> dict[str, Any]:
    """What a trained model depends on; the number of processes changes the order of sums.

    What was added later has no key where a recipe does not ask for it.
    """
    found: dict[str, Any] = plain(asked)
    found.pop("cache_bytes")  # changes nothing of it
    return {name: value for name, value in found.items() if value is not None or name in FIRST}


FIRST = ("batch_tokens", "lr", "checkpoint_every", "validation_sequences")


def _torch() -> str | None:
    return importlib.metadata.version("torch") if importlib.util.find_spec("torch") else None
