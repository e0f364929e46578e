"""The kinds of stages of `exact`, `minhash`, `lines` and `substrings`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from corpuskit.core.flow import Flow
from corpuskit.core.kinds import Barrier, StageKind, constant, spec_of
from corpuskit.core.plan import Stage
from corpuskit.core.spec import ASIDE, Spec
from corpuskit.documents.kinds import Reading
from corpuskit.steps.lsh import Minhash

LINE = 200
"""Bytes of text for each line that `lines` hashes, on average."""

CUT = 0.3
"""Share of these lines that is cut."""

SHARED = 0.15
"""Share of a text that stands near an anchor that another document has too."""


@dataclass(frozen=True, kw_only=True)
class Sketched(Reading):
    """What `signatures` is told.

    Attributes:
        minhash: as the step returned it, without its bands and what is done with pairs.
    """

    version: ClassVar[int] = 3
    minhash: dict[str, Any]
    apply: list[dict[str, Any]] = field(default_factory=list)

    @property
    def params(self) -> Minhash:
        """With any values for bands and what is done with pairs, which play no part in a signature."""
        others = {"threshold": 1.0, "bands": 0, "rows": 0, "verify": "none", "choose": "priority"}
        return Minhash.parse(others | self.minhash)


@dataclass(frozen=True)
class Banded(Spec):
    """What `buckets` is told: the bands of a signature, and the domain if only its documents are compared."""

    bands: int
    rows: int
    scope: str
    domain: str


@dataclass(frozen=True)
class Source:
    """A source as stages see it.

    Attributes:
        source, domain: names.
        priority: 0 for a finished corpus, else one more than the domain's place in the user's `keep` list.
        root: of the finished corpus, as the recipe names it; None for documents of this build.
    """

    source: str
    domain: str
    priority: int
    root: str | None = None


@dataclass(frozen=True)
class Compared(Spec):
    """What the stages over all documents are told.

    Attributes:
        minhash: as the step returned it. sources: in the order in which their documents are numbered.
        finished: the files of each source that is a finished corpus.
    """

    version: ClassVar[int] = 3
    minhash: dict[str, Any]
    sources: tuple[Source, ...]
    finished: dict[str, list[str]] = field(metadata=ASIDE, default_factory=dict)

    @property
    def params(self) -> Minhash:
        """The parameters that results depend on."""
        return Minhash.parse(self.minhash)


@dataclass(frozen=True)
class Evidence(Spec):
    """What `duplicates` is told: the stages that chose, in the order of the steps, and the segments behind them."""

    version: ClassVar[int] = 2
    choices: list[str]
    segments: list[str]


@dataclass(frozen=True)
class Hashed(Spec):
    """What `lines` is told: what is hashed, and the domain if lines are compared within it alone."""

    unit: Any
    min_chars: int
    domain: str | None = None


@dataclass(frozen=True)
class Repeated(Spec):
    """What `repeated` is told.

    Attributes:
        documents: in how many a line must be, and `keep`: how many keep it. sources: labels of the stages `lines`.
    """

    documents: int
    keep: int
    sources: list[str]


@dataclass(frozen=True)
class Repeats(Spec):
    """What `repeats` is told: the label under which `repeated` knows its source."""

    lines: str


@dataclass(frozen=True)
class Anchored(Spec):
    """What `anchors` and `windows` are told: the bytes of a window."""

    length: int


def _signatures(stage: Stage, flow: Flow) -> float:
    # id, lengths, hash and the entry of `exact`: 44
    return flow.documents(stage) * float(44 + 4 * spec_of(stage, Sketched).params.permutations)


def _buckets(stage: Stage, flow: Flow) -> float:
    return flow.documents(stage) * float(12 * spec_of(stage, Banded).bands)


def _compared(bytes_: int) -> Callable[[Stage, Flow], float]:
    """So many bytes for a document that dedup sees: as if half of them went, and each had one candidate."""

    def disk(stage: Stage, flow: Flow) -> float:
        return flow.documents(stage) * bytes_

    return disk


def _decide(stage: Stage, flow: Flow) -> float:
    return flow.documents(stage) * 5


def _lines(stage: Stage, flow: Flow) -> float:
    # a hash of 16 bytes and a place of 8 for each line, the id of each document
    return flow.through(stage) / LINE * 24 + flow.documents(stage) * 8


def _repeated(stage: Stage, flow: Flow) -> float:
    return flow.through(stage) / LINE / 8


def _repeats(stage: Stage, flow: Flow) -> float:
    return flow.through(stage) / LINE * CUT * 8


def _anchors(stage: Stage, flow: Flow) -> float:
    # two anchors in half a window, and a byte
    density = 2 / (spec_of(stage, Anchored).length // 2 + 2)
    return flow.through(stage) * density * 24 + flow.documents(stage) * 8


def _windows(stage: Stage, flow: Flow) -> float:
    return flow.through(stage) * SHARED * 24 + flow.documents(stage) * 8


def _recurring(stage: Stage, flow: Flow) -> float:
    return flow.through(stage) * SHARED * CUT * 8


def _ranked(stage: Stage, flow: Flow, memory: int) -> float:
    return (30 << 20) + min(memory / 2, flow.documents(stage) * 96)


def _entries(stage: Stage, flow: Flow, memory: int) -> float:
    # a bit for each document; a partition of the entries, 48 bytes each, and pairs that are sorted
    bands = spec_of(stage, Compared).params.bands if stage.kind == "bands" else 1
    here = flow.documents(stage) * max(1, bands) * 48 / len(stage.units)
    return (20 << 20) + flow.documents(stage) / 8 + min(memory / 2, here)


def _sets(stage: Stage, flow: Flow, memory: int) -> float:
    # the shingles of a sixth of the texts, 8 bytes each; a quarter of the memory is what sets may take
    each = 1 if spec_of(stage, Compared).params.unit == "char" else 6
    return (30 << 20) + min(memory / 4, flow.through(stage) / each * 8 / 6 / len(stage.units))


def _chosen(stage: Stage, flow: Flow, memory: int) -> float:
    return (60 << 20) + flow.documents(stage) / 8 + min(memory / 4, flow.documents(stage) * 48)


def _searched(stage: Stage, flow: Flow, memory: int) -> float:
    # 115 bytes for each line at work, of which there are so many that they take less than half of the memory
    return (40 << 20) + min(memory / 2, flow.through(stage) / LINE * 115 / len(stage.units))


KINDS = (
    StageKind(
        "signatures", "corpuskit.dedup.signatures:signatures", disk=_signatures, holds=constant(60), spec=Sketched
    ),
    StageKind("buckets", "corpuskit.dedup.signatures:buckets", disk=_buckets, spec=Banded),
    StageKind("rank", "corpuskit.dedup.rank:rank", disk=_compared(16), holds=_ranked, spec=Compared),
    StageKind("exact", "corpuskit.dedup.exact:exact", disk=_compared(4), holds=_entries, spec=Compared),
    StageKind("bands", "corpuskit.dedup.bands:bands", disk=_compared(8), holds=_entries, spec=Compared),
    StageKind("verify", "corpuskit.dedup.verify:verify", disk=_compared(32), holds=_sets, spec=Compared),
    StageKind("choose", "corpuskit.dedup.choose:choose", disk=_compared(18), holds=_chosen, spec=Compared),
    StageKind("decide", "corpuskit.dedup.decide:decide", disk=_decide),
    StageKind("duplicates", "corpuskit.dedup.evidence:duplicates", disk=_compared(6), holds=_chosen, spec=Evidence),
    StageKind("lines", "corpuskit.dedup.lines:lines", disk=_lines, holds=constant(80), spec=Hashed),
    StageKind("repeated", "corpuskit.dedup.lines:repeated", disk=_repeated, holds=_searched, spec=Repeated),
    StageKind("repeats", "corpuskit.dedup.lines:repeats", disk=_repeats, spec=Repeats),
    StageKind("anchors", "corpuskit.dedup.substrings:anchors", disk=_anchors, spec=Anchored),
    StageKind("windows", "corpuskit.dedup.substrings:windows", disk=_windows, spec=Anchored),
    StageKind("recurring", "corpuskit.dedup.lines:repeats", disk=_recurring, spec=Repeats),
)

PLANNING, REMOVED = "corpuskit.dedup.planning:deduplicate", "corpuskit.dedup.applied:Removed"

BARRIERS = (
    Barrier("exact", PLANNING, REMOVED, only_removes=True),
    Barrier("minhash", PLANNING, REMOVED, only_removes=True),
    Barrier("lines", "corpuskit.dedup.lines_planning:lines", "corpuskit.dedup.cut:CutLines"),
    Barrier("substrings", "corpuskit.dedup.substrings_planning:substrings", "corpuskit.dedup.substrings:CutSpans"),
)
