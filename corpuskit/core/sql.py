"""Rules over columns, in SQL: an expression is checked before anything runs and evaluated in a locked DuckDB.

An expression must give the same for a row whatever stands beside it, today and tomorrow: no aggregate, window,
subquery, table, clock or random number. Scalar functions and operators of values are allowed, those of time zones among
them, since the zone is always UTC.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from corpuskit.core.batch import Batch
from corpuskit.errors import UsageError, did_you_mean

_CLOCKS = {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}
_CONSTANTS = {"pi", "version"}  # DuckDB's version is in the key of a rule
_READS = "a reading of the clock or the session"
_SCHEMAS = {"", "main", "system"}
_SCALAR = {
    "BETWEEN",
    "CASE",
    "CAST",
    "COLLATE",
    "COMPARISON",
    "CONJUNCTION",
    "CONSTANT",
    "FUNCTION",
    "OPERATOR",
    "TYPE",
}
_REFUSED = {
    "DEFAULT": "DEFAULT",
    "PARAMETER": "a parameter",
    "POSITIONAL_REFERENCE": "a positional reference",
    "STAR": "a star",
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
}
_ABSENT = ("where_clause", "having", "qualify", "sample", "modifiers", "group_expressions", "group_sets")


@functools.cache
def _connection() -> Any:
    """The process's DuckDB: in memory, one thread, no files, no extensions, no settings, UTC."""
    import duckdb

    config: dict[str, Any] = {
        "threads": 1,
        "enable_external_access": False,
        "autoload_known_extensions": False,
        "autoinstall_known_extensions": False,
        "python_enable_replacements": False,
    }
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET lock_configuration = true")
    return connection


@functools.cache
def _functions() -> tuple[dict[str, str | None], dict[str, list[str]]]:
    """Why a scalar function is refused, by name, None if it is allowed; and the definitions of macros by name."""
    query = (
        "SELECT function_name, function_type, stability, len(parameters) > 0 OR varargs IS NOT NULL, macro_definition "
        "FROM duckdb_functions() WHERE function_type IN ('scalar', 'macro')"
    )
    overloads: dict[str, list[tuple[str, bool]]] = {}
    macros: dict[str, list[str]] = {}
    for name, kind, stability, takes, definition in _connection().execute(query).fetchall():
        if kind == "scalar":
            overloads.setdefault(name, []).append((stability, takes))
        else:
            macros.setdefault(name, []).append(definition)
    scalar = {name: _refusal(name, found) for name, found in overloads.items()}
    # a macro of a scalar function's name only wraps it
    return scalar, {name: found for name, found in macros.items() if name not in scalar}


def _refusal(name: str, overloads: list[tuple[str, bool]]) -> str | None:
    """Why a scalar function is refused, by the stability of each overload and whether it takes arguments.

    DuckDB calls a function `CONSISTENT_WITHIN_QUERY` if it reads the clock, the session or only the time zone. The zone
    is pinned, and an overload for a zone stands beside consistent ones (`year` of a date, of a timestamp); the others
    stand alone. Versions differ in what they call consistent: a function without arguments that is no constant reads a
    clock whatever it is called (`current_localtime` in DuckDB 2.0.0).
    """
    stabilities = {stability for stability, _ in overloads}
    if "VOLATILE" in stabilities:
        return "not a function of the row alone"
    constant = name in _CONSTANTS or any(takes for _, takes in overloads)
    return None if constant and "CONSISTENT" in stabilities else _READS


def _parse(expr: str, shown: str) -> Any:
    """The syntax tree of one scalar expression, as DuckDB serializes it."""
    rows = _connection().execute("SELECT json_serialize_sql(?)", [f"SELECT {expr}\n"]).fetchall()
    parsed = json.loads(rows[0][0])
    if parsed["error"]:
        msg = f"`{shown}` does not parse: {parsed['error_message']}"
        raise UsageError(msg, "a rule is a DuckDB scalar expression, such as `words >= 50 AND language = 'en'`")
    nodes = [statement["node"] for statement in parsed["statements"]]
    if (
        len(nodes) != 1
        or nodes[0]["type"] != "SELECT_NODE"
        or len(nodes[0]["select_list"]) != 1
        or nodes[0]["from_table"]["type"] != "EMPTY"
        or nodes[0]["select_list"][0]["alias"]
        or any(nodes[0][name] for name in _ABSENT)
    ):
        msg = f"`{shown}` is not one scalar expression"
        raise UsageError(
            msg, "a rule is an expression over the columns of one document: no FROM, WHERE, AS, comma or `;`"
        )
    return nodes[0]["select_list"][0]


