"""The verb `export`."""

from __future__ import annotations

import argparse
from typing import Any

from corpuskit.cli.options import answer


def export(options: argparse.Namespace) -> None:
    """Write a run in the format of another tool."""
    from corpuskit.exports.export import export
    from corpuskit.store.root import Root

    record = export(Root(options.root), options.format, options.to)
    answer(options, _said(record), record)


def _said(record: dict[str, Any]) -> str:
    from corpuskit.core.tables import size, table

    numbers = [
        name for name in ("sequences", "documents", "tokens", "bytes") if any(name in row for row in record["counts"])
    ]
    total = {name: sum(row.get(name, 0) for row in record["counts"]) for name in numbers}
    rows = [
        [row["split"], row["domain"], *(f"{row[name]:,}" if name in row else "" for name in numbers)]
        for row in [*record["counts"], {"split": "all", "domain": "", **total}]
    ]
    files, occupied = len(record["files"]), size(sum(record["files"].values()))
    how = ", ".join(f"{record[what]} {what}" for what in ("linked", "copied", "written"))
    end = f"{record['to']}: {files} files of {occupied} ({how})"
    if not record["new"]:
        end = f"{record['to']} holds this export already; nothing was written"
    return "\n".join([table(["split", "domain", *numbers], rows, right=range(2, 2 + len(numbers))), end])
