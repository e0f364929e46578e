"""What the explorer's page asks, and the answers, as data: each public method of `Answers` is one question."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from corpuskit.core.plan import Plan
from corpuskit.errors import UsageError
from corpuskit.explore import stats, status, thresholds, views
from corpuskit.explore.explorer.compare import compared
from corpuskit.explore.explorer.database import Database, Row, cut, one, rows
from corpuskit.explore.explorer.search import search
from corpuskit.explore.trace import Trace, trace
from corpuskit.store.root import Root

PAGE = 50
"""Rows of a page of documents or pairs."""

EXAMPLES = 4
"""Documents shown on each side of a threshold."""

BEGINNING = 300
"""Characters of a text in a list."""

ROWS = 1000
"""Rows of an answer to SQL that are shown."""

FOLDERS = {"kept": "corpus", "dropped": "dropped", "held_out": "holdout"}


class Answers:
    """A run that is looked at.

    Args:
        place: its root.

    Raises:
        UsageError: there is no run in it.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._database = Database(place)

    def _opened(self) -> tuple[Root, Plan]:
        root = Root(self._place)  # a root remembers what it has read: each question looks anew
        return root, root.require_plan()

    # -- the run -------------------------------------------------------------------------------------------------------

    def overview(self) -> Row:
        """What the run is, and what can be asked of it; takes up what was published since."""
        root = self._database.refresh()
        plan = root.require_plan()
        table = stats.domain_table(root, plan)
        with self._database.cursor() as cursor:
            columns = {name: [row[0] for row in cursor.execute(f"DESCRIBE {name}").fetchall()] for name in views.VIEWS}
            signals = thresholds.signals(cursor)
        return {
            "recipe": plan.recipe,
            "root": root.url,
            "domains": [row.as_json() for row in table],
            "rules": dict(sorted(stats.total(table).rules.items(), key=lambda one: -one[1])),
            "signals": signals,
            "limits": [vars(limit) for limit in thresholds.limits(plan)],
            "views": columns,
            "warnings": stats.warnings(root, plan, table),
        }

    def status(self) -> Row:
        """How far the run is."""
        return status.as_json(Root(self._place))

    # -- documents -----------------------------------------------------------------------------------------------------

    def documents(
        self,
        *,
        fate: str = "kept",
        domain: str | None = None,
        rule: str | None = None,
        signal: str | None = None,
        low: float | None = None,
        high: float | None = None,
        descending: bool = False,
        offset: int = 0,
    ) -> Row:
        """A page of documents that were kept, dropped or held out, by domain, rule and signal; sorted by the signal."""
        if fate not in FOLDERS:
            raise UsageError(f"documents are {', '.join(FOLDERS)}, not `{fate}`")
        view = FOLDERS[fate]
        with self._database.cursor() as cursor:
            asked: list[tuple[str, Any]] = []
            if domain:
                asked.append(("domain = ?", domain))
            if rule and fate == "dropped":
                asked.append(("rule = ?", rule))
            order, shown = "", "NULL"
            if signal:
                shown = what = thresholds.column(cursor, signal)
                asked.append((f"{what} >= ?", low if low is not None else float("-inf")))
                if high is not None:
                    asked.append((f"{what} <= ?", high))
                order = f"ORDER BY {what} {'DESC' if descending else 'ASC'}, doc"
            where = "".join(f" AND {text}" for text, _ in asked)
            given = [value for _, value in asked]
            ((count,),) = cursor.execute(f"SELECT count(*) FROM {view} WHERE true{where}", given).fetchall()
            docs = f"SELECT doc, domain, {shown} AS value FROM {view} WHERE true{where} {order} LIMIT {PAGE} OFFSET ?"
            found = rows(cursor, docs, [*given, int(offset)])
            return {"count": count, "page": PAGE, "rows": self._with_beginnings(cursor, view, found)}

    @staticmethod
    def _with_beginnings(cursor: Any, view: str, found: list[Row]) -> list[Row]:
        """Rows of documents with how their texts begin: only texts that are shown are read."""
        docs = [row["doc"] for row in found]
        if not docs:
            return []
        more = ", rule, reason" if view == "dropped" else ""
        wanted = ", ".join(str(int(doc)) for doc in docs)  # as literals they choose what is read of the files
        texts = rows(cursor, f"SELECT doc, left(text, {BEGINNING}) AS text{more} FROM {view} WHERE doc IN ({wanted})")
        by_doc = {row["doc"]: row for row in texts}
        return [row | by_doc.get(row["doc"], {}) for row in found]

    def document(self, *, doc: str) -> Row:
        """A document's life, with its text as far as it is kept."""
        root, plan = self._opened()
        return Trace(root, plan).document(_id(doc))

    def compare(self, *, doc: str, other: str) -> Row:
        """Two documents beside each other, with what differs."""
        root, plan = self._opened()
        opened = Trace(root, plan)
        first, second = opened.document(_id(doc)), opened.document(_id(other))
        texts = (first["text"], second["text"])
        if texts[0] is None or texts[1] is None:
            missing = doc if texts[0] is None else other
            raise UsageError(f"the text of {missing} is not kept", "`keep_dropped: true` keeps all")
        pieces, uncompared = compared(*texts)
        lives = [{name: life[name] for name in ("doc", "raw", "fate", "reason", "columns")} for life in (first, second)]
        return {"one": lives[0], "two": lives[1], "pieces": pieces, "uncompared": uncompared}

    def duplicates(
        self, *, domain: str | None = None, kind: str | None = None, below: float | None = None, offset: int = 0
    ) -> Row:
        """A page of pairs, a removed document and its witness, the least similar first."""
        asked = [("domain = ?", domain), ("kind = ?", kind), ("jaccard <= ?", below)]
        asked = [(text, value) for text, value in asked if value not in (None, "")]
        where = "".join(f" AND {text}" for text, _ in asked)
        given = [value for _, value in asked]
        with self._database.cursor() as cursor:
            ((count,),) = cursor.execute(f"SELECT count(*) FROM duplicates WHERE true{where}", given).fetchall()
            query = f"SELECT * FROM duplicates WHERE true{where} ORDER BY jaccard, doc LIMIT {PAGE} OFFSET ?"
            return {"count": count, "page": PAGE, "rows": rows(cursor, query, [*given, int(offset)])}

    def search(self, *, text: str, fate: str = "kept", domain: str | None = None, blind: bool = False) -> Iterator[Row]:
        """Documents with a text in them, as they are found."""
        root, _ = self._opened()
        return search(root.store, text, FOLDERS.get(fate, ""), domain or None, blind=blind)

    def trace(self, *, what: str) -> Row:
        """What `corpuskit trace` says of a document, a raw record, a place in shards or a step of training."""
        text, found = trace(*self._opened(), what.strip())
        return {"text": text, "found": found}

    # -- thresholds ----------------------------------------------------------------------------------------------------

    def histogram(self, *, signal: str) -> Row:
        """How a signal is spread, and the limits that rules set on it."""
        _, plan = self._opened()
        limits = [limit for limit in thresholds.limits(plan) if limit.column.lower() == signal.lower()]
        with self._database.cursor() as cursor:
            found = thresholds.histogram(cursor, signal, limits)
        return {"histogram": None if found is None else found.as_json(), "limits": [vars(limit) for limit in limits]}

    def threshold(
        self, *, signal: str, operator: str, value: float, rule: str | None = None, domains: list[str] | None = None
    ) -> Row:
        """What `signal operator value` would drop of the kept documents, by domain, with examples on both sides.

        With `rule`, whose limit is moved: also what it dropped that would pass.
        """
        if operator not in thresholds.OPERATORS:
            raise UsageError(f"a threshold is one of {' '.join(thresholds.OPERATORS)}, not `{operator}`")
        up = operator in (">=", ">")
        with self._database.cursor() as cursor:
            what = thresholds.column(cursor, signal)
            passes = f"{what} {operator} {float(value)!r}"
            here = "list_contains(?::VARCHAR[], domain)" if domains else "?::VARCHAR[] IS NULL"
            given = [domains or None]
            counts = f"count(*) AS kept, count(*) FILTER (NOT ({passes})) AS drops"
            by_domain = rows(
                cursor,
                f"SELECT domain, {counts} FROM signals WHERE rule IS NULL AND {here} GROUP BY domain ORDER BY domain",
                given,
            )
            back = f"SELECT count(*) AS n FROM signals WHERE rule = ? AND {passes} AND {here}"
            returns = one(rows(cursor, back, [rule, *given]), "count")["n"] if rule else None
            near = f"SELECT doc, domain, {what} AS value FROM signals WHERE rule IS NULL AND {here} AND "
            sides = {}
            for side, condition, first in (("drops", f"NOT ({passes})", not up), ("keeps", passes, up)):
                query = f"{near} {condition} ORDER BY value {'ASC' if first else 'DESC'}, doc LIMIT {EXAMPLES}"
                sides[side] = self._with_beginnings(cursor, "corpus", rows(cursor, query, given))
        return {"domains": by_domain, "returns": returns, "examples": sides}

    # -- SQL -----------------------------------------------------------------------------------------------------------

    def sql(self, *, sql: str, name: str) -> Row:
        """The first rows of the answer to a query, which `stop` interrupts by its name."""
        with self._database.cursor(name) as cursor:
            views.only_query(cursor, sql)
            columns, found = cut(cursor, sql, (), ROWS + 1)
        return {"columns": columns, "rows": [list(row) for row in found[:ROWS]], "more": len(found) > ROWS}

    def stop(self, *, name: str) -> Row:
        """Interrupt a query."""
        return {"stopped": self._database.stop(name)}


def _id(doc: str) -> int:
    if not str(doc).isdigit():
        raise UsageError(f"`{doc}` is no document's id")
    return int(doc)


QUESTIONS = frozenset(name for name in vars(Answers) if not name.startswith("_"))
"""What may be asked."""
