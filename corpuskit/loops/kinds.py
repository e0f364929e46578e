"""The kinds of stages that launch the trainer."""

from __future__ import annotations

from corpuskit.core.kinds import StageKind

PROXIES = "corpuskit.loops.proxies"

KINDS = (
    StageKind("swarm", f"{PROXIES}:swarm", None),
    StageKind("proxy", f"{PROXIES}:proxy", None, packages=("torch",), keeps=True),
    StageKind("losses", f"{PROXIES}:losses", "swarm", keeps=True),
    StageKind("train", "corpuskit.loops.training:train", None, packages=("torch",), keeps=True),
)
