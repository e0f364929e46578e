"""The picture of a plan: by domain its share beside its size, its target and its cap; by phase, and as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corpuskit.explore.report.bullets import Bullet, bullets, standalone
from corpuskit.mix.explain import figures

LEGEND = ("share of tokens", "share of the corpus", "target", "cap")


def plot(plan: Mapping[str, Any]) -> str:
    """A plan (the content of `shards/plan.json`) as one SVG file, with all that it needs."""
    return standalone(chart(plan))


def chart(plan: Mapping[str, Any]) -> str:
    """The same as an SVG element for a page with the colours of the report."""
    phases = plan.get("phases", [])
    panels = [
        (f"phase {number + 1}: to {phase['until']:,} tokens, sequences of {phase['seq_len']:,}", _rows(plan, number))
        for number, phase in enumerate(phases)
    ]
    whole = f"the whole run: {plan['tokens']:,} tokens" if phases else f"{plan['tokens']:,} tokens"
    return bullets([*panels, (whole, _rows(plan, None))], LEGEND, _percent)


def _rows(plan: Mapping[str, Any], phase: int | None) -> list[Bullet]:
    domains = (plan if phase is None else plan["phases"][phase])["domains"]
    rows = []
    for name, domain in domains.items():
        of = figures(plan, name, phase)
        text = f"{_percent(of.share)}, {domain['epochs']:.2f} epochs"
        rows.append(Bullet(name, of.share, of.prior, of.target, of.cap, text))
    return rows


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"
