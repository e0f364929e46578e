"""The stages after the corpus in the plan: tokens, blocks, the swarm of proxy runs, the mixture, shards, training."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any, Protocol

from corpuskit.graph import Need, Stage, Unit, plain
from corpuskit.mix.methods import identity, learns_here
from corpuskit.mix.runs import read_ratios
from corpuskit.recipe import Recipe
from corpuskit.recipe.models import Mix, Swarm, Train
from corpuskit.step import File, file_digest, fingerprint_value

STAGES = "corpuskit.shards.stages"
PROXIES = "corpuskit.mix.proxies"

SHARD_BYTES = 4 << 30
"""Raw bytes for each unit that writes shards (rounded up to a power of two of units)."""


class Planner(Protocol):
    """What is known once a recipe's steps are laid out; see `corpuskit.plan`."""

    recipe: Recipe
    docs: dict[str, str | None]
    raw_bytes: int

    def add(
        self, stage: Stage, *, like: str | None = None, raw: list[Unit] | None = None, count: int | None = None
    ) -> None:
        """Give a stage its key and its units: one per unit of the stage `like`, these over raw files, or `count`."""


def mix(planner: Planner) -> None:
    """Add the stages of a recipe with a `mix`."""
    recipe, asked = planner.recipe, planner.recipe.mix
    assert asked is not None
    sources = [{"source": source.name, "domain": source.domain} for _, source in sorted(recipe.sources.items())]
    needs = _tokens(planner, asked, sources)
    cut = {"seq_len": asked.longest, "packing": asked.shards.packing}
    spec: dict[str, Any] = {"version": 1, **cut, "sources": sources}
    planner.add(Stage("blocks", f"{STAGES}:blocks", spec, {}, dict(needs)), count=1)
    needs["blocks"] = Need("blocks", "all")
    mixed = dict(needs)
    if asked.swarm is not None:
        _swarm(planner, asked, asked.swarm, {"mix": cut, "sources": sources}, needs)
        if learns_from_swarm(asked):
            mixed["losses"] = Need("losses", "all")
    spec = {"version": 2, "mix": plain(mix_parameters(asked)), "sources": sources}
    # the key holds the digests of a method's files, and not their paths
    run = {"weights": plain(asked.weights if asked.phases is None else asked.weighings)}
    planner.add(Stage("mixture", f"{STAGES}:mixture", spec, run, mixed), count=1)
    count = 1 << max(0, (planner.raw_bytes // SHARD_BYTES).bit_length())
    planner.add(
        Stage("shards", f"{STAGES}:shards", spec, {}, {**needs, "mixture": Need("mixture", "all")}), count=count
    )
    if recipe.train is not None:
        spec = {"version": 1, "torch": _torch(), "train": train_parameters(recipe.train)}
        trained = {"shards": Need("shards", "all"), "mixture": Need("mixture", "all")}
        planner.add(Stage("train", "corpuskit.training:train", spec, {}, trained), count=1)


def _tokens(planner: Planner, asked: Mix, sources: list[dict[str, str]]) -> dict[str, Need]:
    """Add the tokenizer, and the tokens of each source; what later stages need of them."""
    docs = {source: stage for source, stage in planner.docs.items() if stage is not None}
    corpus = {f"corpus:{source}": Need(stage, "all") for source, stage in sorted(docs.items())}
    chosen = tokenizer(asked.tokenizer)
    library = importlib.metadata.version("tokenizers")
    spec = {"version": 1, "tokenizers": library, "tokenizer": fingerprint_value(chosen), "sources": sources}
    planner.add(Stage("tokenizer", f"{STAGES}:tokenizer", spec, {"tokenizer": plain(chosen)}, corpus), count=1)
    needs = {}
    for source in planner.recipe.sources.values():
        name, upstream = f"tokens-{source.name}", docs[source.name]
        above = {"corpus": Need(upstream, "each"), "tokenizer": Need("tokenizer", "all")}
        spec = {"version": 1, "domain": source.domain}
        planner.add(Stage(name, f"{STAGES}:tokens", spec, {}, above), like=upstream)
        needs[f"tokens:{source.name}"] = Need(name, "all")
    return {**needs, "tokenizer": Need("tokenizer", "all")}


def _swarm(planner: Planner, asked: Mix, swarm: Swarm, cut: dict[str, Any], needs: dict[str, Need]) -> None:
    """Add the proxy runs: the drawing, the training of each, and the tables of all; `cut`: the blocks they read."""
    names = ("tokens", "max_epochs", "draw", "temperature", "strength", "seed")
    drawn = {name: plain(getattr(swarm, name)) for name in names}
    drawn["numpy"] = importlib.metadata.version("numpy")  # whose random streams may change with a version
    run, count = {}, swarm.runs
    if swarm.ratios is not None:
        drawn, run = {name: drawn[name] for name in ("tokens", "max_epochs")}, {"ratios": swarm.ratios}
        drawn["ratios"] = file_digest(Path(swarm.ratios))
        count = len(read_ratios(Path(swarm.ratios)).runs)
    planner.add(
        Stage("swarm", f"{PROXIES}:swarm", {"version": 1, **cut, "swarm": drawn}, run, dict(needs)), count=count
    )
    # all that its shards hold, which are the `tokens` below
    trained = {name: plain(getattr(swarm, name)) for name in ("model", "batch_tokens", "lr", "seed")}
    # one thread: the same sums on any machine, and as many runs beside each other as there are cores
    trained |= {"validation_sequences": swarm.validation_sequences, "threads": 1}
    mixed = cut["mix"] | {"seed": asked.shards.seed, "tokens": swarm.tokens, "max_epochs": swarm.max_epochs}
    spec = {"version": 1, "torch": _torch(), "train": trained, **cut, "mix": mixed}
    planner.add(Stage("proxies", f"{PROXIES}:proxy", spec, {}, {**needs, "swarm": Need("swarm", "each")}), like="swarm")
    planner.add(Stage("losses", f"{PROXIES}:losses", {"version": 1}, {}, {"proxies": Need("proxies", "all")}), count=1)


def _torch() -> str | None:
    return importlib.metadata.version("torch") if importlib.util.find_spec("torch") else None


def learns_from_swarm(asked: Mix) -> bool:
    """Whether the weights, or those of a phase, come from the proxy runs of the recipe itself."""
    return asked.swarm is not None and any(map(learns_here, asked.weighings))


def tokenizer(wanted: Any) -> Any:
    """The recipe's `mix.tokenizer`; a local file gets its digest into the key."""
    if isinstance(wanted, str) and Path(wanted).is_file():
        return File(wanted)
    return wanted


def mix_parameters(asked: Mix) -> dict[str, Any]:
    """What the mixture depends on; a recipe without bounds and phases has no keys for them."""
    found = {
        "weights": identity(asked.weights),
        "tokens": asked.tokens,
        "max_epochs": asked.max_epochs,
        "seq_len": asked.longest,
        "seed": asked.shards.seed,
        "packing": asked.shards.packing,
    }
    found |= {name: bounds for name, bounds in (("lower", asked.lower), ("upper", asked.upper)) if bounds}
    if asked.phases is not None:
        del found["weights"]
        found["phases"] = [
            {"until": phase.until, "weights": identity(phase.weights), "seq_len": asked.seq_len(phase)}
            for phase in asked.phases
        ]
    return found


def train_parameters(train: Train) -> dict[str, Any]:
    """What a trained model depends on; the number of processes changes the order of sums."""
    return {name: value for name, value in plain(train).items() if name != "line"}
