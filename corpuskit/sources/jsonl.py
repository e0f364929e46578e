"""JSON Lines: one object a line, one field of it the text; strict about JSON and UTF-8."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import orjson

from corpuskit import step
from corpuskit.sources.base import READ_BYTES, SourceFile
from corpuskit.sources.lines import lines, too_large
from corpuskit.step import Bad, Skip

ColumnType = Literal["string", "int64", "float64", "bool"]
UTF8_BOM = b"\xef\xbb\xbf"
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "int64": (int,),
    "float64": (float, int),
    "bool": (bool,),
}


def declared(*, columns: dict[str, str], **_: Any) -> dict[str, str]:
    """The columns that the recipe names, with their types."""
    return dict(columns)


@step.source(columns=declared, splittable=True)
def jsonl(
    file: SourceFile,
    *,
    text: str = "text",
    columns: dict[str, ColumnType] = {},  # noqa: B006 - never changed
) -> Iterator[dict[str, Any] | Bad | Skip]:
    """Read JSON Lines, plain or compressed.

    A line that is no UTF-8, no strict JSON, no object, or has no string at `text`, is `Bad`, with line and byte offset.
    Blank lines are no records. A byte-order mark at the start of the file and CRLF are accepted. Of a key given twice
    the last counts.

    Args:
        file: what to read; a range of a plain file gives the lines that begin in it.
        text: field that holds the text; `a.b` is field b of the object a.
        columns: fields to keep as typed columns (a dotted path names its column too): string, int64, float64 or
            bool; null or absent is null. All other fields go to `meta`.

    Raises:
        InputError: UTF-16, or damaged compression.
    """
    path, wanted = text.split("."), {name: (name.split("."), kind) for name, kind in columns.items()}
    number = 0
    counted = not file.start
    for offset, line in _lines(file):
        number += 1
        where = f"line {number} (byte {offset})" if counted else f"line at byte {offset}"
        if line is None:
            yield Bad(too_large(file.max_doc_bytes), where)
            continue
        if not line.strip():
            continue
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            yield Bad(_reason(line, error), where)
            continue
        yield _document(record, path, wanted, where)


def _lines(file: SourceFile) -> Iterator[tuple[int, bytes | None]]:
    """The lines that begin in the file's range."""
    first = True
    start = file.start or 0
    for offset, line in lines(_ranged_chunks(file) if start else file.chunks(), file.max_doc_bytes, max(0, start - 1)):
        if start and first:  # the line that began before the range, or the end of the one before it
            first = False
            continue
        if file.end is not None and offset >= file.end:
            return
        if offset == 0 and line is not None:
            if line.startswith(UTF16_BOMS):
                raise file.damaged(
                    "the text is UTF-16, not UTF-8 (line 1, byte 0)",
                    f"convert it once: iconv -f UTF-16 -t UTF-8 {file.path} > utf8.jsonl",
                )
            yield offset, line.removeprefix(UTF8_BOM)
            continue
        yield offset, line


def _ranged_chunks(file: SourceFile) -> Iterator[bytes]:
    """Plain bytes from the one before the range on."""
    with file.seekable() as handle:
        handle.seek((file.start or 0) - 1)
        while chunk := handle.read(READ_BYTES):
            yield chunk


def _reason(line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as fault:
        return f"invalid UTF-8 at byte {fault.start} of the line"
    if line.startswith(UTF8_BOM):
        return "not JSON: a byte-order mark inside the file"
    if b"\r" in line.strip(b"\r"):
        return f"not JSON: {error}; lines end with a carriage return alone: convert with tr '\\r' '\\n'"
    return f"not JSON: {error}"


def _document(
    record: Any, path: list[str], wanted: Mapping[str, tuple[list[str], str]], where: str
) -> dict[str, Any] | Bad:
    if not isinstance(record, dict):
        return Bad(f"a JSON {_json_type(record)}, not an object", where)
    body = _pop(record, path)
    if not isinstance(body, str):
        name = ".".join(path)
        return Bad(f"no field `{name}`" if body is _ABSENT else f"`{name}` is a {_json_type(body)}, no string", where)
    document: dict[str, Any] = {"text": body}
    for name, (place, kind) in wanted.items():
        value = _pop(record, place)
        if value is _ABSENT or value is None:
            continue
        right = isinstance(value, _PYTHON_TYPES[kind]) and isinstance(value, bool) == (kind == "bool")
        if not right or (kind == "int64" and not -(1 << 63) <= value < 1 << 63):
            return Bad(f"`{name}` is a {_json_type(value)}, not {kind}", where)
        document[name] = float(value) if kind == "float64" else value
    if record:
        document["meta"] = record
    return document


_ABSENT = object()


def _pop(record: dict[str, Any], path: list[str]) -> Any:
    """Take a field out of a record; a key that itself holds the dots comes first."""
    whole = ".".join(path)
    if whole in record:
        return record.pop(whole)
    for name in path[:-1]:
        found = record.get(name)
        if not isinstance(found, dict):
            return _ABSENT
        record = found
    return record.pop(path[-1], _ABSENT)


def _json_type(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
