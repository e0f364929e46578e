"""The verbs that look at a run: status, stats, trace, report."""

from __future__ import annotations

import argparse

from corpuskit.cli.options import answer
from corpuskit.errors import UsageError


def status(options: argparse.Namespace) -> None:
    """Say how far a run is."""
    from corpuskit.explore import status
    from corpuskit.explore.views import rebuild
    from corpuskit.store.root import Root

    root = Root(options.root)
    rebuild(root, root.require_plan())
    answer(options, status.render(root), status.as_json(root))


def stats(options: argparse.Namespace) -> None:
    """Print the domain table, or the answer to a query."""
    from corpuskit.core.tables import table
    from corpuskit.explore import stats, stats_text
    from corpuskit.explore.views import query, rebuild
    from corpuskit.store.root import Root

    if options.what_if is not None:
        raise UsageError("`--what-if` is not in this version yet", "change the rule and run again: no scorer is called")
    root = Root(options.root)
    plan = root.require_plan()
    rebuild(root, plan)
    if options.sql is None:
        answer(options, stats_text.render(root, plan), stats.as_json(stats.domain_table(root, plan)))
        return
    found = query(root, options.sql)
    rows = found.to_pylist()
    text = table(found.column_names, [["" if v is None else str(v) for v in row.values()] for row in rows])
    answer(options, text, rows)


def trace(options: argparse.Namespace) -> None:
    """Follow a document, a place in the shards or a step of training."""
    from corpuskit.explore.trace import trace
    from corpuskit.store.root import Root

    root = Root(options.root)
    answer(options, *trace(root, root.require_plan(), options.what))


def report(options: argparse.Namespace) -> None:
    """Write the page of a run."""
    from corpuskit.explore import report
    from corpuskit.store.root import Root

    root = Root(options.root)
    plan = root.require_plan()
    page = report.write(root, plan, root.latest_run())
    answer(options, f"wrote {page}", {"report": str(page)})
