"""The picture of a mixture as SVG, in a page and as a file of its own: a bar beside what it is compared to.

No script draws it: `corpuskit mix explain --plot` writes it where there is no page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from corpuskit.explore.report.page import COLOURS

BAR, ROW = 18, 28


@dataclass(frozen=True)
class Bullet:
    """A row of `bullets`: a value beside what it is compared to, and what stands at its end."""

    name: str
    value: float
    behind: float
    target: float
    limit: float
    text: str


def bullets(
    panels: Sequence[tuple[str, Sequence[Bullet]]],
    legend: tuple[str, str, str, str],
    label: Callable[[float], str],
    *,
    width: int = 900,
) -> str:
    """Panels of rows on one scale from zero: a bar on a broad pale one, a tick at the target, a dashed at the limit.

    A limit beyond all else is not drawn: it would make the rest small.

    Args:
        panels: heading and rows of each. legend: what bar, pale bar, tick and dashed tick are. label: of a value.
    """
    rows = [row for _, some in panels for row in some]
    left, right = _label_width([row.name for row in rows]), 24 + 7 * max(len(row.text) for row in rows)
    most = 1.04 * (max(max(row.value, row.behind, row.target) for row in rows) or 1)
    inner, top = width - left - right, ROW
    drawn = _bullet_legend(legend, left)
    for heading, some in panels:
        drawn.append(f'<text class="ink" x="{left}" y="{top + 17}">{escape(heading)}</text>')
        top += ROW
        for row in some:
            drawn += [_label(left, top, row.name), *_bullet(row, left, top, inner, most, legend, label)]
            drawn.append(f'<text class="ink" x="{width - right + 12}" y="{top + 13}">{escape(row.text)}</text>')
            top += ROW
    return _svg(width, top + 4, drawn, ", ".join(legend))


def _bullet(
    row: Bullet,
    left: int,
    top: int,
    inner: int,
    most: float,
    legend: Sequence[str],
    label: Callable[[float], str],
) -> list[str]:
    scale = inner / most
    values = (row.value, row.behind, row.target, row.limit)
    said = escape(f"{row.name}: " + ", ".join(f"{n} {label(v)}" for n, v in zip(legend, values, strict=True)))
    drawn = [f"<g><title>{said}</title>"]
    for value, high, colour in ((row.behind, BAR, "var(--grid)"), (row.value, 8, "var(--c0)")):
        place = f'x="{left}" y="{top + (BAR - high) / 2:g}"'
        drawn.append(f'<rect {place} width="{max(value * scale, 0.5):.1f}" height="{high}" fill="{colour}"/>')
    ticks = [(row.target, 'stroke="var(--ink)"')]
    if row.limit <= most:
        ticks.append((row.limit, 'stroke="var(--c4)" stroke-dasharray="4 2"'))
    for value, stroke in ticks:
        at = left + value * scale
        line = f'x1="{at:.1f}" x2="{at:.1f}" y1="{top - 2}" y2="{top + BAR + 2}"'
        drawn.append(f'<line {line} {stroke} stroke-width="2"/>')
    return [*drawn, "</g>"]


def _bullet_legend(names: Sequence[str], left: int) -> list[str]:
    marks = (
        '<rect x="{x}" y="8" width="18" height="8" fill="var(--c0)"/>',
        '<rect x="{x}" y="3" width="18" height="18" fill="var(--grid)"/>',
        '<line x1="{x}" x2="{x}" y1="1" y2="23" stroke="var(--ink)" stroke-width="2"/>',
        '<line x1="{x}" x2="{x}" y1="1" y2="23" stroke="var(--c4)" stroke-width="2" stroke-dasharray="4 2"/>',
    )
    drawn, place = [], left
    for mark, name in zip(marks, names, strict=True):
        drawn.append(mark.format(x=place) + f'<text x="{place + 24}" y="17">{escape(name)}</text>')
        place += 48 + 7 * len(name)
    return drawn


def standalone(chart: str) -> str:
    """A chart as a file of its own, in the light colours: viewers and editors of SVG know no variables."""
    light = dict(re.findall(r"(--\w+): (#\w+)", COLOURS.partition("@media")[0]))
    text = "text { fill: var(--muted); font: 12px system-ui, sans-serif; } text.ink { fill: var(--ink); }"
    start = '<svg xmlns="http://www.w3.org/2000/svg" '
    inside = f'<style>{text}</style><rect width="100%" height="100%" fill="var(--surface)"/>'
    head, end, rest = chart.removeprefix("<svg ").partition(">")
    return re.sub(r"var\((--\w+)\)", lambda found: light[found[1]], f"{start}{head}{end}{inside}{rest}\n")


def _label_width(labels: Sequence[str]) -> int:
    return min(260, 20 + 7 * max((len(label) for label in labels), default=0))


def _label(left: int, top: int, text: str) -> str:
    return f'<text x="{left - 10}" y="{top + 13}" text-anchor="end">{escape(text)}</text>'


def _svg(width: int, height: int, drawn: Sequence[str], name: str) -> str:
    box = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg class="plain" {box} role="img" aria-label="{escape(name)}">{"".join(drawn)}</svg>'
