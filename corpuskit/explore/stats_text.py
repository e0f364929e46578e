"""The domain table and what belongs to it, as aligned text: what `corpuskit stats` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from corpuskit.core.plan import Plan
from corpuskit.core.tables import counted, size, table, width
from corpuskit.explore import evidence, stats
from corpuskit.mix.explain import explain
from corpuskit.store.root import Root

COLUMNS = ("domain", *(name.replace("_", " ") for name in stats.COUNTS))

LARGEST = 5
"""Cluster sizes that are shown, from the largest down."""


def render(root: Root, plan: Plan) -> str:
    """Everything that `corpuskit stats` prints; what has no content is left out."""
    return "\n\n".join(_sections(root, plan))


def _sections(root: Root, plan: Plan) -> Iterator[str]:
    found = stats.domain_table(root, plan)
    complete = sum(len(root.complete(stage)) for stage in plan.stages.values())
    units = sum(len(stage.units) for stage in plan.stages.values())
    if complete < units:
        yield f"{complete:,} of {units:,} units are complete: the counts are of those"
    yield domains(found)
    head, dropped = drops(found, list(stats.rules(plan)))
    if dropped:
        yield "dropped, by rule\n" + table(head, dropped, right=range(1, len(head)))
    for said in (findings(root, plan), "\n".join(evidence.cut_texts(root, plan)), dedup(root, plan)):
        if said:
            yield said
    mixed = stats.mixture(root, plan)
    if mixed is not None:
        yield "mixture\n" + explain(mixed, width()).rstrip("\n")
    trained = validation(root, plan)
    if trained:
        yield trained
    warned = stats.warnings(root, plan, found)
    if warned:
        yield "\n".join(f"warning: {text}" for text in warned)


def domains(found: Sequence[stats.DomainStats]) -> str:
    """One row a domain and one for all: the outcome of every raw record."""
    tokenized = any(row.tokens is not None for row in found)
    rows = [cells(row) + [_tokens(row)] * tokenized for row in (*found, stats.total(found))]
    head = (*COLUMNS, "tokens") if tokenized else COLUMNS
    return table(head, rows, right=range(1, len(head)))


def cells(row: stats.DomainStats) -> list[str]:
    """A row of the domain table, as `COLUMNS`."""
    return [row.domain, *(f"{getattr(row, name):,}" for name in stats.COUNTS[:-1]), size(row.bytes)]


def _tokens(row: stats.DomainStats) -> str:
    return "" if row.tokens is None else f"{row.tokens:,}"


def drops(found: Sequence[stats.DomainStats], order: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """(head, rows): a row a rule that dropped something, in the order of the recipe, a column a domain.

    The share is one of documents, or, of what readers leave out, of raw records.
    """
    everything = stats.total(found)
    place = {rule: number for number, rule in enumerate(order)}
    names = sorted(everything.rules, key=lambda name: (place.get(name.removesuffix(stats.NO_VALUE), -1), name))
    rows = [
        [
            name,
            *(f"{row.rules.get(name, 0):,}" for row in (*found, everything)),
            percent(everything.rules[name], everything.read if name.startswith(stats.UNREAD) else everything.documents),
        ]
        for name in names
    ]
    return ["rule", *(row.domain for row in found), "total", "share"], rows


def percent(part: int, whole: int) -> str:
    """A share in per cent, for people."""
    return f"{100 * part / whole:.2f} %" if whole else ""


def findings(root: Root, plan: Plan) -> str:
    """What edits and filters found, a row a step and what it is; empty if they say nothing of it."""
    rows = [
        [entry["step"], entry["what"], f"{entry['times']:,}", f"{entry['documents']:,}"]
        for entry in evidence.findings(root, plan)
    ]
    head = ("step", "what", "times", "documents")
    return "found, by step (see `findings`)\n" + table(head, rows, right=(2, 3)) if rows else ""


def dedup(root: Root, plan: Plan) -> str:
    """What each choice found and promises, cluster sizes and the matrix of domains; empty before one is made."""
    found = evidence.choices(root, plan)
    lines = [f"{choice.step}: {choice.found}; {choice.promise}" for choice in found]
    clusters = evidence.clusters(found)
    if clusters:
        count = sum(entry["clusters"] for entry in clusters)
        largest = [
            f"{entry['size']:,}" + (f" (x{entry['clusters']:,})" if entry["clusters"] > 1 else "") for entry in clusters
        ]
        lines.append(f"{counted(count, 'cluster')}; the largest sizes: {', '.join(reversed(largest[-LARGEST:]))}")
        lines += ["", "removed documents (row) by the domain of the document that was kept (column)"]
        lines.append(matrix(evidence.by_domain(found)))
    return "\n".join(lines)


def matrix(by_domain: Sequence[dict[str, str | int]]) -> str:
    """The domain-by-domain matrix of removed documents, exact and near together."""
    counts = {(entry["domain"], entry["kept_domain"]): int(entry["exact"]) + int(entry["near"]) for entry in by_domain}
    names = sorted({str(name) for pair in counts for name in pair})
    rows = [[name, *(f"{counts.get((name, kept), 0):,}" for kept in names)] for name in names]
    return table(["", *names], rows, right=range(1, len(names) + 1))


def validation(root: Root, plan: Plan) -> str:
    """Loss and bits per byte of each held-out domain under the trained model; empty before it is trained."""
    receipt = stats.single(root, plan, "train")
    if receipt is None:
        return ""
    result = receipt.facts["result"]
    rows = [
        [domain, *("" if score[name] is None else f"{score[name]:.4f}" for name in ("loss", "bits_per_byte"))]
        for domain, score in sorted(result["validation"].items())
    ]
    line = (
        f"trained: {result['parameters']:,} parameters, {result['tokens']:,} tokens in {result['steps']:,} steps; "
        f"checkpoint {receipt.facts['checkpoint']}"
    )
    return line + ("\n" + table(["validation", "loss", "bits per byte"], rows, right=(1, 2)) if rows else "")
