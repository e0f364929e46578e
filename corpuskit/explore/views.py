"""The DuckDB views of a run, and the sandbox in which users query them.

`corpus.duckdb` holds views only, over the Parquet files of the run by absolute path; every verb rebuilds it, so that a
root can be moved; a bucket has none. It is for other tools: corpuskit makes its views anew for each query, and believes
no database. What views cannot read from published folders (receipts, the domain table) is written as Parquet beside the
plan of the last run. A query can read the run folder and nothing else, and write nowhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from corpuskit.core.checksum import BLOCK
from corpuskit.core.plan import Plan
from corpuskit.core.work import Receipt
from corpuskit.errors import UsageError
from corpuskit.explore import view_tables
from corpuskit.explore.place import Place, failure
from corpuskit.store.root import MANIFEST, Root
from corpuskit.store.scratch import scratch_name
from corpuskit.store.shown import TABLES

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

VIEWS = (*_PUBLISHED, "signals", "shards", "receipts", "lineage", "domain_stats")


def rebuild(root: Root, plan: Plan) -> str:
    """Write `corpus.duckdb` and the tables that it reads, atomically; does nothing if they are up to date.

    Views: corpus, holdout, dropped, findings, duplicates as published; signals: corpus and dropped documents without
    text, `rule` null for those kept; shards: which document's tokens are where; receipts of the current plan, a row a
    unit (rows of its largest part, bytes of all); lineage: from a document to its fate and its raw file (`record`
    counts from the start of the file, or from byte `start` of a file that was split); domain_stats.

    Returns:
        What they depend on, hashed.

    Raises:
        UsageError: there was no run in this root.
        DamagedFile: a file that a view is made over is not what was written.
    """
    run = root.latest_run()
    for name in (*_PUBLISHED, "shards"):
        root.store.list(name)  # what DuckDB will read lies in the root
    complete = [receipt for stage in plan.stages.values() for receipt in root.complete(stage)]
    state, local = _state(root, plan, complete), root.store.path
    if (local is None or (local / DATABASE).is_file()) and view_tables.stand(root, run, state):
        return state
    files = view_tables.write(root, plan, run, complete)
    if local is not None:
        with said(root):  # it looks at the end of each file
            _write_views(local.resolve(), Place(root), run)
    view_tables.note(root, run, state, files)
    return state


def _state(root: Root, plan: Plan, complete: list[Receipt]) -> str:
    """What the views depend on, hashed: the place, the plan, its receipts and the manifests of published folders."""
    keys = [f"{folder}/{MANIFEST}" for folder in (*_PUBLISHED, "shards")]
    published = [hashlib.sha256(content or b"").hexdigest() for content in root.store.get_all(keys)]
    place = str(root.store.path.resolve()) if root.store.path is not None else root.url
    stages = [[stage.folder, len(stage.units)] for stage in plan.stages.values()]
    described = json.dumps([VERSION, VIEWS, place, stages, [receipt.key for receipt in complete], published])
    return hashlib.sha256(described.encode()).hexdigest()


def _write_views(base: Path, place: Place, run: str) -> None:
    waiting = base / f".{DATABASE}.{os.getpid()}"
    for path in (waiting, waiting.with_name(f"{waiting.name}.wal")):
        path.unlink(missing_ok=True)
    with contextlib.closing(duckdb.connect(str(waiting))) as connection:
        _create_views(connection, place, run)
    waiting.replace(base / DATABASE)


def _create_views(
    connection: duckdb.DuckDBPyConnection, place: Place, run: str, names: Collection[str] | None = None
) -> None:
    found = _definitions(place, run)
    wanted = set(found if names is None else names)
    wanted |= {other for name in wanted for other in _words(found[name]) & set(found)}  # views that views read
    for name, query in found.items():
        if name in wanted:
            connection.execute(f"CREATE VIEW {name} AS {query}")


def _words(sql: str) -> set[str]:
    return set(re.findall(r"\w+", sql.lower()))


def _definitions(place: Place, run: str) -> dict[str, str]:
    found = {}
    for name in _PUBLISHED:
        found[name] = _over(place, f"{name}/**/*.parquet", *_published(name))
    found["signals"] = _SIGNALS
    chosen = "* EXCLUDE (filename), replace(parse_filename(filename), '.docs.parquet', '.bin') AS file"
    found["shards"] = _over(place, "shards/*.docs.parquet", _SHARDS, ", filename=true", chosen)
    found["lineage"] = _LINEAGE.format(files=_over(place, "files.parquet", _FILES, "", ", ".join(_FILES)))
    receipts, found["domain_stats"] = (_over(place, f"{run}/{name}", {}, "") for name in TABLES)
    found["receipts"] = f"SELECT * REPLACE (books::JSON AS books, facts::JSON AS facts) FROM ({receipts})"
    return found


def _published(name: str) -> tuple[dict[str, str], str]:
    """Columns that a published folder has in any case, and how its files are read."""
    hive = "" if name == "duplicates" else ", hive_partitioning=true, hive_types_autocast=false"
    return _PUBLISHED[name], hive


def _over(place: Place, pattern: str, columns: dict[str, str], options: str, chosen: str = "*") -> str:
    """A query over Parquet files that has at least `columns`, also where there is no file."""
    empty = "SELECT " + ", ".join(f"NULL::{kind} AS {name}" for name, kind in columns.items()) + " WHERE false"
    if not place.has(pattern):
        return empty
    named = _literal(f"{place.start}{pattern}")
    files = f"SELECT {chosen} FROM read_parquet({named}, union_by_name=true{options})"
    return f"{empty} UNION ALL BY NAME {files}" if columns else files


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def of_documents(
    root: Root, cursor: duckdb.DuckDBPyConnection, folder: str, columns: str, docs: Iterable[int]
) -> list[tuple[Any, ...]]:
    """Columns of some documents of a published folder, in any order: of texts no more is read than holds them.

    Ids alone say which files hold them, in one query; then each is read by itself from its file. `doc IN (...)` would
    read the texts of whatever lies between the least and the greatest id, which is nearly all of a corpus; and what is
    asked of all files looks at each of them.
    """
    place, wanted, (kinds, options) = Place(root), ", ".join(map(str, docs)), _published(folder)
    if not wanted or not place.has(pattern := f"{folder}/**/*.parquet"):
        return []
    files = f"read_parquet({_literal(place.start + pattern)}, filename=true)"
    found = cursor.execute(f"SELECT doc, filename FROM {files} WHERE doc IN ({wanted})").fetchall()
    each = [f"FROM ({_over(place, place.only(file), kinds, options)}) WHERE doc = {doc}" for doc, file in found]
    return cursor.execute(" UNION ALL ".join(f"SELECT {columns} {one}" for one in each)).fetchall() if each else []


# -- queries of users ----------------------------------------------------------------------------------------------


def query(root: Root, sql: str) -> pa.Table:
    """The answer to one SELECT (or FROM, DESCRIBE, SHOW, SUMMARIZE) over the views, as `rebuild` left them.

    Raises:
        UsageError: the SQL is wrong, is no query, or wants to leave the run folder.
        DamagedFile: a file that it reads is not what was written.
    """
    with said(root), contextlib.closing(connect(root, spills=True, names=_named(sql))) as connection:
        only_query(connection, sql)
        table = _integers(connection.sql(sql).to_arrow_table())
        return table.rename_columns(distinct(table.column_names))


def _named(sql: str) -> Collection[str]:
    """The views that a query may read: to make one takes a look at each of its files.

    A query that lists what there is, or that names none, is given all.
    """
    words = _words(sql)
    lists = any(word == "show" or word.startswith(("duckdb_", "information_schema", "pg_")) for word in words)
    return VIEWS if lists or not words & set(VIEWS) else [name for name in VIEWS if name in words]


def only_query(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Refuse what is not one query.

    Raises:
        UsageError: it is none, or several. duckdb.Error: it does not parse.
    """
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise UsageError("a query is one SELECT; it reads a run and changes nothing", f"views: {', '.join(VIEWS)}")


