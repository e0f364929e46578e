"""The verbs that take something out of a root: gc, remove."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from corpuskit.cli.options import answer
from corpuskit.errors import UsageError

if TYPE_CHECKING:
    from corpuskit.core.plan import Plan
    from corpuskit.store.root import Root


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


def remove(options: argparse.Namespace) -> None:
    """Take documents down, with their copies; without `--docs`, complete a takedown that was interrupted."""
    from corpuskit.run import takedown
    from corpuskit.store.removed import pending
    from corpuskit.store.root import Root

    root = Root(options.root)
    plan = root.require_plan()
    note = pending(root.store)
    if note is None:
        if options.docs is None:
            raise UsageError(f"no takedown in {root.url} waits to be completed", "name documents: --docs FILE")
        takedown.refuse(root, plan)
        copies, note = _asked(options, root, plan)
        if options.dry_run or not copies:
            said = "nothing was removed" if copies else "nothing is left to remove"
            answer(options, f"{_said(note)}\n{said}", note | {"removed": False})
            return
        takedown.begin(root, plan, copies, note)
    elif options.docs is not None or options.dry_run:
        raise UsageError(f"a takedown in {root.url} was interrupted", f"complete it first: corpuskit remove {root.url}")
    done = takedown.complete(root, plan)
    _look_again(root, plan, [doc for doc, _ in done["copies"]])
    takedown.end(root, done)
    answer(options, f"{_said(done)}\nremoved; {done['units']:,} units were written anew", done | {"removed": True})


def _asked(options: argparse.Namespace, root: Root, plan: Plan) -> tuple[dict[int, int | None], dict[str, Any]]:
    """Documents to take down, each with the one whose copy it is; and what is said of it."""
    from corpuskit.explore.trace.affected import checkpoints_after, named_documents, with_copies
    from corpuskit.run.takedown import models
    from corpuskit.store.removed import removed

    asked = named_documents(root, plan, options.docs)
    found, elsewhere = with_copies(root, plan, asked)
    before = set(removed(root.store).tolist())
    chosen = {doc: by for doc, by in found.items() if doc not in before and (by is None or not options.only)}
    seen, unknown = checkpoints_after(root, list(chosen))
    return chosen, {
        "asked": asked,
        "documents": sorted(chosen),
        "removed_before": sum(doc in before for doc in asked),
        "copies_left": sum(by is not None for by in found.values()) if options.only else 0,
        "copies_elsewhere": elsewhere,
        "trainings": seen,
        "trainings_unknown": unknown,
        "models": models(root, plan),
    }


def _said(note: dict[str, Any]) -> str:
    """What a takedown takes, and what it cannot reach."""
    copies = len(note["documents"]) - len(note["asked"]) + note["removed_before"]
    lines = [f"{len(note['asked']):,} documents asked for, {copies:,} copies of them"]
    if note["removed_before"]:
        lines[0] += f"; {note['removed_before']:,} were removed before"
    if note["copies_left"]:
        lines.append(f"{note['copies_left']:,} copies of them stay (--only); a changed recipe may bring them back")
    for one in note["trainings"]:
        kept = ", ".join(f"step-{step}" for step in one["checkpoints"]) or "none that is there"
        lines.append(f"{one['training']} saw some from step {one['first_step']:,} on; its checkpoints: {kept}")
    lines += [f"{folder} may have seen some: its shards are gone" for folder in note["trainings_unknown"]]
    if not note["trainings"] and not note["trainings_unknown"]:
        lines.append("no checkpoint of this root saw any of them")
    lines.append("what was exported keeps its own copies, or links to the files as they were: export it anew")
    lines += [f"a copy is in another corpus: {one}" for one in note["copies_elsewhere"]]
    if note["models"]:
        lines.append(f"estimated from documents, and left as they are: {', '.join(note['models'])}")
    return "\n".join(lines)


def _look_again(root: Root, plan: Plan, docs: list[int]) -> None:
    """Write views and the last report anew; earlier reports that name one of the documents quote it, and go."""
    from corpuskit.explore import report
    from corpuskit.explore.views import rebuild

    rebuild(root, plan)
    latest = root.latest_run()
    pages = {run: page for run in root.runs() if root.store.size(page := f"{run}/{report.PAGE}") is not None}
    for run, page in pages.items():
        if run != latest and any(str(doc).encode() in root.store.get(page) for doc in docs):
            root.store.delete([page])
    if pages:
        report.write(root, plan, latest)
