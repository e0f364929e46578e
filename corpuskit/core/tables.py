"""Aligned text tables and numbers for people."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

LEAST = 24
"""Columns of a terminal that the last, long column of a table is given at least; else it stands under the others."""


def width() -> int:
    """Columns of the terminal that is written to; 0 where it is a pipe or a file, which lines of any length suit."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), limit: int | None = None
) -> str:
    """Rows of text as aligned columns; columns in `right` (numbers from 0) are flush right.

    In a terminal that is too narrow, a last column of words is wrapped, and other columns go on below, each block with
    the first column again.

    Args:
        limit: columns of the terminal, 0 for any length; default: of the one that is written to.
    """
    everything = [list(head), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in everything) for i in range(len(head))]
    blocks = [
        _block(everything, widths, columns, right)
        for columns in _fitting(widths, width() if limit is None else limit, right)
    ]
    return "\n\n".join("\n".join(lines) for lines in blocks)


def _fitting(widths: list[int], limit: int, right: Sequence[int]) -> Iterator[list[int]]:
    """The columns of each block; shortens the last of words to what is left for it."""
    last = len(widths) - 1
    left = limit - sum(widths[:-1]) - 2 * last
    if limit and last not in right and LEAST <= left < widths[-1]:
        widths[-1] = left
    columns = [0]
    for i in range(1, last + 1):
        if limit and len(columns) > 1 and sum(widths[j] + 2 for j in [*columns, i]) - 2 > limit:
            yield columns
            columns = [0]
        columns.append(i)
    yield columns


def _block(everything: list[list[str]], widths: list[int], columns: list[int], right: Sequence[int]) -> Iterator[str]:
    for number, row in enumerate(everything):
        cells = [textwrap.wrap(row[i], widths[i]) if len(row[i]) > widths[i] else [row[i]] for i in columns]
        for line in range(max(map(len, cells))):
            parts = [cell[line] if line < len(cell) else "" for cell in cells]
            pairs = zip(parts, columns, strict=True)
            yield "  ".join(p.rjust(widths[i]) if i in right else p.ljust(widths[i]) for p, i in pairs).rstrip()
        if number == 0:
            yield "  ".join("-" * widths[i] for i in columns)


def wrapped(text: str) -> str:
    """A text whose longer lines are wrapped to the terminal, if it is written to one; what follows is set in."""
    limit = width()
    lines = text.split("\n")
    return "\n".join(_wrap(line, limit) if len(line) > limit > 0 else line for line in lines)


def _wrap(line: str, limit: int) -> str:
    margin = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.fill(
        line, limit, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )


def html(head: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str) -> str:
    """The same as HTML, for notebooks: the first column is text, the others are numbers."""
    from html import escape

    def row(cells: Sequence[str], tag: str) -> str:
        align = ("left", *("right",) * (len(cells) - 1))
        made = (f'<{tag} style="text-align:{a}">{escape(cell)}</{tag}>' for cell, a in zip(cells, align, strict=True))
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return f"<table><caption>{escape(caption)}</caption><thead>{row(head, 'th')}</thead><tbody>{body}</tbody></table>"


def counted(count: int, noun: str) -> str:
    """`1 unit`, `2,000 units`."""
    return f"{count:,} {noun}" + "s" * (count != 1)


def size(count: float) -> str:
    """Bytes as a short text: `1.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError
