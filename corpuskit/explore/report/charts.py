"""Charts of the report as inline SVG: no script, colours from the page's style, values as tooltips."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from corpuskit.explore.report.page import COLOURS

LEFT, RIGHT, TOP, BOTTOM = 64, 16, 12, 40
BAR, ROW = 18, 28


@dataclass(frozen=True)
class Axis:
    """One axis: the range of its values, where its labels stand, and how they read."""

    name: str
    low: float
    high: float
    ticks: Sequence[float]
    log: bool = False
    label: Callable[[float], str] = lambda value: f"{value:,g}"

    def place(self, value: float) -> float:
        """0 at `low`, 1 at `high`."""
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return (value - low) / (high - low) if high > low else 0.5


def axis(
    name: str,
    values: Sequence[float],
    *,
    zero: bool = False,
    exact: bool = False,
    label: Callable[[float], str] | None = None,
) -> Axis:
    """A linear axis over the values, with a few round labels; it ends at a label, or (`exact`) at the last value."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    low = 0.0 if zero else low
    high = high if high > low else low + 1.0
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step = next(step * k for k in (1, 2, 2.5, 5, 10) if (high - low) / (step * k) <= 5)
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = [round(k * step, 12) for k in range(first, last + 1)]
    end = high if exact else ticks[-1]
    return Axis(
        name, ticks[0], end, [tick for tick in ticks if tick <= end], label=label or (lambda value: f"{value:,g}")
    )


def log_axis(name: str, values: Sequence[float]) -> Axis:
    """A logarithmic axis over positive values, a label at each power of ten."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = high if high > low else low + 1
    return Axis(name, 10.0**low, 10.0**high, [10.0**k for k in range(low, high + 1)], log=True)


@dataclass(frozen=True)
class Series:
    """Points of one colour; `line` joins them, `dots` marks them."""

    name: str
    points: Sequence[tuple[float, float]]
    line: bool = True
    dots: bool = False


def plot(
    x: Axis, y: Axis, series: Sequence[Series], *, width: int = 480, height: int = 260, mark: float | None = None
) -> str:
    """Series over two axes; `mark` draws a vertical line at one x."""
    inner_width, inner_height = width - LEFT - RIGHT, height - TOP - BOTTOM

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return LEFT + x.place(point[0]) * inner_width, TOP + (1 - y.place(point[1])) * inner_height

    drawn = []
    for value in y.ticks:
        _, top = at((x.low, value))
        drawn.append(f'<line x1="{LEFT}" x2="{width - RIGHT}" y1="{top:.1f}" y2="{top:.1f}" stroke="var(--grid)"/>')
        drawn.append(f'<text x="{LEFT - 8}" y="{top + 4:.1f}" text-anchor="end">{escape(y.label(value))}</text>')
    for value in x.ticks:
        left, _ = at((value, y.low))
        drawn.append(
            f'<text x="{left:.1f}" y="{height - BOTTOM + 18}" text-anchor="middle">{escape(x.label(value))}</text>'
        )
    drawn.append(
        f'<text x="{LEFT + inner_width / 2:.0f}" y="{height - 4}" text-anchor="middle">{escape(x.name)}</text>'
    )
    if mark is not None:
        left, _ = at((mark, y.low))
        line = f'x1="{left:.1f}" x2="{left:.1f}" y1="{TOP}" y2="{height - BOTTOM}"'
        drawn.append(f'<line {line} stroke="var(--muted)" stroke-dasharray="3 3"/>')
    for number, one in enumerate(series):
        drawn.append(_series(one, f"var(--c{number % 8})", [at(point) for point in one.points], x, y))
    return _svg(width, height, drawn, f"{y.name} by {x.name}")


def _series(one: Series, colour: str, places: Sequence[tuple[float, float]], x: Axis, y: Axis) -> str:
    drawn = ""
    if one.line and len(places) > 1:
        path = " ".join(f"{left:.1f},{top:.1f}" for left, top in places)
        drawn += f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>'
    if one.dots or len(places) == 1:
        for (left, top), (a, b) in zip(places, one.points, strict=True):
            said = escape(f"{one.name} {x.name} {x.label(a)}, {y.name} {y.label(b)}".strip())
            drawn += f'<circle cx="{left:.1f}" cy="{top:.1f}" r="4" fill="{colour}"><title>{said}</title></circle>'
    return drawn


def stacked(rows: Sequence[tuple[str, Sequence[int]]], names: Sequence[str], *, width: int = 900) -> str:
    """One bar a row, cut into shares of its sum in the order of `names`; the legend of the figure names the colours."""
    left = _label_width([label for label, _ in rows])
    inner = width - left - RIGHT
    drawn = []
    for number, (label, counts) in enumerate(rows):
        top, whole, done = number * ROW + 4, sum(counts), 0
        drawn.append(_label(left, top, label))
        for k, count in enumerate(counts):
            if count:
                start, length = left + inner * done / whole, inner * count / whole
                said = escape(f"{label}: {names[k]} {count:,} ({100 * count / whole:.2f} %)")
                box = f'x="{start:.1f}" y="{top}" width="{max(length - 2, 0.5):.1f}" height="{BAR}"'
                drawn.append(f'<rect {box} fill="var(--c{k % 8})"><title>{said}</title></rect>')
                done += count
    return _svg(width, len(rows) * ROW + 4, drawn, "shares")


def bars(rows: Sequence[tuple[str, float]], label: Callable[[float], str], *, width: int = 900) -> str:
    """One bar a row from zero, its value at its end."""
    left, right = _label_width([name for name, _ in rows]), 96
    most = max((value for _, value in rows), default=0) or 1
    inner = width - left - right
    drawn = []
    for number, (name, value) in enumerate(rows):
        top, length = number * ROW + 4, inner * value / most
        drawn.append(_label(left, top, name))
        drawn.append(
            f'<rect x="{left}" y="{top}" width="{max(length, 0.5):.1f}" height="{BAR}" rx="2" fill="var(--c0)"/>'
        )
        drawn.append(f'<text class="ink" x="{left + length + 8:.1f}" y="{top + 13}">{escape(label(value))}</text>')
    return _svg(width, len(rows) * ROW + 4, drawn, "bars")


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


def heat(names: Sequence[str], counts: dict[tuple[str, str], int]) -> str:
    """A table of counts by row and column name, shaded by their logarithm."""
    most = math.log1p(max(counts.values(), default=1)) or 1.0
    head = "".join(f'<th class="right">{escape(name)}</th>' for name in names)
    rows = ""
    for name in names:
        cells = ""
        for column in names:
            count = counts.get((name, column), 0)
            shade = round(45 * math.log1p(count) / most)
            style = f"background:color-mix(in srgb, var(--c0) {shade}%, transparent)"
            cells += f'<td class="right" style="{style}">{count:,}</td>'
        rows += f"<tr><td>{escape(name)}</td>{cells}</tr>"
    return f'<div class="scroll"><table><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def short(value: float) -> str:
    """A count for an axis: 1.5M."""
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"


def _label_width(labels: Sequence[str]) -> int:
    return min(260, 20 + 7 * max((len(label) for label in labels), default=0))


def _label(left: int, top: int, text: str) -> str:
    return f'<text x="{left - 10}" y="{top + 13}" text-anchor="end">{escape(text)}</text>'


def _svg(width: int, height: int, drawn: Sequence[str], name: str) -> str:
    box = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg {box} role="img" aria-label="{escape(name)}">{"".join(drawn)}</svg>'
