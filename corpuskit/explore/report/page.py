"""The page of the report: its style, and the few elements it is made of. Text goes in as text and is escaped here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from corpuskit.explore.report.charts import SCRIPT, library

COLOURS = """
:root { color-scheme: light dark;
  --surface: #fcfcfb; --panel: #f4f3ef; --ink: #0b0b0b; --muted: #52514e; --grid: #e1e0d9;
  --c0: #2a78d6; --c1: #1baf7a; --c2: #eda100; --c3: #4a3aa7;
  --c4: #e34948; --c5: #e87ba4; --c6: #eb6834; --c7: #008300; }
@media (prefers-color-scheme: dark) { :root {
  --surface: #1a1a19; --panel: #242422; --ink: #ffffff; --muted: #c3c2b7; --grid: #3a3a37;
  --c0: #3987e5; --c1: #199e70; --c2: #c98500; --c3: #9085e9;
  --c4: #e66767; --c5: #d55181; --c6: #d95926; --c7: #2f9e2f; } }
@media print { :root { color-scheme: light;
  --surface: #ffffff; --panel: #f4f3ef; --ink: #0b0b0b; --muted: #52514e; --grid: #e1e0d9;
  --c0: #2a78d6; --c1: #1baf7a; --c2: #eda100; --c3: #4a3aa7;
  --c4: #e34948; --c5: #e87ba4; --c6: #eb6834; --c7: #008300; } }
"""
"""Colours of pages and charts, in light, in dark and on paper."""

STYLE = (
    COLOURS.rstrip()
    + """
body { background: var(--surface); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
  max-width: 1080px; margin: 0 auto; padding: 24px 20px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 40px 0 10px; }
h3 { font-size: 15px; margin: 22px 0 8px; }
p { max-width: 75ch; }
nav a { color: var(--muted); margin-right: 14px; }
.muted, figcaption { color: var(--muted); font-size: 13px; }
.warning { border-left: 3px solid var(--c2); padding-left: 10px; margin: 6px 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: 4px 12px 4px 0; text-align: left; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th { color: var(--muted); font-weight: 500; }
th.right, td.right { text-align: right; padding: 4px 6px; }
tr.total td { font-weight: 600; }
pre, blockquote { background: var(--panel); padding: 10px 12px; margin: 6px 0; border-radius: 4px; font-size: 13px; }
pre { overflow-x: auto; }
blockquote { white-space: pre-wrap; overflow-wrap: anywhere; }
summary { cursor: pointer; color: var(--muted); }
figure { margin: 10px 0 18px; }
svg.plain { display: block; max-width: 100%; height: auto; }
svg.plain text { fill: var(--muted); font: 12px system-ui, sans-serif; }
svg.plain text.ink { fill: var(--ink); }
.legend span { margin-right: 16px; white-space: nowrap; }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 5px; }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 8px 32px; }
.side > * { min-width: 0; }
.failed { border-left: 3px solid var(--c4); padding-left: 10px; margin: 6px 0; }
nav { display: flex; flex-wrap: wrap; }
@media (max-width: 600px) { body { padding: 14px 12px 48px; } h1 { overflow-wrap: anywhere; }
  td:not(.right) { white-space: normal; } }
@media print {
  body { max-width: none; padding: 0; } nav { display: none; }
  .scroll { overflow: visible; } pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  figure, blockquote, tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
}
"""
)


POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
"""What the page may load: nothing but what is in it."""


def page(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """One HTML page: a title and sections (heading, HTML)."""
    links = "".join(f'<a href="#s{number}">{escape(name)}</a>' for number, (name, _) in enumerate(sections) if name)
    body = "".join(
        f'<section id="s{number}">' + (f"<h2>{escape(name)}</h2>" if name else "") + f"{content}</section>\n"
        for number, (name, content) in enumerate(sections)
    )
    draws = 'class="chart"' in body
    scripts = (
        "".join(
            f"<script>{text.replace('</script', '<' + chr(92) + '/script')}</script>" for text in (library(), SCRIPT)
        )
        if draws
        else ""
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1><nav>{links}</nav>\n{body}{scripts}</body></html>\n"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, last_is_total: bool = False) -> str:
    """Rows of text; all columns but the first `left` are flush right."""

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(
            f"<{tag}>{escape(cell)}</{tag}>" if number < left else f'<{tag} class="right">{escape(cell)}</{tag}>'
            for number, cell in enumerate(row)
        )

    lines = [
        ('<tr class="total">' if last_is_total and number == len(rows) - 1 else "<tr>") + cells("td", row) + "</tr>"
        for number, row in enumerate(rows)
    ]
    top = f"<thead><tr>{cells('th', head)}</tr></thead>"
    return f'<div class="scroll"><table>{top}<tbody>{"".join(lines)}</tbody></table></div>'


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


def paragraph(text: str, style: str = "") -> str:
    """A paragraph of text; `style`: muted or warning."""
    return f'<p class="{style}">{escape(text)}</p>' if style else f"<p>{escape(text)}</p>"


def heading(text: str) -> str:
    """A heading within a section."""
    return f"<h3>{escape(text)}</h3>"


def code(text: str) -> str:
    """Text as it stands."""
    return f"<pre>{escape(text)}</pre>"


def quote(text: str) -> str:
    """The beginning of a document."""
    return f"<blockquote>{escape(text)}</blockquote>"


def folded(summary: str, content: str) -> str:
    """HTML behind a line that opens it."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def figure(caption: str, content: str, legend: Sequence[str] = ()) -> str:
    """A chart with its caption, and a legend of the colours in order."""
    entries = "".join(
        f'<span><i style="background:var(--c{k % 8})"></i>{escape(name)}</span>' for k, name in enumerate(legend)
    )
    shown = f'<div class="legend muted">{entries}</div>' if legend else ""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{shown}{content}</figure>"
