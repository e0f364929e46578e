"""The DuckDB views of a run, and the sandbox in which users query them.

`corpus.duckdb` holds views only, over the Parquet files of the run by absolute path; every verb rebuilds it, so that a
root can be moved. What views cannot read from published folders (receipts, the domain table) is written as Parquet
beside the plan of the last run. A query can read the run folder and nothing else, and write nowhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from corpuskit.core.plan import Plan
from corpuskit.core.work import Receipt
from corpuskit.errors import UsageError
from corpuskit.explore import stats
from corpuskit.store.root import MANIFEST, Root

VERSION = 3
"""Of the definitions below: views of another version are written anew."""

DATABASE = "corpus.duckdb"

_DOMAIN = {"domain": "VARCHAR"}
_PUBLISHED = {
    "corpus": {"doc": "UBIGINT", "text": "VARCHAR", "source": "VARCHAR", "meta": "VARCHAR"} | _DOMAIN,
    "holdout": {"doc": "UBIGINT", "text": "VARCHAR", "source": "VARCHAR", "meta": "VARCHAR"} | _DOMAIN,
    "dropped": {"doc": "UBIGINT", "rule": "VARCHAR", "reason": "VARCHAR", "text": "VARCHAR", "meta": "VARCHAR"}
    | _DOMAIN,
    "findings": {"doc": "UBIGINT", "step": "VARCHAR", "what": "VARCHAR", "times": "BIGINT", "item": "VARCHAR"}
    | {"text": "VARCHAR"}
    | _DOMAIN,
    "duplicates": {
        "doc": "UBIGINT",
        "kept_doc": "UBIGINT",
        "kept_root": "VARCHAR",
        "jaccard": "DOUBLE",
        "kind": "VARCHAR",
        "domain": "VARCHAR",
        "kept_domain": "VARCHAR",
        "kept_dropped_by": "VARCHAR",
    },
}
"""Columns that a view has whatever the files hold: a folder without files is an empty table."""

_SHARDS = {
    "file": "VARCHAR",
    "sequence": "BIGINT",
    "start": "INTEGER",
    "length": "INTEGER",
    "domain": "VARCHAR",
    "doc": "UBIGINT",
    "doc_start": "BIGINT",
}

_FILES = {
    "source": "VARCHAR",
    "domain": "VARCHAR",
    "path": "VARCHAR",
    "relative": "VARCHAR",
    "start": "BIGINT",
    "digest": "VARCHAR",
    "blocks": "UBIGINT[]",
}

_SIGNALS = """
SELECT * EXCLUDE (text, meta), NULL::VARCHAR AS rule FROM corpus
UNION ALL BY NAME SELECT * EXCLUDE (text, meta, reason) FROM dropped"""

_LINEAGE = """
WITH documents AS (
    SELECT doc, domain, 'kept' AS fate FROM corpus
    UNION ALL SELECT doc, domain, 'held_out' FROM holdout
    UNION ALL SELECT doc, domain, rule FROM dropped ANTI JOIN duplicates USING (doc)
    UNION ALL SELECT doc, domain, kind FROM duplicates
), blocks AS (
    SELECT source, path, relative, start, digest, unnest(blocks) AS block, generate_subscripts(blocks, 1) - 1 AS number
    FROM ({files})
)
SELECT doc, domain, fate, source, path, relative, start, number * 1048576 + (doc & 1048575) AS record, digest
FROM documents LEFT JOIN blocks ON blocks.block = doc - (doc & 1048575)"""

_RECEIPTS = pa.schema(
    [("stage", pa.string()), ("unit", pa.int64()), ("key", pa.string()), ("label", pa.string())]
    + [(name, pa.int64()) for name in ("rows", "bytes")]
    + [("seconds", pa.float64()), ("cpu_seconds", pa.float64()), ("peak_bytes", pa.int64())]
    + [(name, pa.string()) for name in ("content", "reused", "books", "facts")]
)

_COUNTS = (
    "read",
    "unreadable",
    "empty",
    "dropped",
    "exact",
    "near",
    "contaminated",
    "held_out",
    "kept",
    "bytes",
    "tokens",
)
_DOMAIN_STATS = pa.schema(
    [("domain", pa.string())]
    + [(name, pa.int64()) for name in _COUNTS]
    + [("duplicate_rate", pa.float64()), ("rules", pa.map_(pa.string(), pa.int64()))]
)

VIEWS = (*_PUBLISHED, "signals", "shards", "receipts", "lineage", "domain_stats")


def rebuild(root: Root, plan: Plan) -> None:
    """Write `corpus.duckdb` and the tables that it reads, atomically; does nothing if they are up to date.

    Views: corpus, holdout, dropped, findings, duplicates as published; signals: corpus and dropped documents without
    text, `rule` null for those kept; shards: which document's tokens are where; receipts of the current plan, a row a
    unit (rows of its largest part, bytes of all); lineage: from a document to its fate and its raw file (`record`
    counts from the start of the file, or from byte `start` of a file that was split); domain_stats.

    Raises:
        UsageError: there was no run in this root.
    """
    base = root.path.resolve()
    folder = base / root.latest_run()
    complete = [receipt for stage in plan.stages.values() for receipt in root.complete(stage)]
    state = _state(base, plan, complete)
    done = folder / "views.json"
    if (base / DATABASE).is_file() and done.is_file() and done.read_text() == state:
        return
    _write(folder / "receipts.parquet", pa.Table.from_pylist([_receipt(receipt) for receipt in complete], _RECEIPTS))
    _write(folder / "domain_stats.parquet", _domain_stats(stats.domain_table(root, plan)))
    _write_views(base, folder)
    waiting = folder / f".views.{os.getpid()}"
    waiting.write_text(state)
    waiting.replace(done)


def _state(base: Path, plan: Plan, complete: list[Receipt]) -> str:
    """What the views depend on, hashed: the place, the plan, its receipts and the published folders."""
    published = []
    for path in (*(base / folder / MANIFEST for folder in (*_PUBLISHED, "shards")), base / "files.parquet"):
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            published.append([path.name, status.st_ino, status.st_mtime_ns, status.st_size])
    keys = [[stage.folder, len(stage.units)] for stage in plan.stages.values()]
    units = [receipt.key for receipt in complete]
    described = json.dumps([VERSION, str(base), keys, units, published])
    return json.dumps({"views": list(VIEWS), "state": hashlib.sha256(described.encode()).hexdigest()})


def _receipt(receipt: Receipt) -> dict[str, Any]:
    row = {name: getattr(receipt, name) for name in _RECEIPTS.names if hasattr(receipt, name)}
    parts = receipt.parts.values()
    sums = {"rows": max((part.rows for part in parts), default=0), "bytes": sum(part.bytes for part in parts)}
    return row | sums | {name: json.dumps(getattr(receipt, name), sort_keys=True) for name in ("books", "facts")}


def _domain_stats(table: list[stats.DomainStats]) -> pa.Table:
    return pa.Table.from_pylist([row.as_json() | {"rules": list(row.rules.items())} for row in table], _DOMAIN_STATS)


def _write(path: Path, table: pa.Table) -> None:
    waiting = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(table, waiting, compression="zstd")
    waiting.replace(path)


def _write_views(base: Path, folder: Path) -> None:
    waiting = base / f".{DATABASE}.{os.getpid()}"
    waiting.unlink(missing_ok=True)
    with contextlib.closing(duckdb.connect(str(waiting))) as connection:
        for name, query in _definitions(base, folder).items():
            connection.execute(f"CREATE VIEW {name} AS {query}")
    waiting.replace(base / DATABASE)


def _definitions(base: Path, folder: Path) -> dict[str, str]:
    found = {}
    for name, columns in _PUBLISHED.items():
        hive = ", hive_partitioning=true, hive_types_autocast=false" if name != "duplicates" else ""
        found[name] = _over(base, f"{name}/**/*.parquet", columns, hive)
    found["signals"] = _SIGNALS
    chosen = "* EXCLUDE (filename), replace(parse_filename(filename), '.docs.parquet', '.bin') AS file"
    found["shards"] = _over(base, "shards/*.docs.parquet", _SHARDS, ", filename=true", chosen)
    found["lineage"] = _LINEAGE.format(files=_over(base, "files.parquet", _FILES, "", ", ".join(_FILES)))
    inside = folder.relative_to(base).as_posix()
    receipts = _over(base, f"{inside}/receipts.parquet", {}, "")
    found["receipts"] = f"SELECT * REPLACE (books::JSON AS books, facts::JSON AS facts) FROM ({receipts})"
    found["domain_stats"] = _over(base, f"{inside}/domain_stats.parquet", {}, "")
    return found


def _over(base: Path, pattern: str, columns: dict[str, str], options: str, chosen: str = "*") -> str:
    """A query over Parquet files that has at least `columns`, also where there is no file."""
    empty = "SELECT " + ", ".join(f"NULL::{kind} AS {name}" for name, kind in columns.items()) + " WHERE false"
    if next(base.glob(pattern), None) is None:
        return empty
    place = _literal(f"{_as_pattern(str(base))}/{pattern}")
    files = f"SELECT {chosen} FROM read_parquet({place}, union_by_name=true{options})"
    return f"{empty} UNION ALL BY NAME {files}" if columns else files


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _as_pattern(path: str) -> str:
    """A path as a glob pattern that matches it alone."""
    return "".join(f"[{c}]" if c in "[*?" else c for c in path)


# -- queries of users ----------------------------------------------------------------------------------------------


def query(root: Root, sql: str) -> pa.Table:
    """The answer to one SELECT (or FROM, DESCRIBE, SHOW, SUMMARIZE) over the views, as `rebuild` left them.

    Raises:
        UsageError: the SQL is wrong, is no query, or wants to leave the run folder.
    """
    with _sandbox(root.path.resolve()) as connection, said():
        only_query(connection, sql)
        table = _integers(connection.sql(sql).to_arrow_table())
        return table.rename_columns(distinct(table.column_names))


def only_query(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Refuse what is not one query.

    Raises:
        UsageError: it is none, or several. duckdb.Error: it does not parse.
    """
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise UsageError("a query is one SELECT; it reads a run and changes nothing", f"views: {', '.join(VIEWS)}")


