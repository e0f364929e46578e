"""Aligned text tables and numbers for people."""

from __future__ import annotations

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Rows of text as aligned columns; columns in `right` (numbers from 0) are flush right."""
    everything = [list(head), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in everything) for i in range(len(head))]
    lines = [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in everything
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def html(head: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str) -> str:
    """The same as HTML, for notebooks: the first column is text, the others are numbers."""
    from html import escape

    def row(cells: Sequence[str], tag: str) -> str:
        align = ("left", *("right",) * (len(cells) - 1))
        made = (f'<{tag} style="text-align:{a}">{escape(cell)}</{tag}>' for cell, a in zip(cells, align, strict=True))
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return f"<table><caption>{escape(caption)}</caption><thead>{row(head, 'th')}</thead><tbody>{body}</tbody></table>"


def size(count: float) -> str:
    """Bytes as a short text: `1.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError
