"""Rules against columns: `where` and `sample` may read only what is computed above, for each domain they apply to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa

from corpuskit.core.calls import Source
from corpuskit.errors import UsageError, did_you_mean
from corpuskit.recipe.calls import DEDUP, REPEATABLE, Placed, guarded, is_where
from corpuskit.recipe.faults import Faults
from corpuskit.recipe.tree import Node

Columns = Mapping[str, str | None]
"""Names with Arrow type names, None where the type is known only when the step runs."""

_DOCUMENT: Columns = {"doc": "uint64", "text": "string", "domain": "string", "meta": "string"}


_NAMED_BY = {"sample": "by", "quantile": "by", "words": "by", "urls": "column", "metadata": "columns"}
"""Steps that read columns beside the text, and the parameter that names them."""

_OF_NUMBERS = ("sample", "quantile")


def check_rules(sources: Iterable[tuple[Source, Columns]], placed: list[Placed], faults: Faults) -> None:
    """Check every `where`, and steps that name columns: that it makes sense, has its columns, and that their types fit.

    Args:
        sources: with the columns of their readers; none, to check only that rules parse.
        placed: the steps in order.
        faults: to add to.
    """
    outputs = [_outputs(one, faults) for one in placed]
    reads = [_reads(one, faults) for one in placed]
    lacking: list[dict[str, list[str]]] = [{} for _ in placed]
    everything: set[str] = set()
    sources = list(sources)
    _same_draws(placed, faults)
    for source, of_reader in sources:
        columns = {**_DOCUMENT, **of_reader}
        for number, one in enumerate(placed):
            if not _applies(one, source.domain):
                continue
            columns |= outputs[number]
            known = set(columns) if _by_column(one) else {name.lower() for name in columns}
            missing = [n for n in sorted(reads[number]) if (n if _by_column(one) else n.lower()) not in known]
            for name in missing:
                lacking[number].setdefault(name, []).append(source.domain)
            if reads[number] and not missing:
                _types(one, reads[number], columns, faults)
        everything |= set(columns)
    for number, names in enumerate(lacking):
        for name, domains in names.items():
            read_in = dict.fromkeys(
                source.domain
                for source, of_reader in sources
                if name.lower() in map(str.lower, of_reader) and source.domain not in domains
            )
            made = list(zip(placed, outputs, strict=True))
            _lack(placed[number], name, domains, made, list(read_in), everything, faults)


def warnings(sources: Iterable[Source], placed: list[Placed]) -> Iterator[str]:
    """What is allowed but seldom meant."""
    above = None  # the nearest step above that leaves one document of each cluster
    for one in placed:
        late = f"{one.span}: `{one.call.name}` comes after `{above}`"
        if one.call.step.kind == "barrier" and one.call.step.name in DEDUP:
            above = one.call.name
        elif above is not None and one.rule and not _is_sample(one):  # a share of what is left is meant to be lost
            yield f"{late}: it can drop the last copy of a cluster"
        elif above is not None and (one.call.step.kind == "edit" or one.call.step.name in REPEATABLE):
            yield f"{late}: it changes texts that were compared before"
    domains = dict.fromkeys(source.domain for source in sources)
    seen: set[tuple[str, str]] = set()
    for domain in domains:
        made: dict[str, Placed] = {}
        for one in placed:
            if one.call.step.kind != "signal" or not _applies(one, domain):
                continue
            for name in outputs_of(one):
                first = made.setdefault(name, one)
                same = first.call.step is one.call.step and first.call.params == one.call.params
                if not same and (first.call.name, one.call.name) not in seen:
                    seen.add((first.call.name, one.call.name))
                    yield (
                        f"{one.span}: `{one.call.name}` computes the column `{name}` anew, otherwise than line "
                        f"{first.call.line}; rules below read the later values"
                    )
                made[name] = one


def _applies(one: Placed, domain: str) -> bool:
    return one.call.only is None or domain in one.call.only


def outputs_of(one: Placed) -> dict[str, str | None]:
    """Columns that a step adds; a signal that declares none adds one of its own name."""
    declared = one.call.step.output_columns(one.call.params)
    return {**declared} if declared or one.call.step.kind != "signal" else {one.call.step.name: None}


def _outputs(one: Placed, faults: Faults) -> dict[str, str | None]:
    return guarded(lambda: outputs_of(one), one.call.step, one.span, faults) or {}


def _is_sample(one: Placed) -> bool:
    return one.call.step.name == "sample" and one.call.step.origin is None


def _by_column(one: Placed) -> bool:
    """Whether it reads columns that a parameter names, as they are written."""
    return one.call.step.name in _NAMED_BY and one.call.step.origin is None


def _same_draws(placed: list[Placed], faults: Faults) -> None:
    """Refuse selections that would draw the same numbers: the second would choose by what the first chose already."""
    from corpuskit.steps.sample import BY_CHANCE

    drawing = [one for one in placed if _is_sample(one) and one.call.params["method"] in BY_CHANCE]
    for number, one in enumerate(drawing):
        for first in drawing[:number]:
            together = first.call.only is None or any(_applies(one, domain) for domain in first.call.only)
            if together and first.call.params["seed"] == one.call.params["seed"]:
                reason = f"`{one.call.name}` draws the same numbers as `{first.call.name}` on line {first.call.line}"
                free = 1 + max(other.call.params["seed"] for other in drawing)
                faults.add(one.span, reason, f"give it another: `seed: {free}`")
                break


def _reads(one: Placed, faults: Faults) -> set[str]:
    """Columns that a rule or step reads; none, and a fault, if its SQL or its parameters make no sense."""
    if _is_sample(one):
        from corpuskit.steps.sample import Choice

        params = {name: value for name, value in one.call.params.items() if name != "seed"}
        before = len(faults)
        guarded(Choice(**params).check, one.call.step, one.span, faults)
        return {params["by"]} if params["by"] is not None and len(faults) == before else set()
    if _by_column(one):
        named = one.call.params[_NAMED_BY[one.call.step.name]]
        return set(named) if isinstance(named, list) else {named} - {None}
    if not is_where(one.call.step):
        return set()
    from corpuskit.core.sql import columns_of

    try:
        return columns_of(one.call.params["expr"])
    except UsageError as error:
        faults.add(_expression(one).span, error.message, error.hint)
        return set()


def _expression(one: Placed) -> Node:
    return one.params.get("expr") or one.params.get(_NAMED_BY.get(one.call.step.name, "expr")) or one.params


def _types(one: Placed, names: set[str], columns: Columns, faults: Faults) -> None:
    """Bind the rule to its columns' types, where all are known."""
    from corpuskit.core.sql import check_types

    if _by_column(one):
        if one.call.step.name in _OF_NUMBERS:
            _number(one, columns, faults)
        return
    wanted = {name.lower() for name in names}
    fields = []
    for name, alias in columns.items():
        if name.lower() in wanted:
            try:
                fields.append((name, pa.type_for_alias(alias or "")))
            except ValueError:  # no type, or a nested one, which has no alias
                return
    try:
        check_types(one.call.params["expr"], pa.schema(fields))
    except UsageError as error:
        faults.add(_expression(one).span, error.message, error.hint)


