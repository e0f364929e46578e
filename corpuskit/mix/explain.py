"""The table of a plan for people: what each domain has, what the mixture asks of it and what it gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SMALL_LOSS = 4
LITTLE_VALUE = 16
"""Up to 4 epochs repeated tokens are worth nearly as much as new ones; beyond 16 they add little (Muennighoff et al.
2023, Scaling Data-Constrained Language Models)."""

_HEADER = ("domain", "documents", "available", "target", "tokens", "share", "epochs", "cap")


def explain(plan: Mapping[str, Any]) -> str:
    """Describe a plan (the content of `shards/plan.json`).

    Columns: documents; `available`: tokens that one epoch predicts; target weight; tokens predicted in the plan;
    achieved share; epochs; `cap`: whether `max_epochs` limits the domain. Warnings follow the table.
    """
    rows = [_HEADER]
    total = max(1, plan["tokens"])
    for name, domain in plan["domains"].items():
        share = domain["taken"] / total
        rows.append(
            (
                name,
                f"{domain['documents']:,}",
                f"{domain['targets']:,}",
                f"{100 * domain['weight']:.2f} %",
                f"{domain['taken']:,}",
                f"{100 * share:.2f} %",
                f"{domain['epochs']:.2f}",
                "hit" if domain["cap"] else "",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        numbers = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *numbers]).rstrip())
    padding = 1 - total / (plan["sequences"] * plan["seq_len"])
    lines += ["", f"{total:,} tokens in {plan['sequences']:,} sequences of {plan['seq_len']:,}, seed {plan['seed']}"]
    lines.append(f"asked: {_asked(plan)}, max_epochs {plan['max_epochs']:g}; the largest feasible: {plan['largest']:,}")
    lines.append(f"packing: {plan['packing']}, {100 * padding:.2f} % padding")
    return "\n".join([*lines, *_warnings(plan)]) + "\n"


def _asked(plan: Mapping[str, Any]) -> str:
    asked = plan["asked"]
    return "tokens: max" if asked == "max" else f"{asked:,} tokens"


def _warnings(plan: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, domain in plan["domains"].items():
        share = domain["taken"] / max(1, plan["tokens"])
        if not domain["weight"]:
            lines.append(f"note: {name} has no weight: its {domain['documents']:,} documents are not in the mixture")
        elif not domain["sequences"]:
            lines.append(f"warning: {name} gets no sequence: its weight is less than one of {plan['sequences']:,}")
        elif abs(share - domain["weight"]) > 0.005:
            lines.append(
                f"warning: {name} gets {100 * share:.2f} % of tokens for a weight of {100 * domain['weight']:.2f} %:"
                " its blocks are few, and whole"
            )
        if domain["epochs"] > LITTLE_VALUE:
            lines.append(f"warning: {name} is read {domain['epochs']:.1f} times: beyond 16 there is little value")
        elif domain["epochs"] > SMALL_LOSS:
            lines.append(f"warning: {name} is read {domain['epochs']:.1f} times: beyond 4 there is a small loss")
    return lines