@contextlib.contextmanager
def said() -> Iterator[None]:
    """What DuckDB raises, as a UsageError."""
    try:
        yield
    except duckdb.PermissionException as error:
        raise UsageError(f"a query reads nothing outside the run folder: {error}") from None
    except duckdb.CatalogException as error:
        raise UsageError(str(error), f"views: {', '.join(VIEWS)}") from None
    except duckdb.Error as error:
        raise UsageError(str(error)) from None


def distinct(names: list[str]) -> list[str]:
    """Names of columns, a repeated one as `a_1`, as in a subquery of DuckDB, or by the next number that is free."""
    found: list[str] = []
    taken = set(names)
    for number, name in enumerate(names):
        if name in names[:number]:
            name = next(other for n in itertools.count(1) if (other := f"{name}_{n}") not in taken)  # noqa: PLW2901
            taken.add(name)
        found.append(name)
    return found


def _integers(table: pa.Table) -> pa.Table:
    """Sums of integers, which DuckDB gives as 128-bit decimals, as int64 where they fit."""
    for number, field in enumerate(table.schema):
        if field.type == pa.decimal128(38, 0):
            with contextlib.suppress(pa.ArrowInvalid):
                table = table.set_column(number, field.name, table.column(number).cast(pa.int64()))
    return table