@contextlib.contextmanager
def said(*roots: Root) -> Iterator[None]:
    """What DuckDB raises over the views of some roots, as a UsageError, or as DamagedFile where a file is at fault."""
    try:
        yield
    except duckdb.PermissionException as error:
        raise UsageError(f"a query reads nothing outside the run folder: {error}") from None
    except duckdb.CatalogException as error:
        raise UsageError(str(error), f"views: {', '.join(VIEWS)}") from None
    except duckdb.Error as error:
        known = failure(error)
        if known is None and (type(error) is duckdb.Error or isinstance(error, _OF_FILES)):
            _refuse_damaged(roots)
            known = UsageError(str(error), f"if no query is at fault: corpuskit verify {roots[0].url} --repair")
        raise known or UsageError(str(error)) from None
    except RuntimeError:  # of DuckDB too, where what it would say is no UTF-8
        _refuse_damaged(roots)
        raise


_OF_FILES = (duckdb.InvalidInputException, duckdb.IOException, duckdb.SerializationException)
"""What DuckDB raises where a file is damaged, often without its name; or `duckdb.Error`, which a query seldom gets."""


def _refuse_damaged(roots: Iterable[Root]) -> None:
    """Raise DamagedFile if a file that views read is not what was written; reads all, up to the first."""
    from corpuskit.run.seal import published

    folders = tuple(f"{name}/" for name in (*_PUBLISHED, "shards"))
    for root in roots:
        with contextlib.suppress(UsageError, FileNotFoundError):  # one that is missing is no damage that a query met
            view_tables.refuse_damaged(root, root.latest_run())
            for part in published(root, root.require_plan(), folders):
                if part.key.endswith(".parquet"):
                    with part.open() as file:
                        while file.read(BLOCK):
                            pass


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