def _check_function(node: Any, shown: str, bound: frozenset[str], columns: set[str]) -> None:
    name, given = node["function_name"].lower(), len(node["arguments"])
    receiver = node["catalog"] or node["schema"]
    if receiver.lower() not in _SCHEMAS:  # `text.lower()` is `lower(text)`; to the parser `text` is a schema
        given += 1
        if receiver not in bound:
            columns.add(receiver)
    scalar, macros = _functions()
    for definition in macros.get(name, []):
        _walk(_parse(definition, shown), shown, frozenset(), set())
    if name in macros:
        return
    # `age(x)` counts from today, although DuckDB calls it consistent; `age(x, y)` does not
    why = _READS if name == "age" and given == 1 else scalar.get(name, "")
    if why is None:
        return
    if not why:
        query = "SELECT function_type FROM duckdb_functions() WHERE function_name = ?"
        known = _connection().execute(query, [name]).fetchall()
        if not known:
            msg = f"`{shown}`: there is no function `{name}`"
            raise UsageError(msg, did_you_mean(name, {*scalar, *macros}))
        why = "an aggregate" if known[0][0] == "aggregate" else "not a function of the row alone"
    msg = f"`{shown}`: `{name}` is {why}; a rule gives the same for a document whatever stands beside it, and whenever"
    raise UsageError(msg, "compare with a date, such as DATE '2026-01-31'" if why == _READS else None)


def _walk(node: Any, shown: str, bound: frozenset[str], columns: set[str]) -> None:
    """Check a node and those below it; add the columns they read to `columns`. `bound` are lambda parameters."""
    if isinstance(node, list):
        for item in node:
            _walk(item, shown, bound, columns)
        return
    if not isinstance(node, dict):
        return
    kind = node.get("class")
    if kind == "COLUMN_REF":
        name = node["column_names"][0]
        if name.lower() in _CLOCKS:
            msg = f"`{shown}`: `{name}` is a clock; a rule must give the same whenever it runs"
            raise UsageError(msg)
        if name not in bound:
            columns.add(name)
        return
    if kind == "LAMBDA" and node["syntax_type"] == "LAMBDA_KEYWORD":
        parameters: set[str] = set()
        _walk(node["lhs"], shown, frozenset(), parameters)
        _walk(node["expr"], shown, bound | parameters, columns)
        return
    # The arrow of `meta -> '$.x'` is a lambda to the parser.
    if kind is not None and kind not in _SCALAR and kind != "LAMBDA":
        msg = f"`{shown}`: {_REFUSED.get(kind, kind)} is not allowed in a rule"
        raise UsageError(msg)
    if kind == "FUNCTION":
        _check_function(node, shown, bound, columns)
    for value in node.values():
        _walk(value, shown, bound, columns)


@functools.cache
def _columns(expr: str) -> frozenset[str]:
    columns: set[str] = set()
    _walk(_parse(expr, expr), expr, frozenset(), columns)
    return frozenset(columns)


def columns_of(expr: str) -> set[str]:
    """Names of the columns that a rule reads, as they are written in it.

    Args:
        expr: a DuckDB scalar expression.

    Raises:
        UsageError: it does not parse, is not one scalar expression, or may give another value for the same document
            (aggregates, windows, subqueries, tables, clocks, random numbers, state of the session).
    """
    return set(_columns(expr))


def _needed(expr: str, schema: pa.Schema) -> list[str]:
    """Columns of the schema that the rule reads; DuckDB's names are blind to case, an exact match comes first."""
    found = []
    for name in sorted(_columns(expr)):
        matches = [name] if name in schema.names else [have for have in schema.names if have.lower() == name.lower()]
        if len(matches) != 1:
            what = f"could be any of {', '.join(matches)}" if matches else "is no column here"
            msg = f"`{expr}`: `{name}` {what}"
            raise UsageError(msg, did_you_mean(name, schema.names) or f"columns: {', '.join(schema.names)}")
        found += matches
    return list(dict.fromkeys(found))