def _number(one: Placed, columns: Columns, faults: Faults) -> None:
    """Refuse scores that are no numbers, where the type is known."""
    from corpuskit.steps.sample import numeric

    alias = columns[one.call.params["by"]]
    try:
        fits = alias is None or numeric(pa.type_for_alias(alias))
    except ValueError:  # nested types have no alias
        fits = False
    if not fits:
        reason = f"`{one.call.name}` goes by `{one.call.params['by']}`, which is {alias}, not a number"
        faults.add(_expression(one).span, reason)


def _lack(
    one: Placed,
    name: str,
    domains: list[str],
    steps: list[tuple[Placed, dict[str, str | None]]],
    read_in: list[str],
    everything: set[str],
    faults: Faults,
) -> None:
    """Say that a rule reads a column that is not there, and what would help."""
    for other, outputs in steps:
        if name.lower() in {output.lower() for output in outputs}:
            here = [domain for domain in domains if _applies(other, domain)]
            place = f"`{other.call.name}` on line {other.call.line}"
            if here:
                hint = f"{place} computes it, but below: move it up"
            else:
                domains_there = ", ".join(other.call.only or [])
                hint = f"{place} computes it for {domains_there} only; add `only` here, or domains there"
            break
    else:
        others = sorted(everything - {name})
        hint = did_you_mean(name, others) or f"columns: {', '.join(others)}"
        if read_in:
            there = ", ".join(read_in)
            hint = f"the sources of {there} have it: set `only: [{there}]` here, or give the others such a column"
    where = ", ".join(f"`{domain}`" for domain in dict.fromkeys(domains))
    rule = "the rule `" if is_where(one.call.step) or one.call.step.name in _OF_NUMBERS else "`"
    reason = f"{rule}{one.call.name}` reads the column `{name}`, which nothing computes for {where}"
    faults.add(_expression(one).span, reason, hint)
