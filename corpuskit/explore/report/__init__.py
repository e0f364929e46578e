"""The report of a run: one self-contained HTML page that says what was built, from what, and what was left out."""

from __future__ import annotations

from corpuskit.core.plan import Plan
from corpuskit.explore import views
from corpuskit.explore.report import built, duplicates, funnel, samples, sections, signals
from corpuskit.explore.report.page import page
from corpuskit.store.root import Root

__all__ = ["write"]


def write(root: Root, plan: Plan, run: str) -> str:
    """Write `report.html` into the folder of a run.

    Args:
        root, plan: the run; what is not complete yet is left out, and said.
        run: the folder of the run whose recipe and environment are shown, `runs/<time>`.

    Returns:
        The path of the page, or its URL.
    """
    views.rebuild(root, plan)
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
    root.store.put(f"{run}/report.html", html.encode())
    return f"{root.url}/{run}/report.html"
