"""Tables that people write: CSV in UTF-8, whose header names columns and whose first column names rows.

Spaces about cells and names are no part of them. Lines in which no cell holds anything are passed over, as spreadsheets
write them; every other line is a row, or an error with its number in the file.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpuskit.errors import UsageError


@dataclass(frozen=True)
class Row:
    """A row: the number of its first line in the file, from 1, and its cells by column."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table as it is written.

    Attributes:
        header: number of the header's line.
        corner: the header's first cell, above the names of rows.
        columns: names of the others, no two the same.
        rows: by name, in the order of the file; each has a cell for every column.
    """

    header: int
    corner: str
    columns: tuple[str, ...]
    rows: Mapping[str, Row]


def read_table(path: Path, form: str, *, exact: bool = False) -> Table:
    """Read a CSV file; a byte order mark is passed over.

    Args:
        path: the file.
        form: what it must hold, as text for the next step if it cannot be read.
        exact: keep spaces about the names of rows: they are ids of texts, which may have them.

    Raises:
        UsageError: with file and line: it cannot be read, is no UTF-8, has no header or one without commas, names a row
            or a column twice, has a row without a name, or one that is shorter or longer than the header.
    """
    lines = _lines(path, form)
    if not lines:
        raise UsageError(f"{path}: holds no line", form)
    header, (corner, *columns) = lines[0][0], [cell.strip() for cell in lines[0][1]]
    if not columns and ";" in corner:
        raise UsageError(f"{path}:{header}: the header is one cell, `{corner}`", "cells are parted by commas")
    for column in columns:
        if columns.count(column) > 1:
            raise UsageError(f"{path}:{header}: the column `{column}` stands twice in the header")
    rows: dict[str, Row] = {}
    for line, (written, *cells) in lines[1:]:
        name = written if exact else written.strip()
        if len(cells) != len(columns):
            msg = f"{path}:{line}: {len(cells) + 1} values for the {len(columns) + 1} columns of the header"
            raise UsageError(msg, "cells are parted by commas; one that holds a comma stands in double quotes")
        if not name:
            raise UsageError(f"{path}:{line}: the first cell, the name of the row, is empty")
        if name in rows:
            raise UsageError(f"{path}:{line}: `{name}` stands twice, first in line {rows[name].line}")
        rows[name] = Row(line, tuple(cell.strip() for cell in cells))
    return Table(header, corner, tuple(columns), rows)


def _lines(path: Path, form: str) -> Sequence[tuple[int, list[str]]]:
    """Numbers and cells of the lines that hold something."""
    lines, before = [], 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for cells in reader:  # a quoted cell may hold line feeds: a row's number is that of its first line
                lines.append((before + 1, cells))
                before = reader.line_num
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})", form) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: cannot be read (not UTF-8: {error.reason})", "save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise UsageError(f"{path}:{before + 1}: cannot be read ({error})", form) from error
    return [(line, cells) for line, cells in lines if "".join(cells).strip()]
