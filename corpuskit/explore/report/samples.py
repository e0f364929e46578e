"""A few documents that each rule dropped and a few that each domain kept, chosen by hash and so not by hand."""

from __future__ import annotations

import contextlib
from typing import Any

from corpuskit.explore import views
from corpuskit.explore.report.page import folded, heading, paragraph, quote
from corpuskit.store.root import Root

EACH = 2
BEGINNING = 400
"""Characters of a document that are shown."""


def section(root: Root) -> str:
    """The section, of the texts that are kept."""
    with views.said(root), contextlib.closing(views.connect(root, names=["corpus", "dropped"])) as cursor:
        dropped = _chosen(root, cursor, "dropped WHERE text IS NOT NULL", "rule", "reason")  # most have none
        kept = _chosen(root, cursor, "corpus", "domain", "source")
    parts = [(heading("Dropped, by rule"), dropped), (heading("Kept, by domain"), kept)]
    return "".join(title + "".join(_group(*group) for group in found.items()) for title, found in parts if found)


def _chosen(root: Root, cursor: Any, some: str, by: str, more: str) -> dict[str, list[tuple[Any, ...]]]:
    """The documents of least hash of each group: (id, domain, more, beginning).

    They are found by ids alone, in memory that does not grow with the corpus, and only their texts are read.
    """
    docs = cursor.execute(f"SELECT min_by(doc, hash(doc), {EACH}) FROM {some} GROUP BY {by}").fetchall()
    if not docs:
        return {}
    columns = f"{by}, hash(doc), doc, domain, {more}, left(text, {BEGINNING})"
    wanted = (doc for (group,) in docs for doc in group)
    found: dict[str, list[tuple[Any, ...]]] = {}
    for group, _, *row in sorted(views.of_documents(root, cursor, some.partition(" ")[0], columns, wanted)):
        found.setdefault(group, []).append(tuple(row))
    return found


def _group(name: str, rows: list[tuple[Any, ...]]) -> str:
    said = ""
    for doc, domain, more, text in rows:
        said += paragraph(f"document {doc} of {domain}" + (f", {more}" if more else ""), "muted") + quote(text)
    return folded(name, said)
