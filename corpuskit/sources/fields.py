"""From the fields of a record to the text, typed columns and `meta`: as a recipe or a schema names them."""

from __future__ import annotations

import ast
import datetime as dt
import warnings
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import orjson
import pydantic

from corpuskit.core.step import Bad
from corpuskit.errors import UsageError, did_you_mean
from corpuskit.sources.schemas import schema_named

SHOWN_FIELDS, SHOWN_CHARACTERS = 8, 40
"""Fields of a record that an error names, and the characters of each name."""

ColumnType = Literal["string", "int64", "float64", "bool"]
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "int64": (int,),
    "float64": (float, int),
    "bool": (bool,),
}


OWN_COLUMNS = ("doc", "text", "domain", "source", "meta")


def _checked(column: str) -> str:
    kind = column.partition(" from ")[0]
    types = get_args(ColumnType)
    if kind not in types:
        near = did_you_mean(kind, types)
        raise ValueError(
            f"should be one of {', '.join(f'`{name}`' for name in types)}, or such as `string from a.b`, not `{column}`"
            + (f"; {near}" if near else "")
        )
    return column


Column = Annotated[str, pydantic.AfterValidator(_checked)]
"""A type (the value is at the column's name), or `TYPE from PLACE`; in both, `a.b` is field b of the object a."""


def placed(name: str, column: str) -> tuple[str, str]:
    """(type, place) of a column as a recipe has it."""
    kind, _, place = column.partition(" from ")
    return kind, place.strip() or name


def declared(*, columns: Mapping[str, str], schema_: str | None = None, **_: Any) -> dict[str, str]:
    """The columns that the recipe names, and those of its schema, with their types.

    Raises:
        UsageError: a name that a corpus has for a column of its own, which would replace it.
    """
    for name in OWN_COLUMNS:
        if name in columns:
            renamed = f"{{original_{name}: {columns[name]} from {name}}}"
            hint = f"leave it to `meta`, or in `jsonl` and `parquet` say `{renamed}`"
            raise UsageError(f"`columns` cannot have `{name}`: a corpus has a column of its own of that name", hint)
    return _types(columns, schema_)


def keyed(*, text: str | None, schema_: str | None, **others: Any) -> dict[str, Any]:
    """The parameters of a reader as its key holds them: without a schema those that it had before there were any."""
    return {"text": text or "text", **others} if schema_ is None else {"text": text, "schema_": schema_, **others}


def _types(columns: Mapping[str, str], schema_: str | None) -> dict[str, str]:
    known = schema_named(schema_).columns if schema_ is not None else {}
    return {name: kind for name, (kind, *_) in known.items()} | {n: placed(n, c)[0] for n, c in columns.items()}


