"""The verbs that look at a run: status, stats, find, trace, diff, report, explore."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from corpuskit.cli.options import answer
from corpuskit.errors import UsageError


def status(options: argparse.Namespace) -> None:
    """Say how far a run is."""
    from corpuskit.explore import status
    from corpuskit.explore.views import rebuild
    from corpuskit.store.root import Root

    root = Root(options.root)
    rebuild(root, root.require_plan())
    answer(options, status.render(root, verbose=options.verbose), status.as_json(root))


def stats(options: argparse.Namespace) -> None:
    """Print the domain table, the answer to a query, or what another threshold would change."""
    from corpuskit.core.tables import table
    from corpuskit.explore import stats, stats_text
    from corpuskit.explore.views import query, rebuild
    from corpuskit.run.seal import unpublished
    from corpuskit.store.root import Root

    root = Root(options.root)
    plan = root.require_plan()
    if options.what_if is not None:
        from corpuskit.explore import what_if, what_if_text

        answered = what_if.what_if(root, plan, *what_if.parse(options.what_if, plan))
        answer(options, what_if_text.render(answered), answered.as_json())
        return
    rebuild(root, plan)
    if options.sql is None:
        answer(options, stats_text.render(root, plan), stats.as_json(stats.domain_table(root, plan)))
        return
    found = query(root, options.sql)
    for folder in unpublished(plan, root):
        if folder in options.sql or folder == "corpus":
            told = "what an earlier plan gave" if root.manifest(folder) else "nothing"
            print(f"warning: `{folder}/` holds {told}: the run is not at its end; see status", file=sys.stderr)
    rows = found.to_pylist()
    text = table(found.column_names, [["" if v is None else str(v) for v in row.values()] for row in rows])
    answer(options, text, rows)


def trace(options: argparse.Namespace) -> None:
    """Follow a document, a place in the shards or a step of training."""
    from corpuskit.explore.trace import trace
    from corpuskit.store.root import Root

    root = Root(options.root)
    answer(options, *trace(root, root.require_plan(), options.what))


def diff(options: argparse.Namespace) -> None:
    """Compare two builds."""
    from corpuskit.explore import diff, diff_text
    from corpuskit.store.root import Root

    found = diff.diff(Root(options.root_a), Root(options.root_b))
    answer(options, diff_text.render(found), found.as_json())


def report(options: argparse.Namespace) -> None:
    """Write the page of a run."""
    from corpuskit.explore import report
    from corpuskit.store.root import Root

    root = Root(options.root)
    plan = root.require_plan()
    page = report.write(root, plan, root.latest_run())
    answer(options, f"wrote {page}", {"report": page})


def explore(options: argparse.Namespace) -> None:
    """Serve the page of a run on this machine until it is interrupted."""
    import contextlib
    import webbrowser

    from corpuskit.explore.explorer.server import Server

    with Server(options.root, options.port) as server:
        answer(options, f"explore {options.root} at {server.address}\nCtrl-C ends it", {"address": server.address})
        sys.stdout.flush()
        if not options.no_browser:
            webbrowser.open(server.address)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def find(options: argparse.Namespace) -> None:
    """Print where a passage stands in the corpus, or which spans of a file do."""
    from corpuskit.explore import find
    from corpuskit.store.root import Root

    asked = _asked(options)
    root = Root(options.root)
    search = find.Search(root, root.require_plan())
    if options.file is not None:
        found = search.spans(asked, options.min)
        answer(options, find.spans_said(asked, found, options.min), find.spans_json(asked, found, options.min))
        return
    if not search.indexed:
        more = f"corpuskit run RECIPE --root {root.url} --set index.spans=true"
        print(f"no index: every text of the corpus is read; to find at once: {more}", file=sys.stderr)
    places = search.passage(asked)
    answer(options, find.said(asked, places), {"text": asked, "indexed": search.indexed, **find.as_json(places)})


def _asked(options: argparse.Namespace) -> str:
    """The text that is looked for: an argument, or the content of a file."""
    if (options.text is None) == (options.file is None):
        raise UsageError("name a passage or a file, one of the two", "corpuskit find ROOT TEXT, or --file FILE")
    if options.min < 1:
        raise UsageError(f"--min {options.min}: a span has at least one character", "--min 50")
    where = "the passage" if options.file is None else str(options.file)
    try:
        text = str(options.text) if options.file is None else Path(options.file).read_bytes().decode()
        text.encode()
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise UsageError(f"{where}: not UTF-8 at {error.start:,}", "the texts of a corpus are UTF-8") from None
    except OSError as error:
        raise UsageError(f"{where}: cannot be read: {error.strerror}", "--file takes a text file") from None
    if not text:
        raise UsageError(f"{where} is empty", 'corpuskit find ROOT "some words"')
    return text
