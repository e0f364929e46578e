"""Two builds compared: their recipes, and what became of each document; what `corpuskit diff` shows.

A document is one raw record: its id is the same in both builds as long as its source and file have the same names.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from corpuskit.core.plan import Plan
from corpuskit.errors import UsageError
from corpuskit.explore import stats, views
from corpuskit.plan.why import differences
from corpuskit.store.root import Root

FATES = ("came", "went", "changed")

_DOCUMENTS = """
CREATE TEMP TABLE documents AS
WITH a AS (SELECT doc, hash(text) AS text, left(text, 200) AS shown FROM a.corpus),
    b AS (SELECT doc, hash(text) AS text, left(text, 200) AS shown FROM b.corpus),
    both_corpora AS (
        SELECT doc, coalesce(b.shown, a.shown) AS shown,
            CASE WHEN a.doc IS NULL THEN 'came' WHEN b.doc IS NULL THEN 'went' ELSE 'changed' END AS change
        FROM a FULL JOIN b USING (doc)
        WHERE a.text IS DISTINCT FROM b.text
    )
SELECT change, doc, shown, coalesce(one.fate, 'not read') AS before, coalesce(two.fate, 'not read') AS after,
    coalesce(two.domain, one.domain) AS domain,
    coalesce(two.relative || '#' || two.record, one.relative || '#' || one.record) AS raw
FROM both_corpora LEFT JOIN a.lineage one USING (doc) LEFT JOIN b.lineage two USING (doc)"""

_REASONS = """
SELECT change, before, after, count(*) AS documents,
    list({'doc': doc, 'raw': raw, 'text': shown} ORDER BY doc)[:3] AS examples
FROM documents GROUP BY ALL ORDER BY change, documents DESC, before, after"""


@dataclass(frozen=True)
class Domain:
    """A domain in both builds: [of A, of B] each; documents, and where it is tokenized tokens.

    Attributes:
        came, went, changed: documents of B's corpus that A's has not, the reverse, and those of another text.
    """

    domain: str
    kept: list[int]
    bytes: list[int]
    tokens: list[int | None]
    duplicates: list[int]
    came: int
    went: int
    changed: int


@dataclass(frozen=True)
class Difference:
    """Two builds compared.

    Attributes:
        roots, runs: of A and B.
        recipe: what is different in the recipe, a line each.
        domains: by name. reasons: [{change, before, after, documents, examples: [{doc, raw, text}]}], where `before`
            and `after` are what became of the documents in A and B: `kept`, the rule that dropped them, `exact`,
            `near`, `held_out`, or `not read`; the most frequent first.
        common: documents that both builds have read.
    """

    roots: list[str]
    runs: list[str]
    recipe: list[str]
    domains: list[Domain]
    reasons: list[dict[str, Any]]
    common: int

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def diff(one: Root, two: Root) -> Difference:
    """Compare the last runs of two roots.

    Raises:
        UsageError: a root has no run, or none that came to a corpus.
    """
    roots, plans = [one, two], [one.require_plan(), two.require_plan()]
    for root, plan in zip(roots, plans, strict=True):
        if not root.manifest("corpus"):
            raise UsageError(f"{root.url} has no corpus yet", "run its recipe to the end")
        views.rebuild(root, plan)
    with views.said(one, two), contextlib.closing(views.connect_both(one, two)) as connection:
        connection.execute(_DOCUMENTS)
        reasons = connection.sql(_REASONS).to_arrow_table().to_pylist()
        by_domain = connection.execute("SELECT domain, change, count(*) FROM documents GROUP BY ALL").fetchall()
        (common,) = connection.execute("SELECT count(*) FROM a.lineage SEMI JOIN b.lineage USING (doc)").fetchall()[0]
    changes = {(domain, change): count for domain, change, count in by_domain}
    return Difference(
        [root.url for root in roots],
        [root.latest_run().removeprefix("runs/") for root in roots],
        _recipe(*(yaml.safe_load(root.store.get(f"{root.latest_run()}/resolved.yaml")) for root in roots)),
        _domains(roots, plans, changes),
        reasons,
        common,
    )


def _domains(roots: list[Root], plans: list[Plan], changes: dict[tuple[str, str], int]) -> list[Domain]:
    tables = [
        {row.domain: row for row in stats.domain_table(root, plan)} for root, plan in zip(roots, plans, strict=True)
    ]
    found = []
    for name in sorted({*tables[0], *tables[1]}):
        rows = [table.get(name, stats.DomainStats(name)) for table in tables]
        found.append(
            Domain(
                name,
                kept=[row.kept for row in rows],
                bytes=[row.bytes for row in rows],
                tokens=[row.tokens for row in rows],
                duplicates=[row.exact + row.near for row in rows],
                **{change: changes.get((name, change), 0) for change in FATES},
            )
        )
    return found


def _recipe(one: dict[str, Any], two: dict[str, Any]) -> list[str]:
    """What is different in two resolved recipes: steps are compared by their names."""
    steps = [{step["name"]: step for step in recipe.pop("steps", [])} for recipe in (one, two)]
    lines = [text for _, text in differences(one, two)]
    lines += [f"without the step {name}" for name in steps[0] if name not in steps[1]]
    lines += [f"with the step {name}" for name in steps[1] if name not in steps[0]]
    common = [[name for name in some if name in steps[0] and name in steps[1]] for some in steps]
    if common[0] != common[1]:
        lines.append("steps in another order")
    return lines + [text for name in common[0] for _, text in differences(steps[0][name], steps[1][name], name)]