class Fields:
    """Takes records apart.

    Attributes:
        text: place of the text.
        columns: types of the columns by name.
    """

    def __init__(self, text: str | None, columns: Mapping[str, str], schema: str | None) -> None:
        """`text` and `columns` as the recipe has them go before what the schema says."""
        known = schema_named(schema) if schema is not None else None
        self.text = text or (known.text if known else "text")
        self.table = known.table if known else None
        self.columns = _types(columns, schema)
        places = {name: list(found[1:]) for name, found in known.columns.items()} if known else {}
        places |= {name: [placed(name, column)[1]] for name, column in columns.items()}
        self._free = known is not None
        self._named = False  # the fields of a record without the text, in a fault
        self._path = self.text.split(".")
        self._wanted: list[tuple[str, str, list[tuple[str, list[str], bool]]]] = []
        later: set[str] = set()
        for name in reversed(list(self.columns)):  # a field that a later column takes too stays for that
            at = [(place, place.split("."), place not in later) for place in places[name]]
            self._wanted.insert(0, (name, self.columns[name], at))
            later.update(places[name])

    def document(self, record: Any, where: str) -> dict[str, Any] | Bad:
        """The document of a record: `text`, columns, and what is left of it as `meta`."""
        if not isinstance(record, dict):
            return Bad(f"a JSON {_json_type(record)}, not an object", where)
        body = self.take_text(record)
        if not isinstance(body, str):
            absent = body is _ABSENT
            reason = self._without_text(record) if absent else f"`{self.text}` is a {_json_type(body)}, no string"
            return Bad(reason, where)
        typed = self.take(record)
        if isinstance(typed, str):
            return Bad(typed, where)
        document = {"text": body, **typed}
        if record:
            document["meta"] = record
        return document

    def _without_text(self, record: dict[str, Any]) -> str:
        """That a record has no field with the text; of the first also which it has, and how to name one."""
        reason = f"no field `{self.text}`"
        if self._named or not record:
            return reason
        self._named = True
        names = ", ".join(f"`{name[:SHOWN_CHARACTERS]}`" for name in list(record)[:SHOWN_FIELDS])
        more = f" and {len(record) - SHOWN_FIELDS} more" if len(record) > SHOWN_FIELDS else ""
        return f"{reason}, but {names}{more} (a source names another with `text: FIELD`)"

    def take_text(self, record: dict[str, Any]) -> Any:
        """Take the field that should hold the text out of a record."""
        return _take(record, self.text, self._path, last=True)

    def take(self, record: dict[str, Any]) -> dict[str, Any] | str:
        """Take the columns out of a record, but for those that are null; what is left is for `meta`.

        Returns:
            The values, or why one of them cannot be had.
        """
        if self.table is not None:
            self._open_table(record)
        typed = {}
        for name, kind, places in self._wanted:
            value = None
            for place, path, last in places:
                if last and place in record:  # as `_take` has it, and nearly always so
                    value = record.pop(place)
                elif (found := _take(record, place, path, last=last)) is not _ABSENT:
                    value = found
                if value is not None:
                    break
            if value is None:
                continue
            right = isinstance(value, _PYTHON_TYPES[kind]) and (type(value) is bool) == (kind == "bool")
            if not right and self._free and (converted := _converted(value, kind)) is not None:
                value, right = converted, True
            if not right or (kind == "int64" and not -(1 << 63) <= value < 1 << 63):
                return f"`{name}` is a {_json_type(value)}, not {kind}"
            typed[name] = float(value) if kind == "float64" else value
        if self.table is not None:
            self._close_table(record)
        return typed

    def _open_table(self, record: dict[str, Any]) -> None:
        """Read the table where it is written as text; other text stays what it is."""
        assert self.table is not None
        held = record.get(self.table)
        if isinstance(held, str):
            read = _object(held)
            if read is not None:
                record[self.table] = read

    def _close_table(self, record: dict[str, Any]) -> None:
        """Put what is left in the table beside the other fields, unless one of them has such a name."""
        assert self.table is not None
        held = record.get(self.table)
        if isinstance(held, dict) and not (held.keys() & record.keys()):
            del record[self.table]
            record |= held


_ABSENT = object()


def _take(record: dict[str, Any], place: str, path: list[str], *, last: bool) -> Any:
    """A field of a record, taken out of it if `last`; a key that itself holds the dots comes first."""
    if place not in record:
        for name in path[:-1]:
            found = record.get(name)
            if not isinstance(found, dict):
                return _ABSENT
            record = found
        place = path[-1]
    return record.pop(place, _ABSENT) if last else record.get(place, _ABSENT)


def _object(text: str) -> dict[str, Any] | None:
    """The object that a text writes, as JSON or as Python's `str` does (which `datasets` calls for text columns)."""
    text = text.strip()
    if not text.startswith("{"):
        return None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of an escape that Python does not know
                found = orjson.loads(orjson.dumps(ast.literal_eval(text)))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None
    return found if isinstance(found, dict) else None


def _converted(value: Any, kind: str) -> Any:
    """A value of another type as `kind`, if nothing is lost by it; else None."""
    if kind == "int64" and isinstance(value, float) and value.is_integer():
        return int(value)
    return as_text(value) if kind == "string" else None


def as_text(value: Any) -> str | None:
    """Any value as text: of lists, objects and numbers the JSON; None for bytes that are no UTF-8."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value.isoformat() if isinstance(value, dt.date) else orjson.dumps(value, default=str).decode()


def _json_type(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", bytes: "binary", type(None): "null"}
    return names.get(type(value), "number")
