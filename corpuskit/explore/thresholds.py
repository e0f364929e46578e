"""Signals and the limits that rules set on them: how values are spread, and what another limit would drop.

Values are counted exactly. Only where bins lie and which other limits are tried comes from a sample, a fixed one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from corpuskit.core.kinds import spec_of
from corpuskit.core.plan import Plan
from corpuskit.core.sql import limits_of
from corpuskit.documents.kinds import Segment
from corpuskit.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    import duckdb

BINS = 60
SAMPLE = 20_000
"""Documents from whose values bins and other limits are chosen."""

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)
"""What other limits should drop, of the documents kept."""

LOGARITHMIC = 100
"""From this ratio of high values to low ones on, all positive, bins are equally wide on a logarithmic scale."""

NUMBERS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "FLOAT",
    "DOUBLE",
)
OPERATORS = (">=", ">", "<=", "<")


@dataclass(frozen=True)
class Limit:
    """A condition `column operator value` of a rule, in the domains that the rule applies to."""

    rule: str
    column: str
    operator: str
    value: float
    domains: tuple[str, ...]


@dataclass(frozen=True)
class Histogram:
    """How a signal is spread over the documents whose values are stored.

    Attributes:
        edges: float[BINS + 1], of the bins. log: whether bins are equally wide on a logarithmic scale.
        kept, here, elsewhere: int[BINS + 2], documents of the corpus, of those dropped by a rule that sets a limit on
            this signal, and by other rules; the first and the last number count what lies outside the edges.
        missing: documents of the corpus without a value.
    """

    edges: list[float]
    log: bool
    kept: list[int]
    here: list[int]
    elsewhere: list[int]
    missing: int

    def as_json(self) -> dict[str, Any]:
        """All attributes."""
        return asdict(self)


@dataclass(frozen=True)
class Move:
    """Another limit, and what it would drop of the documents that are kept."""

    value: float
    documents: int
    share: float


def limits(plan: Plan) -> list[Limit]:
    """The limits that the rules of a plan set on single columns, in the order of the rules."""
    found: dict[tuple[str, str, str, float], set[str]] = {}
    for stage in plan.stages.values():
        if stage.kind != "segment":
            continue
        spec = spec_of(stage, Segment)
        for step in spec.steps:
            if step["step"] == "where":
                for limit in limits_of(step["params"]["expr"]):
                    found.setdefault((step["rule"], *limit), set()).add(spec.domain)
    return [Limit(*key, tuple(sorted(domains))) for key, domains in found.items()]


def signals(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """The columns of numbers that documents have, in the order of the view."""
    described = cursor.execute("DESCRIBE signals").fetchall()
    return [name for name, kind, *_ in described if kind in NUMBERS and name != "doc"]


def column(cursor: duckdb.DuckDBPyConnection, name: str) -> str:
    """A signal as an identifier of SQL.

    Raises:
        UsageError: there is no such signal.
    """
    known = signals(cursor)
    found = name if name in known else next((one for one in known if one.lower() == name.lower()), None)
    if found is None:
        raise UsageError(f"there is no signal `{name}`", did_you_mean(name, known) or f"signals: {', '.join(known)}")
    return quoted(found)


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def histogram(cursor: duckdb.DuckDBPyConnection, name: str, set_by: Sequence[Limit]) -> Histogram | None:
    """How a signal is spread; None if no document has a value.

    Args:
        set_by: the limits on this signal; the bins reach to all of them.
    """
    what = column(cursor, name)
    values = _sample(cursor, what, "signals")
    if not values:
        return None
    edges, log = _edges(values, [limit.value for limit in set_by])
    rules = sorted({limit.rule for limit in set_by})
    fate = "CASE WHEN rule IS NULL THEN 0 WHEN list_contains(?::VARCHAR[], rule) THEN 1 ELSE 2 END"
    scaled = f"ln({what})" if log else what
    low, high = (math.log(edge) if log else edge for edge in (edges[0], edges[-1]))
    # what equals an edge is above it, whatever rounding does
    place = f"1 + least({BINS - 1}, floor(({scaled} - {low!r}) / {(high - low) / BINS!r} + 1e-9))::INTEGER"
    place = f"CASE WHEN {what} < {edges[0]!r} THEN 0 WHEN {what} > {edges[-1]!r} THEN {BINS + 1} ELSE {place} END"
    query = f"SELECT {fate} AS fate, {place} AS place, count(*) FROM signals WHERE {what} IS NOT NULL GROUP BY ALL"
    kept, here, elsewhere = counts = [[0] * (BINS + 2) for _ in range(3)]
    for row, bin_, count in cursor.execute(query, [rules]).fetchall():
        counts[row][bin_] = count
    none = f"SELECT count(*) FROM signals WHERE rule IS NULL AND {what} IS NULL"
    return Histogram(edges, log, kept, here, elsewhere, missing=cursor.execute(none).fetchall()[0][0])


def moves(cursor: duckdb.DuckDBPyConnection, limit: Limit) -> list[Move]:
    """Stricter limits that drop about `SHARES` of the documents kept in the rule's domains, and what each drops."""
    if not _in_corpus(cursor, limit.column):
        return []
    what = column(cursor, limit.column)
    values = sorted(_sample(cursor, what, "corpus", limit.domains))
    if not values:
        return []
    upward = limit.operator in (">=", ">")
    tried: dict[float, None] = {}
    for share in SHARES:
        place = int(share * len(values))
        tried[_round(values[place] if upward else values[-1 - place])] = None
    counted = ", ".join(f"count(*) FILTER (NOT ({what} {limit.operator} {value!r}))" for value in tried)
    query = f"SELECT count(*), {counted} FROM corpus WHERE list_contains(?::VARCHAR[], domain)"
    (row,) = cursor.execute(query, [list(limit.domains)]).fetchall()
    return [
        Move(value, count, count / row[0]) for value, count in zip(tried, row[1:], strict=True) if 0 < count < row[0]
    ]


