"""Each signal as a histogram with the limits that rules set on it, and what moving them would drop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import duckdb

from corpuskit.core.plan import Plan
from corpuskit.explore import thresholds, views
from corpuskit.explore.report import charts
from corpuskit.explore.report.page import figure, folded, paragraph
from corpuskit.store.root import Root

MOST = 40
"""Signals that are drawn."""


def section(root: Root, plan: Plan) -> str:
    """The section: signals with a limit first, the others folded."""
    limits = thresholds.limits(plan)
    with views.said(root), contextlib.closing(views.connect(root, names=["signals"])) as cursor:
        named = thresholds.signals(cursor)
        limited = [name for name in named if any(limit.column.lower() == name.lower() for limit in limits)]
        others = [name for name in named if name not in limited]
        drawn = {name: _signal(cursor, name, limits) for name in [*limited, *others][:MOST]}
    said = _side(drawn[name] for name in limited if name in drawn)
    rest = _side(drawn[name] for name in others if name in drawn)
    return said + (folded("Signals without a limit", rest) if rest else "")


def _side(drawn: Iterable[str]) -> str:
    content = "".join(one for one in drawn if one)
    return f'<div class="side">{content}</div>' if content else ""


def _signal(cursor: duckdb.DuckDBPyConnection, name: str, limits: list[thresholds.Limit]) -> str:
    mine = [limit for limit in limits if limit.column.lower() == name.lower()]
    found = thresholds.histogram(cursor, name, mine)
    if found is None:
        return ""
    inner = [
        ("kept", found.kept[1:-1], "--c0"),
        ("dropped by a rule on this signal", found.here[1:-1], "--c2"),
        ("dropped by other rules", found.elsewhere[1:-1], "--grid"),
    ]
    drawn = charts.histogram(found.edges, inner, name, [limit.value for limit in mine], log=found.log)
    below, above = (found.kept[k] + found.here[k] + found.elsewhere[k] for k in (0, -1))
    outside = f"; {below:,} below and {above:,} above are not drawn" if below or above else ""
    said = figure(f"{name}{outside}", drawn)
    return f"<div>{said}{''.join(_moves(cursor, limit) for limit in mine)}</div>"


def _moves(cursor: duckdb.DuckDBPyConnection, limit: thresholds.Limit) -> str:
    found = [
        f"to {move.value:,g} drops {100 * move.share:.3g} % ({move.documents:,})"
        for move in thresholds.moves(cursor, limit)
    ]
    text = f"{limit.rule}: {limit.column} {limit.operator} {limit.value:,g} in {', '.join(limit.domains)}."
    return paragraph(f"{text} Moving it {'; '.join(found)} of the documents kept." if found else text, "muted")
