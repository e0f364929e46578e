"""The table of a plan for people: what each domain has, what the mixture asks of it and what it gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corpuskit.mix.scaling import DataConstrainedLaw

SMALL_LOSS = 4
LITTLE_VALUE = 16
"""Up to 4 epochs repeated tokens are worth nearly as much as new ones; beyond 16 they add little (Muennighoff et al.
2023, Scaling Data-Constrained Language Models)."""

_HEADER = ("domain", "documents", "available", "size", "target", "tokens", "share", "epochs", "effective", "cap")


def explain(plan: Mapping[str, Any]) -> str:
    """Describe a plan (the content of `shards/plan.json`).

    Columns: documents; `available`: tokens that one epoch predicts; `size`: their share of the corpus, from which a
    mixture departs; target weight; tokens predicted in the plan; achieved share; epochs; `effective`: what the tokens
    are worth in unique ones by the data-constrained law; `cap`: the largest share that `max_epochs` allows, and
    whether it is hit. The mixture as a whole and warnings follow the table.
    """
    rows = [_HEADER]
    total, law = max(1, plan["tokens"]), DataConstrainedLaw()
    available = max(1, sum(domain["targets"] for domain in plan["domains"].values()))
    for name, domain in plan["domains"].items():
        share = domain["taken"] / total
        rows.append(
            (
                name,
                f"{domain['documents']:,}",
                f"{domain['targets']:,}",
                f"{100 * domain['targets'] / available:.2f} %",
                f"{100 * domain['weight']:.2f} %",
                f"{domain['taken']:,}",
                f"{100 * share:.2f} %",
                f"{domain['epochs']:.2f}",
                f"{law.effective_tokens(domain['taken'], domain['targets']):,.0f}",
                _cap(domain, plan),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        numbers = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *numbers]).rstrip())
    padding = 1 - total / (plan["sequences"] * plan["seq_len"])
    lines += ["", f"{total:,} tokens in {plan['sequences']:,} sequences of {plan['seq_len']:,}, seed {plan['seed']}"]
    worth = sum(law.effective_tokens(domain["taken"], domain["targets"]) for domain in plan["domains"].values())
    lines.append(f"worth {worth:,.0f} unique tokens; {total / available:.2f} epochs of the corpus as a whole")
    lines.append(f"asked: {_asked(plan)}, max_epochs {plan['max_epochs']:g}; the largest feasible: {plan['largest']:,}")
    lines.append(f"packing: {plan['packing']}, {100 * padding:.2f} % padding")
    return "\n".join([*lines, *_warnings(plan)]) + "\n"


def _cap(domain: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    share = min(1.0, plan["max_epochs"] * domain["targets"] / max(1, plan["tokens"]))
    return f"{100 * share:.2f} %{' hit' if domain['cap'] else ''}"


def weights_table(plan: Mapping[str, Any]) -> str:
    """The weights of a plan as a recipe would state them: YAML, to be pasted below `mix`."""
    width = max(len(name) for name in plan["domains"]) + 1
    rows = [f"  {name + ':':<{width}} {domain['weight']:.6f}" for name, domain in plan["domains"].items()]
    return "\n".join(["weights:", *rows])


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
