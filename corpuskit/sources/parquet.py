"""Parquet and Arrow IPC files: one column the text, read batch by batch, only the columns asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, Any

import pyarrow as pa

from corpuskit.core import step
from corpuskit.core.step import Bad, Skip
from corpuskit.errors import InputError, UsageError, did_you_mean
from corpuskit.sources.base import SourceFile
from corpuskit.sources.jsonl import ColumnType, declared
from corpuskit.sources.lines import too_large

BATCH_ROWS = 1024


@step.source(columns=declared)
def parquet(
    file: SourceFile,
    *,
    text: str = "text",
    columns: dict[str, ColumnType] = {},  # noqa: B006 - never changed
) -> Iterator[dict[str, Any] | Bad | Skip]:
    """Read Parquet, Arrow IPC files or Arrow IPC streams, told apart by their first bytes.

    Args:
        file: what to read.
        text: column that holds the text (string or binary UTF-8).
        columns: columns to keep, with the type to keep them as; all others are not read.

    Raises:
        UsageError: no such column, or one that cannot become the type asked for.
        InputError: damaged, or no such file.
    """
    row = 0
    with file.seekable() as handle:
        batches = _batches(file, handle, [text, *columns])
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                raise file.damaged(f"damaged after row {row}: {error}") from None
            if batch is None:
                return
            texts = _bytes(file, batch.column(text), text)
            values = {name: _cast(file, batch.column(name), name, kind) for name, kind in columns.items()}
            for index, data in enumerate(texts):
                record = {name: column[index] for name, column in values.items()}
                yield _document(data.as_py(), record, f"row {row}", file.max_doc_bytes)
                row += 1


def _batches(file: SourceFile, handle: IO[bytes], wanted: list[str]) -> Iterator[pa.RecordBatch]:
    head = handle.read(8)
    handle.seek(0)
    if head[:4] == b"PAR1":
        import pyarrow.parquet as pq

        reader = pq.ParquetFile(handle)
        _check(file, reader.schema_arrow.names, wanted)
        yield from reader.iter_batches(BATCH_ROWS, columns=wanted, use_threads=False)
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
    _check(file, arrow.schema.names, wanted)
    for batch in batches:
        yield batch.select(list(dict.fromkeys(wanted)))


def _check(file: SourceFile, names: list[str], wanted: list[str]) -> None:
    for name in wanted:
        if name not in names:
            msg = f"{file.path}: no column `{name}`"
            raise UsageError(msg, did_you_mean(name, names) or f"columns: {', '.join(names)}")


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
        values: list[Any] = column.cast(pa.type_for_alias(kind)).to_pylist()
    except pa.ArrowException as error:
        msg = f"{file.path}: column `{name}` is {column.type} and cannot become {kind}: {error}"
        raise UsageError(msg, "ask for another type in `columns`") from None
    except UnicodeDecodeError as error:
        msg = f"{file.path}: column `{name}` holds invalid UTF-8: {error}"
        raise InputError(msg, "leave it out of `columns`, or fix the file") from None
    return values


def _document(data: bytes | None, record: dict[str, Any], where: str, limit: int) -> dict[str, Any] | Bad:
    if data is None:
        return Bad("the text is null", where)
    if len(data) > limit:
        return Bad(too_large(limit), where)
    try:
        return {"text": data.decode(), **record}
    except UnicodeDecodeError as error:
        return Bad(f"invalid UTF-8 at byte {error.start} of the text", where)
