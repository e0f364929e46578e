"""The stages from the corpus to shards in the plan: tokens, blocks, the mixture, shards."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

from corpuskit.core.identity import File, fingerprint_value
from corpuskit.core.keys import plain
from corpuskit.core.plan import Need, Stage
from corpuskit.core.planning import Planner
from corpuskit.mix.methods import identity, learns_here
from corpuskit.shards.kinds import Cut, Mixed, OverSources, Sampled, Source, Tokenizer, Tokens
from corpuskit.shards.settings import Mix


def listed(planner: Planner) -> tuple[Source, ...]:
    """The sources in the order of their names, each with its domain."""
    return tuple(Source(source.name, source.domain) for _, source in sorted(planner.sources.items()))


def packing(asked: Mix) -> dict[str, Any]:
    """How the blocks are cut."""
    return {"seq_len": asked.longest, "packing": asked.shards.packing}


def cut(planner: Planner, asked: Mix) -> dict[str, Need]:
    """Add the tokenizer, the tokens of each source and their blocks.

    Returns:
        What stages need that read the blocks.
    """
    needs = _tokens(planner, asked, listed(planner))
    spec = Cut(**packing(asked), sources=listed(planner), publish=asked.write == "plan")
    planner.add(Stage.of("blocks", "blocks", spec, dict(needs)), count=1)
    return {**needs, "blocks": Need("blocks", "all")}


def mixed(planner: Planner, asked: Mix, blocks: dict[str, Need], losses: Need | None) -> None:
    """Add the mixture, and its shards if they are written; `losses`: the stage with the tables of proxy runs."""
    needs = dict(blocks)
    if losses is not None and learns_from_swarm(asked):
        needs["losses"] = losses
    # the key holds the digests of a method's files, and not their paths
    weights = plain(asked.weights if asked.phases is None else asked.weighings)
    spec = Mixed(mix=plain(mix_parameters(asked)), sources=listed(planner), weights=weights, write=asked.write)
    planner.add(Stage.of("mixture", "mixture", spec, needs), count=1)
    if asked.write == "plan":
        return
    above = {**blocks, "mixture": Need("mixture", "all")}
    planner.add(Stage.of("shards", "shards", spec, above), count=planner.partitions())


def _tokens(planner: Planner, asked: Mix, sources: tuple[Source, ...]) -> dict[str, Need]:
    """Add the tokenizer, and the tokens of each source; what later stages need of them."""
    docs = {source: stage for source, stage in planner.docs.items() if stage is not None}
    corpus = {f"corpus:{source}": Need(stage, "all") for source, stage in sorted(docs.items())}
    chosen = tokenizer(asked.tokenizer)
    library = importlib.metadata.version("tokenizers")
    spec = Tokenizer(
        tokenizers=library,
        tokenizer=fingerprint_value(chosen),
        sources=sources,
        wanted=plain(chosen),
        fim=asked.shards.fim is not None,
    )
    trains = not isinstance(chosen, str | File)
    above = _sampled(planner, sources, docs, corpus) if trains else corpus
    planner.add(Stage.of("tokenizer", "tokenizer", spec, above), count=1)
    needs = {}
    for source in planner.sources.values():
        name, upstream = f"tokens-{source.name}", docs[source.name]
        above = {"corpus": Need(upstream, "each"), "tokenizer": Need("tokenizer", "all")}
        planner.add(Stage.of(name, "tokens", Tokens(source.domain, fim(asked, source.domain)), above), like=upstream)
        needs[f"tokens:{source.name}"] = Need(name, "all")
    return {**needs, "tokenizer": Need("tokenizer", "all")}


def _sampled(
    planner: Planner, sources: tuple[Source, ...], docs: dict[str, str], corpus: dict[str, Need]
) -> dict[str, Need]:
    """Add what draws the documents that a tokenizer is trained on; what it needs of them."""
    planner.add(Stage.of("shares", "shares", OverSources(sources=sources), corpus), count=1)
    needs = {"shares": Need("shares", "all")}
    for source in sources:
        name, upstream = f"sample-{source.source}", docs[source.source]
        above = {"corpus": Need(upstream, "each"), "shares": Need("shares", "all")}
        planner.add(Stage.of(name, "sample", Sampled(source.domain), above), like=upstream)
        needs[f"sample:{source.source}"] = Need(name, "all")
    return needs


def fim(asked: Mix, domain: str) -> dict[str, Any] | None:
    """How the documents of a domain are rearranged."""
    found = asked.shards.fim
    if found is None or (found.only is not None and domain not in found.only):
        return None
    return {"rate": found.rate, "spm_rate": found.spm_rate, "seed": found.seed}


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
