"""The table of a plan for people: what each domain has, what the mixture asks of it and what it gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corpuskit.core.tables import table
from corpuskit.mix.scaling import DataConstrainedLaw

SMALL_LOSS = 4
LITTLE_VALUE = 16
"""Up to 4 epochs repeated tokens are worth nearly as much as new ones; beyond 16 they add little (Muennighoff et al.
2023, Scaling Data-Constrained Language Models)."""

_HEADER = ("domain", "documents", "available", "size", "target", "tokens", "share", "epochs", "effective", "cap")
_PHASE_HEADER = ("domain", "size", "target", "tokens", "share", "epochs", "so far", "effective", "cap")


def explain(plan: Mapping[str, Any], limit: int = 0) -> str:
    """Describe a plan (the content of `shards/plan.json`).

    Columns: documents (`-` where only sizes are known); `available`: tokens that one epoch predicts; `size`: their
    share of the corpus, from which a mixture departs; target weight; tokens predicted in the plan; achieved share;
    epochs; `effective`: what the tokens are worth in unique ones by the data-constrained law; `cap`: the largest share
    that `max_epochs` allows, and whether it is hit. A plan with phases has such a table for each before that of the
    whole run: there `so far` are the epochs at its end, and the cap is what the other phases leave. The mixture as a
    whole and warnings follow.

    Args:
        limit: columns of the terminal that it is for; 0: tables of any width.
    """
    lines = [line for number in range(len(plan.get("phases", ()))) for line in _phase(plan, number, limit)]
    if lines:
        lines.append("the whole run")
    rows, law = [], DataConstrainedLaw()
    for name, domain in plan["domains"].items():
        of = figures(plan, name)
        rows.append(
            (
                name,
                "-" if domain["documents"] is None else f"{domain['documents']:,}",
                f"{domain['targets']:,}",
                _percent(of.prior),
                _percent(of.target),
                f"{domain['taken']:,}",
                _percent(of.share),
                f"{domain['epochs']:.2f}",
                f"{law.effective_tokens(domain['taken'], domain['targets']):,.0f}",
                _percent(of.cap) + (" hit" if domain["cap"] else ""),
            )
        )
    return "\n".join([*lines, _table(_HEADER, rows, limit), "", *_summary(plan), *_warnings(plan)]) + "\n"


@dataclass(frozen=True)
class Figures:
    """A domain in a plan, or in a phase of it: fractions of tokens.

    Attributes:
        prior: its share of the corpus. target: its weight. share: what it gets.
        cap: the largest share that `max_epochs` leaves it (beside what the other phases take).
    """

    prior: float
    target: float
    share: float
    cap: float


def figures(plan: Mapping[str, Any], name: str, phase: int | None = None) -> Figures:
    """The figures of a domain in a plan (`shards/plan.json`) as a whole, or in one phase."""
    domain = plan["domains"][name]
    part = plan if phase is None else plan["phases"][phase]
    here, tokens = part["domains"][name], max(1, part["tokens"])
    available = max(1, sum(each["targets"] for each in plan["domains"].values()))
    left = plan["max_epochs"] * domain["targets"] - (domain["taken"] - here["taken"])
    return Figures(
        domain["targets"] / available, here["weight"], here["taken"] / tokens, min(1.0, max(0.0, left / tokens))
    )


def _phase(plan: Mapping[str, Any], number: int, limit: int) -> list[str]:
    """The table and the warnings of one phase."""
    phase, law, rows = plan["phases"][number], DataConstrainedLaw(), []
    until, begin = phase["until"], plan["phases"][number - 1]["until"] if number else 0
    for name, domain in phase["domains"].items():
        of, targets = figures(plan, name, number), plan["domains"][name]["targets"]
        through = [earlier["domains"][name] for earlier in plan["phases"][: number + 1]]
        taken = sum(one["taken"] for one in through)
        worth = law.effective_tokens(taken, targets) - law.effective_tokens(taken - domain["taken"], targets)
        rows.append(
            (
                name,
                _percent(of.prior),
                _percent(of.target),
                f"{domain['taken']:,}",
                _percent(of.share),
                f"{domain['epochs']:.2f}",
                f"{sum(one['epochs'] for one in through):.2f}",
                f"{worth:,.0f}",
                _percent(of.cap),
            )
        )
    said = f"from {begin:,} to {until:,} tokens: {phase['tokens']:,} in {phase['sequences']:,} sequences"
    head = f"phase {number + 1} of {len(plan['phases'])}, {said} of {phase['seq_len']:,}"
    return [head, _table(_PHASE_HEADER, rows, limit), *_misses(phase), ""]


def _summary(plan: Mapping[str, Any]) -> list[str]:
    """The mixture as a whole."""
    total, law = max(1, plan["tokens"]), DataConstrainedLaw()
    available = max(1, sum(domain["targets"] for domain in plan["domains"].values()))
    phases = plan.get("phases", [plan])
    slots = sum(phase["sequences"] * phase["seq_len"] for phase in phases)
    lengths = ", ".join(f"{length:,}" for length in dict.fromkeys(phase["seq_len"] for phase in phases))
    worth = sum(law.effective_tokens(domain["taken"], domain["targets"]) for domain in plan["domains"].values())
    return [
        f"{total:,} tokens in {plan['sequences']:,} sequences of {lengths}, seed {plan['seed']}",
        f"worth {worth:,.0f} unique tokens; {total / available:.2f} epochs of the corpus as a whole",
        f"asked: {_asked(plan)}, max_epochs {plan['max_epochs']:g}; at these weights at most {plan['largest']:,}",
        f"packing: {plan['packing']}, {100 * (1 - total / slots):.2f} % padding",
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], limit: int) -> str:
    return table(head, rows, right=range(1, len(head)), limit=limit)


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def weights_table(plan: Mapping[str, Any]) -> str:
    """The weights of a plan as a recipe would state them: YAML, to be pasted below `mix`."""
    if "phases" not in plan:
        return "\n".join(["weights:", *_weights(plan, "  ")])
    lines, end = ["phases:"], plan["phases"][-1]["until"]
    for phase in plan["phases"]:
        lines += [f"  - until: {phase['until'] / end:.6g}", f"    seq_len: {phase['seq_len']}", "    weights:"]
        lines += _weights(phase, "      ")
    return "\n".join(lines)


def _weights(plan: Mapping[str, Any], margin: str) -> list[str]:
    width = max(len(name) for name in plan["domains"]) + 1
    return [f"{margin}{name + ':':<{width}} {domain['weight']:.6f}" for name, domain in plan["domains"].items()]


def _asked(plan: Mapping[str, Any]) -> str:
    asked = plan["asked"]
    return "tokens: max" if asked == "max" else f"{asked:,} tokens"


def _misses(plan: Mapping[str, Any]) -> Iterator[str]:
    """What does not get its weight, in a plan or in a phase of it."""
    for name, domain in plan["domains"].items():
        share = domain["taken"] / max(1, plan["tokens"])
        if domain["weight"] and not domain["sequences"]:
            yield f"warning: {name} gets no sequence: its weight is less than one of {plan['sequences']:,}"
        elif abs(share - domain["weight"]) > 0.005:
            yield (
                f"warning: {name} gets {100 * share:.2f} % of tokens for a weight of {100 * domain['weight']:.2f} %:"
                " its blocks are few, and whole"
            )


def _warnings(plan: Mapping[str, Any]) -> Iterator[str]:
    """What is left out or misses its weight, and what is read often over the whole run."""
    for name, domain in plan["domains"].items():
        if not domain["targets"]:
            yield f"note: {name} holds no token to draw"
        elif not domain["weight"]:
            yield f"note: {name} has no weight: its {domain['targets']:,} tokens are not in the mixture"
    yield from _misses(plan)
    for name, domain in plan["domains"].items():
        if domain["epochs"] > LITTLE_VALUE:
            yield f"warning: {name} is read {domain['epochs']:.1f} times: beyond 16 there is little value"
        elif domain["epochs"] > SMALL_LOSS:
            yield f"warning: {name} is read {domain['epochs']:.1f} times: beyond 4 there is a small loss"
