"""The report of a run: one self-contained HTML page that says what was built, from what, and what was left out."""

from __future__ import annotations

import hashlib
import json

from corpuskit.core.plan import Plan
from corpuskit.explore import views
from corpuskit.explore.report import built, duplicates, funnel, samples, sections, signals
from corpuskit.explore.report.page import page
from corpuskit.store.root import Root
from corpuskit.store.shown import PAGE
from corpuskit.store.versions import other_versions

__all__ = ["PAGE", "latest", "write"]


def write(root: Root, plan: Plan, run: str) -> str:
    """Write `report.html` into the folder of a run.

    Args:
        root, plan: the run; what is not complete yet is left out, and said.
        run: the folder of the run whose recipe and environment are shown, `runs/<time>`.

    Returns:
        The path of the page, or its URL.

    Raises:
        DamagedFile: a file that is looked at is not what was written.
    """
    state = views.rebuild(root, plan)
    made = [
        ("", built.summary(root, plan, run)),
        ("Expected", built.expectations(root, plan)),
        ("Recipe", sections.recipe(root, run)),
        ("Domains", sections.domains(root, plan)),
        ("Funnel", funnel.section(root, plan)),
        ("Dropped, by rule", sections.dropped(root, plan)),
        ("Signals and thresholds", signals.section(root, plan)),
        ("Samples", samples.section(root)),
        ("Duplicates", duplicates.section(root, plan)),
        ("Mixture", sections.mixture(root, plan)),
        ("Training", sections.training(root, plan)),
        ("Resources", sections.resources(root, plan)),
        ("Lineage", built.lineage(root, plan)),
        ("Environment", sections.environment(root, plan, run)),
    ]
    html = page(f"corpuskit: {plan.recipe}", [(name, content) for name, content in made if content])
    root.store.put(f"{run}/{PAGE}", html.encode() + _mark(root, plan, run, state))
    return f"{root.url}/{run}/{PAGE}"


def latest(root: Root, plan: Plan, run: str) -> str | None:
    """The last report of a root, if it shows just what one of this run, in which no unit ran, would show."""
    state = views.rebuild(root, plan)
    pages = [key for earlier in root.runs() if root.store.size(key := f"{earlier}/{PAGE}") is not None]
    if pages and root.store.get(pages[-1]).endswith(_mark(root, plan, run, state)):
        return f"{root.url}/{pages[-1]}"
    return None


def _mark(root: Root, plan: Plan, run: str, state: str) -> bytes:
    """The end of a page: a hash of what it shows, which is the recipe, the environment, receipts and what is published.

    The seconds that a unit took are not in it.
    """
    asked, versions = root.manifest(run).get("files"), other_versions(root, plan.stages.values())
    shown = json.dumps([asked, versions, state], sort_keys=True)
    return f"<!-- shows {hashlib.sha256(shown.encode()).hexdigest()} -->\n".encode()