def connect(root: Root, *, spills: bool = False, names: Collection[str] | None = None) -> duckdb.DuckDBPyConnection:
    """The views, made in memory: no file outside the root, no extension, no Python object, no setting.

    What lies in the root's own database is not looked at. The connection stays right while runs rebuild it, of a bucket
    with the files that were there when it was opened; its cursors serve threads.

    Args:
        root: of the run.
        spills: whether what a query has no memory for goes to a folder, of the root or in TMPDIR; else the query fails.
        names: of the views; default: all.

    Raises:
        UsageError: there was no run in this root, or nothing rebuilt its views.
        DamagedFile: a file that a view is made over is not what was written.
    """
    run, place = root.latest_run(), Place(root)
    if any(root.store.size(f"{run}/{name}") is None for name in TABLES):
        raise UsageError(f"{root.url} has no views of its last run", f"corpuskit stats {root.url} makes them")
    connection = duckdb.connect(":memory:", config=_CLOSED)
    connection.execute(f"SET temp_directory = {_literal(_spill(root) if spills else '')}")
    connection.execute("SET parquet_metadata_cache = true")
    place.open_to(connection)
    with said(root):
        _create_views(connection, place, run, names)
    _lock(connection, place)
    return connection


def _spill(root: Root) -> str:
    if root.store.path is None:
        folder = root.store.scratch("fetched", scratch_name("sql"))
        folder.parent.mkdir(parents=True, exist_ok=True)
        return str(folder)
    return str(root.store.path.resolve() / f"{DATABASE}.tmp")


_CLOSED: dict[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}


def connect_both(one: Root, other: Root) -> duckdb.DuckDBPyConnection:
    """The views of two roots, as `a.corpus` and `b.corpus` and so on; for the rest as `connect`."""
    connection = duckdb.connect(":memory:", config=_CLOSED)
    places = {name: Place(root, name) for name, root in zip("ab", (one, other), strict=True)}
    for (name, place), root in zip(places.items(), (one, other), strict=True):
        place.open_to(connection)
        connection.execute(f"ATTACH ':memory:' AS {name}; USE {name}")
        _create_views(connection, place, root.latest_run())
    connection.execute("USE memory")
    _lock(connection, *places.values())
    return connection


def _lock(connection: duckdb.DuckDBPyConnection, *places: Place) -> None:
    allowed = ", ".join(_literal(folder) for place in places for folder in dict.fromkeys(place.folders))
    connection.execute(f"SET allowed_directories = [{allowed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET lock_configuration = true")
