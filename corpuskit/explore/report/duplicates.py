"""What dedup removed, and why it can be believed: precision, recall of the bands, clusters, and the largest of them."""

from __future__ import annotations

import contextlib
from typing import Any

from corpuskit.core.plan import Plan
from corpuskit.explore import bands, evidence
from corpuskit.explore.bands import Measured
from corpuskit.explore.report import charts
from corpuskit.explore.report.page import figure, heading, heat, paragraph, quote
from corpuskit.explore.views import connect, of_documents, query, said
from corpuskit.steps.lsh import Minhash, s_curve
from corpuskit.store.root import Root

LARGEST = 10
BEGINNING = 400
"""Characters of a document that are shown."""

STEPS = 100


def section(root: Root, plan: Plan) -> str:
    """The section; of it what is known, and nothing before a choice is made or lines are cut."""
    found = evidence.choices(root, plan)
    said = "".join(paragraph(f"{text}.") for text in evidence.cut_texts(root, plan))
    said += "".join(paragraph(f"{one.step}: {one.found}; {one.promise}. See `duplicates`.") for one in found)
    clusters, by_domain = evidence.clusters(found), evidence.by_domain(found)
    curves = _clusters(clusters) if clusters else ""
    curves += "".join(_s_curve(one.params, bands.measured(root, plan, one.params)) for one in found if one.params.bands)
    if curves:
        said += f'<div class="side">{curves}</div>'
    if by_domain:
        said += heading("Removed documents (row), by the domain of the document that was kept (column)")
        said += _matrix(by_domain)
    # the evidence is published when all choices are made
    return said + (_largest(root) if found and len(found) == len(evidence.stages(plan)) else "")


def _clusters(clusters: list[dict[str, int]]) -> str:
    points = [(float(entry["size"]), float(entry["clusters"])) for entry in clusters]
    x, y = charts.Axis("documents of a cluster", log=True), charts.Axis("clusters", log=True)
    drawn = charts.plot(x, y, [charts.Series("", points, line=False)])
    return figure("Clusters by size: a kept document with all that it removed", drawn)


def _s_curve(params: Minhash, measured: list[Measured]) -> str:
    similarities = [step / STEPS for step in range(STEPS + 1)]
    caught = s_curve(params.bands, params.rows, similarities)
    x = charts.Axis("Jaccard similarity", ends=(0, 1))
    y = charts.Axis("pairs caught", percent=True, ends=(0, 1.02))
    series = [charts.Series("expected", list(zip(similarities, caught, strict=True)))]
    if measured:
        pairs = sum(one.pairs for one in measured)
        points = [(one.jaccard, one.caught) for one in measured]
        series.append(charts.Series(f"measured on {pairs:,} pairs", points, line=False))
    (share,) = s_curve(params.bands, params.rows, [params.threshold])
    caption = f"Share of pairs that the bands catch; {100 * share:.1f} % at the threshold {params.threshold:g}"
    if measured:
        caption += ". Measured: the chance to agree in a band, from the bands in which removed pairs do"
    return figure(caption, charts.plot(x, y, series, marks=[params.threshold]))


def _matrix(by_domain: list[dict[str, Any]]) -> str:
    counts = {(entry["domain"], entry["kept_domain"]): entry["exact"] + entry["near"] for entry in by_domain}
    return heat(sorted({name for pair in counts for name in pair}), counts)


def _largest(root: Root) -> str:
    """The kept documents that removed most, with how they begin; empty before the corpus is sealed."""
    found = query(
        root,
        "SELECT kept_doc, kept_root, any_value(kept_domain) AS domain, count(*) AS removed, "
        "any_value(kept_dropped_by) AS later FROM duplicates GROUP BY kept_doc, kept_root "
        f"ORDER BY removed DESC, kept_doc, kept_root NULLS FIRST LIMIT {LARGEST}",
    ).to_pylist()
    if not found:
        return ""
    texts = _beginnings(root, [row["kept_doc"] for row in found if row["kept_root"] is None])
    said = heading("The largest clusters")
    for row in found:
        told = f"{row['removed']:,} removed for document {row['kept_doc']} of {row['domain']}"
        if row["kept_root"] is not None:  # another corpus may give the id of one of our documents to one of its own
            said += paragraph(f"{told} in {row['kept_root']}", "muted")
            continue
        said += paragraph(told + _fate(row["later"]), "muted")
        said += quote(texts.get(row["kept_doc"]) or _no_text(row["later"]))
    return said


def _fate(later: str | None) -> str:
    """Why a witness is not in the corpus, if it is not."""
    if later is None:
        return ""
    if later == "held_out":
        return "; it is held out"
    return f"; it was dropped later by {later}"


def _no_text(later: str | None) -> str:
    """What stands for a text that is in no published folder."""
    dropped = later not in (None, "held_out")
    return "(its text is not kept: `keep_dropped: true` keeps all)" if dropped else "(its text is not kept)"


def _beginnings(root: Root, docs: list[int]) -> dict[int, str]:
    """How documents of this corpus begin, by id, of those whose text is there."""
    if not docs:
        return {}
    found: dict[int, str] = {}
    with said(root), contextlib.closing(connect(root, names=[])) as cursor:
        for folder in ("corpus", "holdout", "dropped"):
            found |= of_documents(root, cursor, folder, f"doc, left(text, {BEGINNING})", docs)
    return found