def _to_microseconds(rows: Batch) -> Batch:
    """Timestamps with a zone in microseconds: DuckDB has few functions for those in nanoseconds, 2.0.0 no `hour`."""
    fields = [
        field.with_type(pa.timestamp("us", field.type.tz))
        if pa.types.is_timestamp(field.type) and field.type.tz and field.type.unit == "ns"
        else field
        for field in rows.schema
    ]
    return rows.cast(pa.schema(fields), safe=False)


def evaluate(expr: str, batch: Batch) -> pa.Array:
    """The value of a rule for each row, bool[n] with nulls.

    Raises:
        UsageError: see `columns_of` and `check_types`; or a value cannot be converted.
    """
    import duckdb

    names = _needed(expr, batch.schema)
    rows = (
        pa.record_batch([pa.array(range(batch.num_rows), pa.int64())], ["__row"]) if not names else batch.select(names)
    )
    connection = _connection()
    connection.register("__batch", pa.Table.from_batches([_to_microseconds(rows)]))
    try:
        table = connection.sql(f"SELECT ({expr}\n) AS keep FROM __batch").to_arrow_table()
    except duckdb.Error as error:
        msg = f"`{expr}`: {reason_of(error)}"
        convert = isinstance(error, duckdb.ConversionException)
        raise UsageError(msg, "TRY_CAST gives null where a value cannot be converted" if convert else None) from None
    finally:
        connection.unregister("__batch")
    keep = table.column("keep").combine_chunks()
    if not pa.types.is_boolean(keep.type):
        msg = f"`{expr}` gives {keep.type}, not true or false"
        raise UsageError(msg, "compare it with something, such as `... > 0`")
    return keep


def reason_of(error: Exception) -> str:
    """What DuckDB says, on one line, without the query that was made around an expression."""
    return re.split(r"\n\nLINE|\n\tCandidate functions", str(error))[0].replace("\n", " ")


def check_types(expr: str, schema: pa.Schema) -> None:
    """Bind a rule to columns without data.

    Raises:
        UsageError: a column is not there, a type does not fit, or the result is not true or false.
    """
    evaluate(expr, pa.record_batch([pa.array([], field.type) for field in schema], schema=schema))


_OPERATORS = {
    "COMPARE_GREATERTHANOREQUALTO": (">=", "<="),
    "COMPARE_GREATERTHAN": (">", "<"),
    "COMPARE_LESSTHANOREQUALTO": ("<=", ">="),
    "COMPARE_LESSTHAN": ("<", ">"),
}
"""How a comparison reads from the left, and from the right."""


def limits_of(expr: str) -> list[tuple[str, str, float]]:
    """The limits on numbers that a rule is made of: (column, operator, number), for `column operator number`.

    Only those that must all hold count, alone or joined by AND; a rule that is anything else has none.

    Raises:
        UsageError: see `columns_of`.
    """
    return list(_limits(_parse(expr, expr)))


def _limits(node: Any) -> Iterator[tuple[str, str, float]]:
    if node["type"] == "CONJUNCTION_AND":
        for child in node["children"]:
            yield from _limits(child)
    elif node["type"] in _OPERATORS:
        left, right = node["left"], node["right"]
        straight, turned = _OPERATORS[node["type"]]
        for column, number, operator in ((left, right, straight), (right, left, turned)):
            if column["class"] == "COLUMN_REF" and len(column["column_names"]) == 1 and (value := _number(number)):
                yield column["column_names"][0], operator, float(value)
    elif node["type"] == "COMPARE_BETWEEN" and node["input"]["class"] == "COLUMN_REF":
        for bound, operator in (("lower", ">="), ("upper", "<=")):
            if value := _number(node[bound]):
                yield node["input"]["column_names"][0], operator, float(value)


def _number(node: Any) -> str | None:
    literal = node.get("literal") or {}
    return literal["text"] if literal.get("kind") in ("INTEGER", "NUMERIC") else None