def _in_corpus(cursor: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether kept documents have a signal, which those dropped before it was computed do not."""
    return name.lower() in {row[0].lower() for row in cursor.execute("DESCRIBE corpus").fetchall()}


def _sample(
    cursor: duckdb.DuckDBPyConnection, what: str, view: str, domains: Sequence[str] | None = None
) -> list[float]:
    where = f"{what} IS NOT NULL AND isfinite({what}::DOUBLE)"
    given: list[Any] = []
    if domains is not None:
        where, given = f"{where} AND list_contains(?::VARCHAR[], domain)", [list(domains)]
    ((count,),) = cursor.execute(f"SELECT count(*) FROM {view}").fetchall()
    where = f"{where} AND hash(doc) % {max(1, count // SAMPLE)} = 0"
    found = cursor.execute(f"SELECT {what}::DOUBLE FROM {view} WHERE {where}", given).fetchall()
    return [value for (value,) in found]


def _edges(values: list[float], wanted: Sequence[float]) -> tuple[list[float], bool]:
    """Edges of the bins, without the outermost half percent on both sides, but to what is `wanted`."""
    values = sorted(values)
    outside = len(values) // 200
    low, high = min(values[outside], *wanted, math.inf), max(values[-1 - outside], *wanted, -math.inf)
    if high <= low:
        high = low + 1.0
    log = low > 0 and high / low >= LOGARITHMIC
    first, last = (math.log(end) if log else end for end in (low, high))
    if wanted:  # an edge at the first limit: a bin does not hold values of both sides
        limit, width = math.log(wanted[0]) if log else wanted[0], (last - first) / (BINS - 1)
        first = limit - math.ceil((limit - first) / width - 1e-9) * width
        last = first + BINS * width
    edges = [first + (last - first) * k / BINS for k in range(BINS + 1)]
    return [math.exp(edge) for edge in edges] if log else edges, log


def _round(value: float) -> float:
    """To three significant digits, as a person would write a limit."""
    return float(f"{value:.3g}")
