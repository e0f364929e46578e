"""Charts, drawn by plotly.js in the page: what is here says what to draw, `charts.js` in which colours.

The page holds the library, so that it needs no network. Names of users are text: plotly.js reads tags in labels.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = (Path(__file__).parent / "charts.js").read_text(encoding="utf-8")
"""Draws what `chart` describes, and again when the theme of the page changes."""

LONGEST = 36
"""Characters of a name in a chart."""

ROW = 26
"""Height of a bar with what is around it."""

Spec = dict[str, Any]


@functools.cache
def library() -> str:
    """The content of plotly.min.js, of the installed package plotly, which is not imported for it."""
    found = importlib.util.find_spec("plotly")
    assert found is not None
    assert found.origin is not None
    return (Path(found.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Axis:
    """One axis; `percent`: of shares between 0 and 1; `ends`: of its range, by default those of the values."""

    name: str
    log: bool = False
    percent: bool = False
    ends: tuple[float, float] | None = None
    zero: bool = False

    def layout(self) -> Spec:
        """As plotly.js takes it."""
        made: Spec = {"title": {"text": label(self.name)}, "type": "log" if self.log else "linear"}
        if self.percent:
            made["tickformat"] = ".0%"
        if self.log:
            made["dtick"] = 1
        if self.ends is not None:
            made["range"] = list(self.ends)
        if self.zero:
            made["rangemode"] = "tozero"
        return made


@dataclass(frozen=True)
class Series:
    """Points of one colour; `line` joins them, `dots` marks them."""

    name: str
    points: Sequence[tuple[float, float]]
    line: bool = True
    dots: bool = False


def label(text: str) -> str:
    """A name that plotly.js shows as it is, cut to `LONGEST` characters."""
    short = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def chart(data: Sequence[Spec], layout: Spec, height: int) -> str:
    """The element that `charts.js` draws in. Strings such as `--c0` are colours of the page."""
    content = json.dumps({"data": data, "layout": layout}, ensure_ascii=True).replace("<", "\\u003c")
    return f'<div class="chart" style="height:{height}px"><script type="application/json">{content}</script></div>'


def plot(x: Axis, y: Axis, series: Sequence[Series], *, marks: Sequence[float] = (), height: int = 280) -> str:
    """Series over two axes; `marks` draws vertical lines."""
    data = []
    for number, one in enumerate(series):
        mode = "lines+markers" if one.line and one.dots else "lines" if one.line else "markers"
        data.append(
            {
                "type": "scatter",
                "mode": mode,
                "name": label(one.name),
                "x": [a for a, _ in one.points],
                "y": [b for _, b in one.points],
                "line": {"color": f"--c{number % 8}", "width": 2},
                "marker": {"color": f"--c{number % 8}", "size": 7},
            }
        )
    layout = {"xaxis": x.layout(), "yaxis": y.layout(), "shapes": [_mark(value) for value in marks]}
    return chart(data, layout | {"showlegend": len(series) > 1}, height)


def stacked(rows: Sequence[tuple[str, Sequence[int]]], names: Sequence[str]) -> str:
    """One bar a row, cut into shares of its sum in the order of `names`."""
    data: list[Spec] = []
    for number, name in enumerate(names):
        counts = [counts[number] for _, counts in rows]
        if not any(counts):
            continue
        sums = [sum(counts) or 1 for _, counts in rows]
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": label(name),
                "y": list(range(len(rows))),
                "x": [count / whole for count, whole in zip(counts, sums, strict=True)],
                "customdata": counts,
                "hovertemplate": "%{customdata:,} (%{x:.2%})<extra>%{fullData.name}</extra>",
                "marker": {"color": f"--c{number % 8}"},
            }
        )
    layout = {"barmode": "stack", "xaxis": Axis("", percent=True, ends=(0, 1)).layout(), "yaxis": _names(rows)}
    return chart(data, layout | {"showlegend": True}, ROW * len(rows) + 110)


def bars(rows: Sequence[tuple[str, float]], axis: str, said: Sequence[str], *, mark: float | None = None) -> str:
    """One bar a row from zero; `said` stands beside each, `mark` is a line across all."""
    data = {
        "type": "bar",
        "orientation": "h",
        "y": list(range(len(rows))),
        "x": [value for _, value in rows],
        "text": [label(text) for text in said],
        "textposition": "auto",
        "cliponaxis": False,
        "hoverinfo": "text",
        "marker": {"color": "--c0"},
    }
    most = max([value for _, value in rows] + ([mark] if mark is not None else []), default=1)
    layout = {"xaxis": Axis(axis, ends=(0, 1.18 * (most or 1))).layout(), "yaxis": _names(rows), "showlegend": False}
    return chart([data], layout | {"shapes": [] if mark is None else [_mark(mark)]}, ROW * len(rows) + 70)


def histogram(
    edges: Sequence[float],
    stacks: Sequence[tuple[str, Sequence[int], str]],
    name: str,
    marks: Sequence[float],
    *,
    log: bool,
) -> str:
    """Counts between edges, stacked, each with its colour; `marks` draws vertical lines. `log`: the scale."""
    places = [_log(edge) for edge in edges] if log else list(edges)  # plotly.js has no widths of bars on such an axis
    data = [
        {
            "type": "bar",
            "name": label(one),
            "x": places[:-1],
            "width": [high - low for low, high in itertools.pairwise(places)],
            "offset": 0,
            "y": list(counts),
            "text": [f"{low:.4g} to {high:.4g}" for low, high in itertools.pairwise(edges)],
            "textposition": "none",
            "hovertemplate": "%{text}: %{y:,}<extra>%{fullData.name}</extra>",
            "marker": {"color": colour, "line": {"width": 0}},
        }
        for one, counts, colour in stacks
        if any(counts)
    ]
    axis = Axis(name, ends=(places[0], places[-1])).layout()
    if log:
        powers = range(math.floor(places[0]), math.ceil(places[-1]) + 1)
        ticks = [
            (power + _log(k), k * 10.0**power) for power in powers for k in ((1,) if len(powers) > 4 else (1, 2, 5))
        ]
        axis |= {"tickvals": [place for place, _ in ticks], "ticktext": [f"{value:,g}" for _, value in ticks]}
    layout = {"barmode": "stack", "bargap": 0, "xaxis": axis, "yaxis": Axis("documents").layout()}
    shapes = [_mark(_log(value) if log else value) for value in marks if value > 0 or not log]
    return chart(data, layout | {"showlegend": True, "shapes": shapes}, 260)


def _names(rows: Sequence[tuple[str, Any]]) -> Spec:
    """The axis of bars, which stand at 0, 1, ... downwards: two names may look the same when they are cut."""
    made = {"tickvals": list(range(len(rows))), "ticktext": [label(name) for name, _ in rows]}
    return made | {"autorange": "reversed", "ticklabelstandoff": 6, "showgrid": False, "zeroline": False}


def _mark(value: float) -> Spec:
    line = {"color": "--c4", "width": 2, "dash": "dash"}
    return {"type": "line", "x0": value, "x1": value, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _log(value: float) -> float:
    return math.log10(value)