@contextlib.contextmanager
def _sandbox(base: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The views, read-only; no file outside `base`, no extension, no Python object, no setting."""
    if not (base / DATABASE).is_file():
        raise UsageError(f"{base} has no {DATABASE}", f"corpuskit stats {base} writes it")
    with contextlib.closing(duckdb.connect(str(base / DATABASE), read_only=True, config=_CLOSED)) as connection:
        _lock(connection, base)
        yield connection


def connect(root: Root) -> duckdb.DuckDBPyConnection:
    """The views in a sandbox in memory that stays open while runs rebuild them; its cursors serve threads.

    Raises:
        UsageError: there was no run in this root, or nothing rebuilt its views.
    """
    base = root.path.resolve()
    if not (base / DATABASE).is_file():
        raise UsageError(f"{base} has no {DATABASE}", f"corpuskit stats {base} writes it")
    connection = duckdb.connect(":memory:", config=_CLOSED)
    connection.execute("SET temp_directory = ''")  # a query that needs more than memory fails, and writes nothing
    connection.execute("SET parquet_metadata_cache = true")
    for name, definition in _definitions(base, base / root.latest_run()).items():
        connection.execute(f"CREATE VIEW {name} AS {definition}")
    _lock(connection, base)
    return connection


_CLOSED: dict[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}


def _lock(connection: duckdb.DuckDBPyConnection, base: Path) -> None:
    # DuckDB compares a glob pattern with these as text, so the folder is allowed in both its spellings
    allowed = ", ".join(_literal(text) for text in dict.fromkeys((str(base), _as_pattern(str(base)))))
    connection.execute(f"SET allowed_directories = [{allowed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET lock_configuration = true")
