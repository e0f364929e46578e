"""The verbs that take something out of a root: gc."""

from __future__ import annotations

import argparse

from corpuskit.cli.options import answer


def gc(options: argparse.Namespace) -> None:
    """Say what a root holds without need; with `--yes`, remove it."""
    from corpuskit.run.garbage import remove, unneeded
    from corpuskit.store.root import Root

    root = Root(options.root)
    found = unneeded(root, root.require_plan())
    done = options.yes and bool(found.found)
    if done:
        remove(root, found)
    said = "removed" if done else f"nothing was removed; to remove it: corpuskit gc {root.url} --yes"
    text = found.render() + (f"\n{said}" if found.found else "")
    answer(options, text, found.as_json() | {"removed": done})
