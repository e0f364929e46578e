"""Parquet and Arrow IPC files: one column the text, read batch by batch, only the columns asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc

from corpuskit.core import step
from corpuskit.core.step import Bad, Skip
from corpuskit.errors import InputError, UsageError, did_you_mean
from corpuskit.sources.base import SourceFile
from corpuskit.sources.companions import companion
from corpuskit.sources.fields import Column, Fields, as_text, declared, keyed, placed
from corpuskit.sources.lines import too_large
from corpuskit.sources.schemas import SchemaName

BATCH_ROWS = 1024


@step.source(columns=declared, keyed=keyed)
def parquet(
    file: SourceFile,
    *,
    schema_: SchemaName | None = None,
    text: str | None = None,
    columns: dict[str, Column] = {},  # noqa: B006 - never changed
) -> Iterator[dict[str, Any] | Bad | Skip]:
    """Read Parquet, Arrow IPC files or Arrow IPC streams, told apart by their first bytes.

    A folder that `datasets` wrote (`save_to_disk`, or its cache) is read by its Arrow streams; files that stand beside
    the data are passed over and counted, see `companion`.

    Args:
        file: what to read.
        schema_: whose records they are, which says where the text is and what becomes a column, see below; what
            `text` and `columns` say goes before it. All other columns are then read too, and go to `meta`.
        text: column that holds the text (string or binary UTF-8), default `text`; `a.b` is field b of the structs a.
        columns: columns to keep, with the type to keep them as, by their names or from others:
            `{url: string from metadata.url}`; of lists and structs, `string` is the JSON. Without a schema, all
            others are not read.

    Raises:
        UsageError: no such column, or one that cannot become the type asked for.
        InputError: damaged, or no such file.
    """
    beside = companion(file, tables=True)
    if beside is not None:
        yield beside
        return
    fields = Fields(text, columns, schema_)
    places = {name: placed(name, column) for name, column in columns.items()}
    wanted = [fields.text, *(place for _, place in places.values())]
    row = 0
    with file.seekable() as handle:
        batches = _batches(file, handle, wanted, whole=schema_ is not None)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                raise file.damaged(f"damaged after row {row}: {error}") from None
            if batch is None:
                return
            texts = _bytes(file, _at(batch, fields.text), fields.text)
            found: Iterable[dict[str, Any] | str]
            if schema_ is not None:
                found = _records(file, batch, fields)
            else:
                values = {n: _cast(file, _at(batch, place), place, kind) for n, (kind, place) in places.items()}
                found = ({name: column[index] for name, column in values.items()} for index in range(len(texts)))
            for data, record in zip(texts, found, strict=True):
                content = data.as_py()
                file.raw_record = content or b""
                yield _document(content, record, f"row {row}", file.max_doc_bytes)
                row += 1


def _batches(file: SourceFile, handle: IO[bytes], wanted: list[str], *, whole: bool) -> Iterator[pa.RecordBatch]:
    """Batches of at most `BATCH_ROWS` rows: of the wanted places, or `whole` rows, of which only the roots must be."""
    head = handle.read(8)
    handle.seek(0)
    if head[:4] == b"PAR1":
        import pyarrow.parquet as pq

        reader = pq.ParquetFile(handle)
        _check(file, reader.schema_arrow, wanted, roots=whole)
        yield from reader.iter_batches(BATCH_ROWS, columns=None if whole else wanted, use_threads=False)
        return
    if head[:6] == b"ARROW1":
        arrow = pa.ipc.open_file(handle)
        batches: Iterable[pa.RecordBatch] = (arrow.get_batch(index) for index in range(arrow.num_record_batches))
    elif head[:4] == b"\xff\xff\xff\xff":
        batches = arrow = pa.ipc.open_stream(handle)
    elif not head:
        return
    else:
        raise file.damaged("neither Parquet nor Arrow IPC, by its first bytes", "read it with another reader")
    _check(file, arrow.schema, wanted, roots=whole)
    names = arrow.schema.names
    roots = names if whole else list(dict.fromkeys(_root(names, place) for place in wanted))
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH_ROWS):
            yield batch.select(roots).slice(start, BATCH_ROWS)


def _root(names: list[str], place: str) -> str:
    """The column that holds a place; a column whose own name holds the dots comes first."""
    return place if place in names else place.partition(".")[0]


def _check(file: SourceFile, schema: pa.Schema, wanted: list[str], *, roots: bool) -> None:
    """Whether the wanted places are there; `roots`: but for the first, only their columns, which may hold JSON."""
    known = list(_places(schema))
    for index, place in enumerate(wanted):
        name = _root(schema.names, place) if roots and index else place
        if name not in known:
            msg = f"{file.path}: no column `{name}`"
            raise UsageError(msg, did_you_mean(name, known) or f"columns: {', '.join(schema.names)}")


def _places(holder: Any, above: str = "") -> Iterator[str]:
    for index in range(len(holder.names) if isinstance(holder, pa.Schema) else holder.num_fields):
        field = holder.field(index)
        yield above + field.name
        if pa.types.is_struct(field.type):
            yield from _places(field.type, f"{above}{field.name}.")


def _at(batch: pa.RecordBatch, place: str) -> pa.Array:
    """The values at a place that is there."""
    root = _root(batch.schema.names, place)
    column = batch.column(root)
    for name in place[len(root) + 1 :].split(".") if place != root else ():
        column = pc.struct_field(column, name)
    return column


def _bytes(file: SourceFile, column: pa.Array, name: str) -> pa.Array:
    """The text column as binary: Arrow does not check UTF-8 of what it reads."""
    try:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_string_view(column.type) or pa.types.is_binary_view(column.type):
            column = column.cast(pa.large_binary())
        return column.cast(pa.large_binary())
    except pa.ArrowException:
        msg = f"{file.path}: column `{name}` is {column.type}, no text"
        raise UsageError(msg, "name the text column with `text:`") from None


def _cast(file: SourceFile, column: pa.Array, name: str, kind: str) -> list[Any]:
    try:
        if kind == "string" and pa.types.is_nested(column.type):
            return [None if value is None else as_text(value) for value in _python(column)]
        return _python(column.cast(pa.type_for_alias(kind)))
    except pa.ArrowException as error:
        msg = f"{file.path}: column `{name}` is {column.type} and cannot become {kind}: {error}"
        raise UsageError(msg, "ask for another type in `columns`") from None
    except UnicodeDecodeError as error:
        msg = f"{file.path}: column `{name}` holds invalid UTF-8: {error}"
        raise InputError(msg, "leave it out of `columns`, or fix the file") from None


def _python(column: pa.Array) -> list[Any]:
    values: list[Any] = column.to_pylist(maps_as_pydicts="lossy")  # of a key given twice the last counts, as in JSON
    return values


def _records(file: SourceFile, batch: pa.RecordBatch, fields: Fields) -> Iterator[dict[str, Any] | str]:
    """Of each row the columns and `meta` that a schema makes of it, as of a line of JSON; or why that cannot be.

    A null is an absent field here: a table has all fields in all rows.
    """
    names = [name for name in batch.schema.names if name != fields.text]
    values = []
    for name in names:
        column = batch.column(name)
        if pa.types.is_temporal(column.type):
            column = column.cast(pa.string())  # nanoseconds have no type in Python
        try:
            values.append(_python(column))
        except (UnicodeDecodeError, ValueError) as error:
            msg = f"{file.path}: column `{name}` cannot be read: {error}"
            raise InputError(msg, "name the columns to read in `columns`, without a `schema`") from None
    for row in range(batch.num_rows):
        record = {name: _given(column[row]) for name, column in zip(names, values, strict=True)}
        record = {name: value for name, value in record.items() if value is not None}
        if "." in fields.text:
            fields.take_text(record)
        typed = fields.take(record)
        yield typed if isinstance(typed, str) else {**typed, "meta": record} if record else typed


def _given(value: Any) -> Any:
    """A value without the nulls in its structs."""
    if isinstance(value, dict):
        return {name: _given(inner) for name, inner in value.items() if inner is not None}
    return [_given(inner) for inner in value] if isinstance(value, list) else value


def _document(data: bytes | None, record: dict[str, Any] | str, where: str, limit: int) -> dict[str, Any] | Bad:
    if data is None:
        return Bad("the text is null", where)
    if len(data) > limit:
        return Bad(too_large(limit), where)
    if isinstance(record, str):
        return Bad(record, where)
    try:
        return {"text": data.decode(), **record}
    except UnicodeDecodeError as error:
        return Bad(f"invalid UTF-8 at byte {error.start} of the text", where)
