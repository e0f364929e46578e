"""Comma- and tab-separated tables with a header line."""

from __future__ import annotations

import csv as tables
from collections.abc import Iterator
from typing import Any

from corpuskit.core import step
from corpuskit.core.step import Bad, Skip
from corpuskit.errors import UsageError, did_you_mean
from corpuskit.sources.base import SourceFile
from corpuskit.sources.fields import ColumnType, declared
from corpuskit.sources.jsonl import UTF8_BOM, UTF16_BOMS
from corpuskit.sources.lines import lines, too_large

_TRUTH = {"true": True, "1": True, "false": False, "0": False}


@step.source(columns=declared)
def csv(
    file: SourceFile,
    *,
    text: str = "text",
    columns: dict[str, ColumnType] = {},  # noqa: B006 - never changed
    delimiter: str = ",",
) -> Iterator[dict[str, Any] | Bad | Skip]:
    r"""Read a table with a header line; quoted fields may hold line breaks.

    Args:
        file: what to read, plain or compressed; UTF-8.
        text: column that holds the text.
        columns: columns to keep as typed columns; an empty cell is null. All others go to `meta`.
        delimiter: one character; "\t" for tab-separated.

    Raises:
        UsageError: a column that the header does not name. InputError: UTF-16, or damaged compression.
    """
    source = _Lines(file)
    # process-wide in the standard library; max_doc_bytes is that as well
    tables.field_size_limit(max(tables.field_size_limit(), file.max_doc_bytes))
    reader = tables.reader(source, delimiter=delimiter, strict=True)
    header = next(reader, None)
    if header is None:
        return
    for name in (text, *columns):
        if name not in header:
            msg = f"{file.path}: the header (line 1) names no column `{name}`"
            raise UsageError(msg, did_you_mean(name, header) or f"columns: {', '.join(header)}")
    while True:
        where = f"line {source.number + 1}"
        try:
            row = next(reader, None)
        except (tables.Error, _LongLine) as error:
            yield Bad(str(error), where)
            continue
        if row is None:
            return
        if row:
            file.raw_record = row
            yield _document(row, header, text, columns, where, file.max_doc_bytes)


class _LongLine(Exception):
    """A line that is not held in memory."""


class _Lines:
    """Decoded lines for the csv module; goes on after a line that is too long."""

    def __init__(self, file: SourceFile) -> None:
        self.number = 0
        self._file = file
        self._lines = lines(file.chunks(), file.max_doc_bytes)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        _, line = next(self._lines)
        self.number += 1
        if line is None:
            raise _LongLine(too_large(self._file.max_doc_bytes))
        if self.number == 1:
            if line.startswith(UTF16_BOMS):
                raise self._file.damaged(
                    "the text is UTF-16, not UTF-8 (line 1, byte 0)",
                    f"convert it once: iconv -f UTF-16 -t UTF-8 {self._file.path} > utf8.csv",
                )
            line = line.removeprefix(UTF8_BOM)
        return line.decode("utf-8", "surrogateescape") + "\n"


def _document(
    row: list[str], header: list[str], text: str, columns: dict[str, ColumnType], where: str, limit: int
) -> dict[str, Any] | Bad:
    if len(row) != len(header):
        return Bad(f"{len(row)} cells, but the header names {len(header)} columns", where)
    try:
        size = len("\n".join(row).encode())
    except UnicodeEncodeError:
        return Bad("invalid UTF-8", where)
    if size > limit:
        return Bad(too_large(limit), where)
    cells = dict(zip(header, row, strict=True))
    document: dict[str, Any] = {"text": cells.pop(text)}
    for name, kind in columns.items():
        cell = cells.pop(name)
        try:
            document[name] = _typed(cell, kind) if cell else None
        except (ValueError, KeyError):
            return Bad(f"`{name}` is {cell[:40]!r}, not {kind}", where)
    if cells:
        document["meta"] = cells
    return document


def _typed(cell: str, kind: ColumnType) -> str | int | float | bool:
    if kind == "int64":
        return int(cell)
    if kind == "float64":
        return float(cell)
    return _TRUTH[cell.lower()] if kind == "bool" else cell
