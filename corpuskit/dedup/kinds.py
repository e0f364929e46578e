"""The kinds of stages of `exact`, `minhash` and `lines`."""

from __future__ import annotations

from collections.abc import Callable

from corpuskit.core.kinds import DOCUMENT, Flow, StageKind
from corpuskit.core.plan import Stage

LINE = 200
"""Bytes of text for each line that `lines` hashes, on average."""

CUT = 0.3
"""Share of these lines that is cut."""


def _signatures(stage: Stage, flow: Flow) -> float:
    # id, lengths, hash and the entry of `exact`: 44; an entry of 12 for each band
    params = stage.spec["minhash"]
    return flow.through(stage) / DOCUMENT * float(44 + 4 * params["permutations"] + 12 * params["bands"])


def _compared(bytes_: int) -> Callable[[Stage, Flow], float]:
    """So many bytes for a document that dedup sees: as if half of them went, and each had one candidate."""

    def disk(stage: Stage, flow: Flow) -> float:
        seen = flow.compared if stage.run.get("finished") else flow.text / DOCUMENT
        return seen * bytes_

    return disk


def _decide(stage: Stage, flow: Flow) -> float:
    return flow.through(stage) / DOCUMENT * 5


def _lines(stage: Stage, flow: Flow) -> float:
    # a hash of 16 bytes and a place of 8 for each line, the id of each document
    return flow.through(stage) / LINE * 24 + flow.through(stage) / DOCUMENT * 8


def _repeated(_stage: Stage, flow: Flow) -> float:
    return flow.text / LINE / 8


def _repeats(stage: Stage, flow: Flow) -> float:
    return flow.through(stage) / LINE * CUT * 8


KINDS = (
    StageKind("signatures", "corpuskit.dedup.signatures:signatures", disk=_signatures),
    StageKind("rank", "corpuskit.dedup.rank:rank", disk=_compared(8)),
    StageKind("exact", "corpuskit.dedup.exact:exact", disk=_compared(4)),
    StageKind("bands", "corpuskit.dedup.bands:bands", disk=_compared(8)),
    StageKind("verify", "corpuskit.dedup.verify:verify", disk=_compared(32)),
    StageKind("choose", "corpuskit.dedup.choose:choose", disk=_compared(18)),
    StageKind(
        "decide",
        "corpuskit.dedup.decide:decide",
        disk=_decide,
        barriers=("exact", "minhash"),
        applied="corpuskit.dedup.applied:Removed",
    ),
    StageKind("duplicates", "corpuskit.dedup.evidence:duplicates", disk=_compared(6)),
    StageKind("lines", "corpuskit.dedup.lines:lines", disk=_lines),
    StageKind("repeated", "corpuskit.dedup.lines:repeated", disk=_repeated),
    StageKind(
        "repeats",
        "corpuskit.dedup.lines:repeats",
        disk=_repeats,
        barriers=("lines",),
        applied="corpuskit.dedup.lines:Cut",
    ),
)
