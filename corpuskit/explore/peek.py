"""One document through every step of a recipe, with values and reasons: what `corpuskit peek` shows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpuskit.core.batch import set_column
from corpuskit.core.calls import Source, StepCall
from corpuskit.core.keys import block_hash, plain
from corpuskit.core.sql import columns_of
from corpuskit.core.step import Bad, Skip
from corpuskit.core.tables import counted
from corpuskit.documents.applied import AppliedStep
from corpuskit.documents.findings import said
from corpuskit.documents.kinds import StepCall as AppliedCall
from corpuskit.documents.reading import RECORD_BITS, record_batch, text_of
from corpuskit.errors import CorpuskitError, UsageError
from corpuskit.recipe import Recipe
from corpuskit.recipe.calls import is_where
from corpuskit.sources.base import SourceFile
from corpuskit.sources.listing import list_files

SHOWN = 200
"""Characters of a text that are shown before and after an edit."""


def peek(recipe: Recipe, what: str, *, raw: bool = False) -> str:
    """Show the document `FILE` or `FILE#row`.

    Args:
        what: row is the number of the raw record, from 0; default: the first document, or the first record if none is.
        raw: show the raw record and the whole text that the reader made of it, and no steps.

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
    if raw:
        said = _whole(file.raw_record)
        lines += ["", f"--- raw record ({len(said):,} characters)", said, ""]
    if isinstance(record, Bad):
        return "\n".join([*lines, f"unreadable: {record.where} {record.reason}"])
    if isinstance(record, Skip):
        return "\n".join([*lines, f"no document: {record.reason}"])
    if not text_of(record, source.step).strip():
        return "\n".join([*lines, "empty"])
    # as in a run, but for the later ranges of a large plain file, whose records are not numbered from its start
    block, place = divmod(row, 1 << RECORD_BITS)
    record["doc"] = block_hash(recipe.salt, source.name, file.relative, block) | place
    batch = record_batch([record], source.step.output_columns(source.params), source.domain)
    for column in batch.schema.names[3:]:
        value = batch.column(column)[0].as_py()
        if value is not None:
            lines.append(f"  {column}: {_short(value)}")
    if raw:
        return "\n".join([*lines, "", f"--- text ({len(record['text']):,} characters)", record["text"]])
    lines.append(f"  text ({len(record['text']):,} characters): {_short(record['text'])}")
    return "\n".join(lines + _steps(recipe, source, batch))


def _steps(recipe: Recipe, source: Source, batch: pa.RecordBatch) -> list[str]:
    lines = []
    signals: set[str] = set()
    missing: set[str] = set()  # columns of the steps that are passed over
    for call in recipe.steps:
        if call.only is not None and source.domain not in call.only:
            continue
        needs = _needs(call, missing)
        if needs is None:
            hidden, identity = [] if call.step.reads else sorted(signals), call.step.fingerprint(call.params)
            again = AppliedCall(call.reference, plain(call.params), call.name, identity, hidden)
            try:
                batch, shown, kept = _applied(AppliedStep(again, recipe.base), batch)
            except CorpuskitError as error:
                needs = _unfound(error, missing)
                if needs is None:
                    raise
        if needs is not None:
            lines.append(f"- {call.name}: needs {needs}")
            missing |= _outputs(call)
            batch = batch.drop_columns([name for name in batch.schema.names if name in missing])
            continue
        lines += [f"- {call.name}: {one}" for one in shown]
        if not kept:
            return lines
        if call.step.kind == "signal":
            signals |= _outputs(call)
            missing -= _outputs(call)
    return [*lines, "reaches the end of the steps"]


def _needs(call: StepCall, missing: set[str]) -> str | None:
    """What a step needs beside one document, if anything; a rule in SQL may name a column in another case."""
    if call.step.kind == "barrier" or call.step.summarizes(call.params):
        return "the whole corpus; see `corpuskit stats` after a run"
    if call.step.trains(call.params):
        return "the model that `corpuskit run` trains"
    read = {name.lower() for name in columns_of(call.params["expr"])} if is_where(call.step) else set()
    return _listed(name for name in missing if name.lower() in read)


def _unfound(error: CorpuskitError, missing: set[str]) -> str | None:
    """The columns of `missing` that a step asked for and did not find, if that is why it failed."""
    reason = str(error.__cause__) if isinstance(error.__cause__, KeyError) else ""
    return _listed(name for name in missing if f'"{name}"' in reason or f"'{name}'" in reason)


def _listed(names: Iterable[str]) -> str | None:
    return ", ".join(f"`{name}`" for name in sorted(names)) or None


def _outputs(call: StepCall) -> set[str]:
    """Columns that a step adds; a signal that declares none adds one of its own name."""
    return set(call.step.output_columns(call.params)) or ({call.step.name} if call.step.kind == "signal" else set())


def _applied(one: AppliedStep, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[str], bool]:
    """The document after a step, what to show of it, and whether it is kept."""
    if one.step.kind == "signal":
        shown = []
        for column, values in one.columns(batch).items():
            batch = set_column(batch, column, values)
            shown.append(f"{column} = {_short(values[0].as_py())}")
        return batch, shown, True
    if one.step.kind == "edit":
        before = batch.column("text")[0].as_py()
        batch, found = one.edited(batch)
        after = batch.column("text")[0].as_py()
        shown = ["unchanged" if before == after else f"text is now: {_short(after)}"]
        return batch, shown + _found(found), True
    mask, reasons, found = one.mask(batch)
    reason = reasons[0].as_py() if reasons is not None else None
    if mask[0]:
        return batch, ["kept", *_found(found)], True
    return batch, ["DROPPED" + (f" ({reason})" if reason else ""), *_found(found)], False


def _found(found: pa.RecordBatch | None) -> list[str]:
    return [f"found: {words}"] if (words := said(found)) else []


def _find(recipe: Recipe, name: str) -> tuple[Source, SourceFile]:
    wanted = Path(name).resolve()
    for source in recipe.sources.values():
        for file in list_files(source.path, recipe.base):
            if file.path == name or Path(file.path).resolve() == wanted or file.relative == name:
                return source, SourceFile(file.path, file.relative, None, None, recipe.max_doc_bytes)
    raise UsageError(f"no source of {recipe.path} reads {name}", "give a file that a `path:` of the recipe matches")


def _record(recipe: Recipe, source: Source, file: SourceFile, wanted: int | None) -> tuple[int, Any]:
    count, records = 0, iter(source.step.function(file, **source.params))
    while True:
        file.raw_record = ""
        record = next(records, None)
        if record is None:
            break
        if count == wanted or (wanted is None and not isinstance(record, Bad | Skip)):
            return count, record
        count += 1
    if count and wanted is None:
        return _record(recipe, source, file, 0)
    raise UsageError(
        f"{file.path} has {counted(count, 'record')}" + ("" if wanted is None else f", so no #{wanted}"),
        f"corpuskit peek {recipe.path} {file.path}#{count - 1} shows the last" if count else "name another file",
    )


def _whole(record: Any) -> str:
    if not record:
        return "this reader keeps no raw record"
    if isinstance(record, bytes):
        return record.decode("utf-8", "backslashreplace")
    if isinstance(record, dict):
        return "\n\n".join(f"--- {path}\n{text}" for path, text in record.items())
    return record if isinstance(record, str) else "\n\n".join(map(str, record))


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else f"{value:.6g}" if isinstance(value, float) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[:SHOWN] + " …"
