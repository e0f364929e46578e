"""What dedup removed, and why it can be believed: precision, recall of the bands, clusters, and the largest of them."""

from __future__ import annotations

from typing import Any

from corpuskit import stats
from corpuskit.dedup.params import Minhash, s_curve
from corpuskit.graph import Plan
from corpuskit.report import charts
from corpuskit.report.page import figure, heading, paragraph, quote
from corpuskit.store import Root
from corpuskit.views import query

LARGEST = 10
BEGINNING = 400
"""Characters of a document that are shown."""

STEPS = 100


def section(root: Root, plan: Plan) -> str:
    """The section, or nothing before the choice is made."""
    receipt = stats.single(root, plan, "choose")
    if receipt is None:
        return ""
    facts = receipt.facts
    precision = "" if facts["precision"] is None else f": a precision of {100 * facts['precision']:.2f} %"
    said = paragraph(
        f"{facts['candidates']:,} candidate pairs from {facts['bands']} bands of {facts['rows']} rows; "
        f"{facts['ruled_out']:,} ruled out by their signatures, {facts['compared']:,} compared by their shingles, "
        f"{facts['similar']:,} similar{precision}. Every removed document has a witness in `duplicates`."
    )
    curves = _s_curve(Minhash.parse(plan.stages["choose"].spec["minhash"]))
    if facts["clusters"]:
        curves = _clusters(facts["clusters"]) + curves
    said += f'<div class="side">{curves}</div>'
    if facts["by_domain"]:
        said += heading("Removed documents (row), by the domain of the document that was kept (column)")
        said += _matrix(facts["by_domain"])
    return said + _largest(root)


def _clusters(clusters: list[dict[str, int]]) -> str:
    points = [(float(entry["size"]), float(entry["clusters"])) for entry in clusters]
    x = charts.log_axis("documents of a cluster", [a for a, _ in points])
    y = charts.log_axis("clusters", [b for _, b in points])
    drawn = charts.plot(x, y, [charts.Series("", points, line=False, dots=True)])
    return figure("Clusters by size: a kept document with all that it removed", drawn)


def _s_curve(params: Minhash) -> str:
    similarities = [step / STEPS for step in range(STEPS + 1)]
    caught = s_curve(params.bands, params.rows, similarities)
    x = charts.Axis("Jaccard similarity", 0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1])
    y = charts.Axis("pairs caught", 0, 1, [0, 0.25, 0.5, 0.75, 1], label=lambda value: f"{100 * value:.4g} %")
    points = list(zip(similarities, caught, strict=True))
    (share,) = s_curve(params.bands, params.rows, [params.threshold])
    drawn = charts.plot(x, y, [charts.Series("", points)], mark=params.threshold)
    return figure(
        f"Share of pairs that the bands catch; {100 * share:.1f} % at the threshold {params.threshold:g}", drawn
    )


def _matrix(by_domain: list[dict[str, Any]]) -> str:
    counts = {(entry["domain"], entry["kept_domain"]): entry["exact"] + entry["near"] for entry in by_domain}
    return charts.heat(sorted({name for pair in counts for name in pair}), counts)


def _largest(root: Root) -> str:
    """The kept documents that removed most, with how they begin; empty before the corpus is sealed."""
    found = query(
        root,
        "SELECT kept_doc, any_value(kept_domain) AS domain, count(*) AS removed, any_value(kept_dropped_by) AS later "
        f"FROM duplicates GROUP BY kept_doc ORDER BY removed DESC, kept_doc LIMIT {LARGEST}",
    ).to_pylist()
    if not found:
        return ""
    wanted = ", ".join(str(row["kept_doc"]) for row in found)
    beginnings = query(
        root,
        f"SELECT doc, left(text, {BEGINNING}) AS text FROM (SELECT doc, text FROM corpus "
        "UNION ALL SELECT doc, text FROM holdout UNION ALL SELECT doc, text FROM dropped) "
        f"WHERE doc IN ({wanted})",
    )
    texts = dict(zip(beginnings["doc"].to_pylist(), beginnings["text"].to_pylist(), strict=True))
    said = heading("The largest clusters")
    for row in found:
        fate = {None: "", "held_out": "; it is held out"}.get(row["later"], f"; it was dropped later by {row['later']}")
        said += paragraph(
            f"{row['removed']:,} removed for document {row['kept_doc']} of {row['domain']}{fate}", "muted"
        )
        said += quote(texts.get(row["kept_doc"]) or "(its text is not kept: `keep_dropped: true` keeps all)")
    return said
