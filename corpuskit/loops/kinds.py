"""The kinds of stages that launch the trainer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from corpuskit.core.kinds import Resources, StageKind, spec_of
from corpuskit.core.plan import Stage
from corpuskit.core.spec import ASIDE, Spec
from corpuskit.shards.kinds import OverSources

PROXIES = "corpuskit.loops.proxies"


@dataclass(frozen=True, kw_only=True)
class Swarm(OverSources):
    """What draws a mixture for each proxy run is told.

    Attributes:
        mix: {seq_len, packing}. swarm: as in the recipe.
        ratios: path of the user's own table of mixtures; its digest is in `swarm`.
    """

    mix: dict[str, Any]
    swarm: dict[str, Any]
    ratios: str | None = field(metadata=ASIDE, default=None)


@dataclass(frozen=True, kw_only=True)
class Proxy(OverSources):
    """What trains on one mixture of the swarm is told.

    Attributes:
        torch: its version; None where it is not installed. train: as the trainer's configuration.
        mix: {tokens, max_epochs, seq_len, seed, packing}.
    """

    torch: str | None
    train: dict[str, Any]
    mix: dict[str, Any]


@dataclass(frozen=True)
class Training(Spec):
    """What trains on the shards is told.

    Attributes:
        torch: its version; None where it is not installed. train: the trainer's configuration.
        config: SHA-256 of the `config.json` of a model of transformers, which in `train` is `hf:`.
        model: `hf:` and the place of that file.
        cache_bytes: of what it keeps here of shards in a bucket; None: half of what is free.
    """

    torch: str | None
    train: dict[str, Any]
    config: str | None = None
    model: str | None = field(metadata=ASIDE, default=None)
    cache_bytes: int | None = field(metadata=ASIDE, default=None)


def _proxy(_stage: Stage, memory: int) -> Resources:
    return Resources(memory, gpus=1)


def _train(stage: Stage, memory: int) -> Resources:
    processes = spec_of(stage, Training).train["processes"]
    return Resources(processes * memory, processes, processes)


KINDS = (
    StageKind("swarm", f"{PROXIES}:swarm", None, spec=Swarm),
    StageKind("proxy", f"{PROXIES}:proxy", None, holds=None, asks=_proxy, packages=("torch",), spec=Proxy),
    StageKind("losses", f"{PROXIES}:losses", "swarm"),
    StageKind(
        "train", "corpuskit.loops.training:train", None, holds=None, asks=_train, packages=("torch",), spec=Training
    ),
)
