"""One document through every step of a recipe, with values and reasons: what `corpuskit peek` shows."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpuskit.arrow import set_column
from corpuskit.documents import RECORD_BITS, record_batch
from corpuskit.errors import UsageError
from corpuskit.graph import block_hash, plain
from corpuskit.pipeline import AppliedStep
from corpuskit.recipe import Recipe, Source
from corpuskit.sources.base import SourceFile
from corpuskit.sources.listing import list_files
from corpuskit.step import Bad, Skip

SHOWN = 200
"""Characters of a text that are shown before and after an edit."""


def peek(recipe: Recipe, what: str) -> str:
    """Show the document `FILE` or `FILE#row` (row: number of the raw record, from 0; default the first document).

    Raises:
        UsageError: no source of the recipe reads the file, or it has no such record.
    """
    name, _, number = what.partition("#")
    source, file = _find(recipe, name)
    if number and not number.isdigit():
        raise UsageError(f"`#{number}` is no record number", f"corpuskit peek {recipe.path} {name}#0")
    wanted = int(number) if number else None
    row, record = _record(recipe, source, file, wanted)
    lines = [f"{file.path}#{row}", f"source {source.name}, domain {source.domain}, read: {source.read}"]
    if isinstance(record, Bad):
        return "\n".join([*lines, f"unreadable: {record.where} {record.reason}"])
    if isinstance(record, Skip):
        return "\n".join([*lines, f"no document: {record.reason}"])
    if not record["text"].strip():
        return "\n".join([*lines, "empty"])
    # as in a run, but for the later ranges of a large plain file, whose records are not numbered from its start
    block, place = divmod(row, 1 << RECORD_BITS)
    record["doc"] = block_hash(recipe.salt, source.name, file.relative, block) | place
    batch = record_batch([record], source.step.output_columns(source.params), source.domain)
    for column in batch.schema.names[3:]:
        value = batch.column(column)[0].as_py()
        if value is not None:
            lines.append(f"  {column}: {_short(value)}")
    lines.append(f"  text ({len(record['text']):,} characters): {_short(record['text'])}")
    return "\n".join(lines + _steps(recipe, source, batch))


def _steps(recipe: Recipe, source: Source, batch: pa.RecordBatch) -> list[str]:
    lines = []
    signals: set[str] = set()
    for call in recipe.steps:
        if call.only is not None and source.domain not in call.only:
            continue
        if call.step.kind == "barrier" or call.step.summarizes(call.params):
            lines.append(f"- {call.name}: needs the whole corpus; see `corpuskit stats` after a run")
            continue
        if call.step.trains(call.params):
            lines.append(f"- {call.name}: needs the model that `corpuskit run` trains")
            continue
        described = {
            "reference": call.reference,
            "params": plain(call.params),
            "name": call.name,
            "identity": call.step.fingerprint(call.params),
            "hidden": [] if call.step.reads else sorted(signals),
            "signal": None,
            "state": None,
        }
        one = AppliedStep(described, recipe.base)
        if one.step.kind == "signal":
            columns = one.columns(batch)
            signals |= columns.keys()
            for column, values in columns.items():
                batch = set_column(batch, column, values)
                lines.append(f"- {call.name}: {column} = {_short(values[0].as_py())}")
        elif one.step.kind == "edit":
            before = batch.column("text")[0].as_py()
            batch = one.edited(batch)
            after = batch.column("text")[0].as_py()
            lines.append(f"- {call.name}: " + ("unchanged" if before == after else f"text is now: {_short(after)}"))
        else:
            mask, reasons = one.mask(batch)
            reason = reasons[0].as_py() if reasons is not None else None
            if not mask[0]:
                lines.append(f"- {call.name}: DROPPED" + (f" ({reason})" if reason else ""))
                return lines
            lines.append(f"- {call.name}: kept")
    return [*lines, "reaches the end of the steps"]


def _find(recipe: Recipe, name: str) -> tuple[Source, SourceFile]:
    wanted = Path(name).resolve()
    for source in recipe.sources.values():
        for file in list_files(source.path, recipe.base):
            if file.path == name or Path(file.path).resolve() == wanted or file.relative == name:
                return source, SourceFile(file.path, file.relative, None, None, recipe.max_doc_bytes)
    raise UsageError(f"no source of {recipe.path} reads {name}", "give a file that a `path:` of the recipe matches")


def _record(recipe: Recipe, source: Source, file: SourceFile, wanted: int | None) -> tuple[int, Any]:
    number = -1
    for number, record in enumerate(source.step.function(dataclasses.replace(file), **source.params)):
        if number == wanted or (wanted is None and isinstance(record, dict)):
            return number, record
    raise UsageError(
        f"{file.path} has {number + 1} record(s)" + ("" if wanted is None else f", so no #{wanted}"),
        f"corpuskit peek {recipe.path} {file.path}#0",
    )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else f"{value:.6g}" if isinstance(value, float) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[:SHOWN] + " …"
