"""The views of a run for many requests at once: a cursor each, answers cut to a length, queries that can be stopped."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb

from corpuskit.errors import UsageError
from corpuskit.explore import views
from corpuskit.store.root import Root

Row = dict[str, Any]


class Database:
    """The sandboxed views of a run.

    Args:
        place: the run's root.

    Raises:
        UsageError: there is no run in it.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._running: dict[str, duckdb.DuckDBPyConnection] = {}
        self.refresh()

    def refresh(self) -> Root:
        """Show what the run has published by now."""
        root = Root(self._place)
        with self._lock:
            views.rebuild(root, root.require_plan())
            self._connection, self._root = views.connect(root), root
        return root

    @contextlib.contextmanager
    def cursor(self, name: str = "") -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of a thread's own; `stop(name)` interrupts what it does.

        Raises:
            UsageError: what DuckDB refuses, or was stopped.
        """
        with self._lock:
            made = self._connection.cursor()
            if name:
                self._running[name] = made
        try:
            with views.said(self._root), contextlib.closing(made):
                yield made
        finally:
            with self._lock:
                self._running.pop(name, None)

    def stop(self, name: str) -> bool:
        """Interrupt a query; whether there was one of that name."""
        with self._lock:
            found = self._running.get(name)
            if found is not None:
                found.interrupt()
        return found is not None


def rows(cursor: duckdb.DuckDBPyConnection, sql: str, given: Sequence[Any] = ()) -> list[Row]:
    """All rows of an answer."""
    names, found = cut(cursor, sql, given, None)
    return [dict(zip(names, row, strict=True)) for row in found]


def cut(
    cursor: duckdb.DuckDBPyConnection, sql: str, given: Sequence[Any], most: int | None
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names of columns, a repeated one numbered, and at most `most` rows; the rest is not computed."""
    answer = cursor.execute(sql, list(given))
    names = views.distinct([column[0] for column in answer.description or ()])
    return names, answer.fetchall() if most is None else answer.fetchmany(most)


def one(found: Sequence[Row], what: str) -> Row:
    """The only row.

    Raises:
        UsageError: there is none: there is no `what`.
    """
    if not found:
        raise UsageError(f"there is no {what}")
    return found[0]
