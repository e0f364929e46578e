"""What the choices of dedup found and how far it can be believed, as text and as sums over all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from corpuskit.core.kinds import spec_of
from corpuskit.core.plan import Plan, Stage
from corpuskit.core.tables import size
from corpuskit.dedup.kinds import Compared
from corpuskit.documents.kinds import Segment
from corpuskit.steps.lsh import Minhash
from corpuskit.store.root import Root

BARRIERS = ("exact", "minhash")
"""Steps that remove copies."""

CUTTING = {"lines": "lines", "substrings": "spans"}
"""Steps that cut what recurs, and what they count."""


@dataclass(frozen=True)
class Choice:
    """What one step of dedup chose.

    Attributes:
        step: `exact` or `minhash`.
        params: of the step.
        against: roots of the finished corpora whose documents came first, as the recipe names them.
        facts: of the stage `choose`.
    """

    step: str
    params: Minhash
    against: list[str]
    facts: dict[str, Any]

    @property
    def found(self) -> str:
        """What was looked at, and what of it is similar, as a sentence without its end."""
        if self.step == "exact":
            copies = sum(entry["exact"] for entry in self.facts["by_domain"])
            return f"{copies:,} copies of equal normalized text"
        facts, bands = self.facts, f"{self.params.bands} bands of {self.params.rows} rows"
        said = f"{facts['candidates']:,} candidate pairs from {bands}"
        if self.params.verify == "none":
            return f"{said}, taken for duplicates unverified"
        ruled_out = f"{said}; {facts['ruled_out']:,} ruled out by their signatures"
        if self.params.verify == "sketch":
            return f"{ruled_out}, {facts['similar']:,} similar by the estimate of their signatures"
        precision = facts["precision"]
        share = "" if precision is None else f" (precision of candidates {100 * precision:.1f} %)"
        compared = f"{facts['compared']:,} compared by their shingles, {facts['similar']:,} similar{share}"
        return f"{ruled_out}, {compared}"

    @property
    def promise(self) -> str:
        """What is true of every removed document."""
        if self.step == "exact":
            said = "every removed document has a kept witness of equal normalized text"
        elif self.params.choose == "component":
            said = (
                f"of documents joined by chains of {self._similar}, one is kept: a removed document may be unlike the "
                "kept one (`jaccard` is null where the two were not compared)"
            )
        else:
            said = f"every removed document has a kept witness {self._witness}"
        if not self.against:
            return said
        return f"{said}; documents of {', '.join(self.against)} come before all others and are never removed"

    @property
    def _similar(self) -> str:
        threshold = f"{self.params.threshold:g}"
        return {
            "exact": f"pairs of Jaccard similarity >= {threshold}",
            "sketch": f"pairs of Jaccard similarity >= {threshold} by the estimate of their signatures",
            "none": "pairs that share a band (unverified)",
        }[self.params.verify]

    @property
    def _witness(self) -> str:
        threshold = f"{self.params.threshold:g}"
        return {
            "exact": f"of Jaccard similarity >= {threshold}",
            "sketch": f"of Jaccard similarity >= {threshold} by the estimate of their signatures; the true one may be "
            "lower",
            "none": "that shares a band with it; that the two are similar is unverified",
        }[self.params.verify]


def choices(root: Root, plan: Plan) -> list[Choice]:
    """The choices of the plan that are made, the first one first."""
    found = []
    for stage in stages(plan):
        for receipt in root.complete(stage):
            spec = spec_of(stage, Compared)
            params, against = spec.params, [source.root for source in spec.sources if source.root is not None]
            step = "minhash" if params.bands else "exact"
            found.append(Choice(step, params, list(dict.fromkeys(against)), receipt.facts))
    return found


def stages(plan: Plan) -> list[Stage]:
    """The stages that choose, the first one first."""
    return [stage for stage in plan.stages.values() if stage.kind == "choose"]


def by_domain(found: Iterable[Choice]) -> list[dict[str, Any]]:
    """Removed documents of all choices: [{domain, kept_domain, exact, near}], sorted by the domains."""
    sums: dict[tuple[str, str], Counter[str]] = {}
    for choice in found:
        for entry in choice.facts["by_domain"]:
            pair = sums.setdefault((entry["domain"], entry["kept_domain"]), Counter())
            pair.update({kind: entry[kind] for kind in ("exact", "near")})
    return [{"domain": one, "kept_domain": two, **counts} for (one, two), counts in sorted(sums.items())]


def clusters(found: Iterable[Choice]) -> list[dict[str, int]]:
    """Clusters of all choices by size, [{size, clusters}], rising: a kept document with all that one step removed."""
    sums: Counter[int] = Counter()
    for choice in found:
        for entry in choice.facts["clusters"]:
            sums[entry["size"]] += entry["clusters"]
    return [{"size": documents, "clusters": count} for documents, count in sorted(sums.items())]


def cut_texts(root: Root, plan: Plan) -> list[str]:
    """A sentence, without its end, for each step that cut what recurs: how much, from how many documents."""
    found: dict[str, Counter[str]] = {}
    units: dict[str, str] = {}
    for stage in plan.stages.values():
        if stage.kind != "segment":
            continue
        for one in spec_of(stage, Segment).apply:
            if one["barrier"] in CUTTING:
                units[one["name"]] = one.get("unit", "span")
        for receipt in root.complete(stage):
            for step, counted in CUTTING.items():
                for name, counts in receipt.facts.get(step, {}).items():
                    cut = {"documents": counts["documents"], "cut": counts[counted], "bytes": counts["bytes"]}
                    found.setdefault(name, Counter()).update(cut)
    return [
        f"{name}: {counts['cut']:,} repeated {units[name]}s cut from {counts['documents']:,} documents, "
        f"{size(counts['bytes'])} of text"
        for name, counts in found.items()
        if counts["cut"]
    ]


def findings(root: Root, plan: Plan) -> list[dict[str, Any]]:
    """What edits and filters counted: [{step, what, times, documents}], by the order of the steps, then by `what`."""
    sums: dict[str, dict[str, Counter[str]]] = {}
    for stage in plan.stages.values():
        if stage.kind != "segment":
            continue
        for step in spec_of(stage, Segment).steps:
            sums.setdefault(step["rule"], {})
        for receipt in root.complete(stage):
            for name, found in receipt.facts.get("findings", {}).items():
                for what, counts in found.items():
                    sums.setdefault(name, {}).setdefault(what, Counter()).update(counts)
    return [
        {"step": name, "what": what, "times": counts["times"], "documents": counts["documents"]}
        for name, found in sums.items()
        for what, counts in sorted(found.items())
    ]
