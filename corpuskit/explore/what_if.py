"""What another expression of a rule would change, from what a run stored: what `corpuskit stats --what-if` shows.

Nothing runs again: signals stand beside kept and dropped documents. What leaves and what passes this rule is exact;
what later steps would do with a document that comes back is not known, so those are counted and not judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpuskit.core import registry
from corpuskit.core.batch import Batch, PartReader
from corpuskit.core.kinds import spec_of
from corpuskit.core.plan import Plan, Stage
from corpuskit.core.sql import columns_of, evaluate
from corpuskit.core.work import Part
from corpuskit.documents.applied import STEP_KINDS
from corpuskit.documents.kinds import Segment
from corpuskit.errors import UsageError, did_you_mean
from corpuskit.explore.evidence import BARRIERS
from corpuskit.explore.stats import NO_VALUE, chain
from corpuskit.shards.kinds import Tokens
from corpuskit.store.root import Root

Docs = npt.NDArray[np.uint64]

ROWS = 1 << 16
"""Documents that are judged at a time."""


@dataclass
class Change:
    """What would change in a domain, in documents.

    Attributes:
        kept: in the corpus now. leave: of those, that the rule would drop. tokens: of those; None if not tokenized.
        held_out: held-out documents that it would drop.
        orphans: duplicates whose kept witness leaves. again: of those, that reach dedup and may take its place.
        dropped: by the rule now. back: of those, that would pass it.
        unjudged: of those, that later steps have not seen. estimated_tokens: of `back`, at the mean of kept documents.
    """

    domain: str
    kept: int = 0
    leave: int = 0
    tokens: int | None = None
    held_out: int = 0
    orphans: int = 0
    again: int = 0
    dropped: int = 0
    back: int = 0
    unjudged: int = 0
    estimated_tokens: int | None = None


@dataclass(frozen=True)
class WhatIf:
    """The answer: one `Change` for each domain that the rule applies to or that would lose a witness, by name.

    Attributes:
        rule, before, after: its name and the two expressions.
        later: steps behind the rule, by domain. anew: of those, that choose by all documents which reach them.
    """

    rule: str
    before: str
    after: str
    changes: list[Change]
    later: dict[str, list[str]]
    anew: list[str]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


@dataclass(frozen=True)
class _Place:
    """Where a source has the rule: its stages, the first one first, and the rule as a step of one of them."""

    stages: list[Stage]
    at: int
    step: int

    @property
    def spec(self) -> Segment:
        return spec_of(self.stages[self.at], Segment)

    @property
    def behind(self) -> list[tuple[str, bool]]:
        """Steps behind the rule that drop, and whether they choose by all documents."""
        found = []
        for number in range(self.at, len(self.stages)):
            spec = spec_of(self.stages[number], Segment)
            if number > self.at:
                found += [(str(one["barrier"]), one["barrier"] not in BARRIERS) for one in spec.apply]
            first = self.step + 1 if number == self.at else 0
            for call, step in zip(spec.calls[first:], spec.steps[first:], strict=True):
                if step["kind"] == "filter":
                    found.append((call.name, call.state is not None))
        return found

    @property
    def before_dedup(self) -> bool:
        later = (spec_of(stage, Segment) for stage in self.stages[self.at + 1 :])
        return any(one["barrier"] in BARRIERS for spec in later for one in spec.apply)

    def computed_below(self) -> Iterator[tuple[str, str]]:
        """(column, step) of the signals and edits behind the rule."""
        for number in range(self.at, len(self.stages)):
            spec = spec_of(self.stages[number], Segment)
            first = self.step + 1 if number == self.at else 0
            for call, step in zip(spec.calls[first:], spec.steps[first:], strict=True):
                if step["kind"] in ("signal", "edit"):
                    made = registry.resolve(call.reference, STEP_KINDS, Path(spec.base))
                    declared = made.output_columns(made.validate(call.params))
                    yield from ((name, call.name) for name in declared or [made.name])


def parse(text: str, plan: Plan) -> tuple[str, str]:
    """The rule and the expression of `RULE=EXPR`; names of rules may contain `=` themselves.

    Raises:
        UsageError: there is no such rule, or it is no expression.
    """
    known = {step["rule"]: step for stage in _segments(plan) for step in spec_of(stage, Segment).steps}
    said = [name for name in known if text.startswith(f"{name}=")]
    rules = [name for name, step in known.items() if step["step"] == "where"]
    if not said and (text in known or "=" not in text):
        one = text if text in rules else rules[0] if rules else "RULE"
        raise UsageError(
            f"--what-if {text}: no expression is given", f'--what-if "{one}=EXPR", an expression of DuckDB'
        )
    if not said:
        name = text.partition("=")[0]
        hint = did_you_mean(name, rules) or f"rules: {', '.join(rules) or 'none'}"
        raise UsageError(f"--what-if {text}: there is no rule `{name}`", hint)
    rule = max(said, key=len)
    if known[rule]["step"] != "where" or "code" in known[rule]:
        raise UsageError(f"--what-if: `{rule}` is no rule in SQL", "only a `where` can be asked what if")
    return rule, text[len(rule) + 1 :].strip()


def what_if(root: Root, plan: Plan, rule: str, expr: str) -> WhatIf:
    """What would change if `rule` were `expr`.

    Raises:
        UsageError: the expression makes no sense, or reads what is not stored; or the run is not complete.
    """
    finals = [stage for stage in _segments(plan) if spec_of(stage, Segment).final]
    places = [place for stage in finals if (place := _place(plan, stage, rule)) is not None]
    _check(expr, places)
    changes = {domain: Change(domain) for domain in sorted({spec_of(stage, Segment).domain for stage in finals})}
    leaving = np.sort(np.concatenate([_judge(root, place, expr, changes[place.spec.domain]) for place in places]))
    later: dict[str, list[str]] = {}
    for place in places:
        later[place.spec.domain] = list(dict.fromkeys(name for name, _ in place.behind))
    _orphans(root, plan, places, expr, leaving, changes)
    _count_tokens(root, plan, leaving, changes)
    anew = list(dict.fromkeys(name for place in places for name, chooses in place.behind if chooses))
    before = places[0].spec.calls[places[0].step].params["expr"]
    ruled = {place.spec.domain for place in places}
    shown = [one for one in changes.values() if one.domain in ruled or one.orphans]
    return WhatIf(rule, before, expr, shown, later, anew)


def _segments(plan: Plan) -> Iterator[Stage]:
    return (stage for stage in plan.stages.values() if stage.kind == "segment")


def _place(plan: Plan, final: Stage, rule: str) -> _Place | None:
    stages = list(chain(plan, final.name))[::-1]
    for at, stage in enumerate(stages):
        for number, step in enumerate(spec_of(stage, Segment).steps):
            if step["rule"] == rule:
                return _Place(stages, at, number)
    return None


def _check(expr: str, places: list[_Place]) -> None:
    """Refuse what would read other values than those that stood at the rule's place."""
    read = {name.lower() for name in columns_of(expr)}
    if "text" in read:
        raise UsageError(
            f"`{expr}` reads the text, which a run keeps of a sample of what it drops",
            "ask by a column, such as `clean_chars`; or change the recipe and run",
        )
    for place in places:
        for column, step in place.computed_below():
            if column.lower() in read:
                raise UsageError(
                    f"`{step}` computes the column `{column}` below the rule, or anew",
                    "move it up in the recipe and run",
                )


def _judge(root: Root, place: _Place, expr: str, change: Change) -> Docs:
    """Count what leaves and what passes of one source; the documents that leave the corpus."""
    domain, rule = place.spec.domain, place.spec.steps[place.step]["rule"]
    leaving: list[Docs] = []
    for receipt in root.receipts(place.stages[-1]):
        for name in ("corpus", "holdout"):
            for batch in _rows(receipt.parts.get(name), expr, domain):
                gone = batch.column("doc").filter(pc.invert(_passes(expr, batch)))
                if name == "corpus":
                    change.kept += batch.num_rows
                    change.leave += len(gone)
                    leaving.append(gone.to_numpy(zero_copy_only=False))
                else:
                    change.held_out += len(gone)
    back = 0
    for receipt in root.receipts(place.stages[place.at]):
        for batch in _rows(receipt.parts.get("dropped"), expr, domain, rules=(rule, rule + NO_VALUE)):
            change.dropped += batch.num_rows
            back += _passing(expr, batch)
    change.back += back
    change.unjudged += back if place.behind else 0
    return np.concatenate([np.zeros(0, np.uint64), *leaving])


def _rows(part: Part | None, expr: str, domain: str, rules: tuple[str, ...] | None = None) -> Iterator[Batch]:
    """The rows of a part with the columns that an expression reads; of dropped documents those of some rules."""
    if part is None:
        return
    file = pq.ParquetFile(part.open())
    wanted = {name.lower() for name in columns_of(expr)} | {"doc"} | ({"rule"} if rules else set())
    stored = [name for name in file.schema_arrow.names if name != "text"]
    names = [name for name in stored if name.lower() in wanted]
    for name in sorted(columns_of(expr)) if rules is None else ():  # what other rules dropped may lack it
        if name.lower() not in {have.lower() for have in (*stored, "domain")}:
            hint = did_you_mean(name, stored) or f"columns: {', '.join(stored)}"
            raise UsageError(f"`{expr}`: there is no column `{name}`", hint)
    for each in file.iter_batches(ROWS, columns=names):
        batch = each if rules is None else each.filter(pc.is_in(each.column("rule"), pa.array(rules)))
        if batch.num_rows:
            yield batch.append_column("domain", pa.array([domain] * batch.num_rows))


def _passes(expr: str, batch: Batch) -> pa.Array:
    """Which rows an expression keeps, bool[n]; a null drops, as in a run."""
    return evaluate(expr, batch).fill_null(False)


def _passing(expr: str, batch: Batch) -> int:
    return int(pc.sum(_passes(expr, batch), min_count=0).as_py())


def _orphans(
    root: Root, plan: Plan, places: list[_Place], expr: str, leaving: Docs, changes: dict[str, Change]
) -> None:
    """Count the duplicates whose witness leaves, and those of them that would be compared anew."""
    if "duplicates" not in plan.stages or not len(leaving):
        return
    found: dict[str, list[Docs]] = {domain: [np.zeros(0, np.uint64)] for domain in changes}
    for receipt in root.receipts(plan.stages["duplicates"]):
        columns = ["doc", "kept_doc", "kept_root", "domain"]
        for batch in pq.ParquetFile(receipt.parts["duplicates"].open()).iter_batches(ROWS, columns=columns):
            # a witness in another corpus stays where it is
            alone = pc.and_(pc.is_in(batch.column("kept_doc"), pa.array(leaving)), batch.column("kept_root").is_null())
            for domain in pc.unique(batch.column("domain").filter(alone)).to_pylist():
                of_domain = pc.and_(alone, pc.equal(batch.column("domain"), domain))
                found[domain].append(batch.column("doc").filter(of_domain).to_numpy(zero_copy_only=False))
    orphans = {domain: np.concatenate(parts) for domain, parts in found.items()}
    ruled = {place.spec.domain for place in places}
    for domain, docs in orphans.items():
        changes[domain].orphans = len(docs)
        if domain not in ruled and any(place.before_dedup for place in places):
            changes[domain].again = len(docs)
    for place in places:
        if place.before_dedup:
            docs = pa.array(orphans[place.spec.domain])
            for receipt in root.receipts(place.stages[place.at]):
                for batch in _stored(receipt.parts["docs"], expr, docs):
                    changes[place.spec.domain].again += _passing(expr, batch)


def _stored(part: Part, expr: str, docs: pa.Array) -> Iterator[Batch]:
    """Those of `docs` that a stage handed on, with the columns that an expression reads."""
    path = part.local()
    wanted = {name.lower() for name in columns_of(expr)} | {"doc"}
    for batch in PartReader(path, [name for name in PartReader(path).schema.names if name.lower() in wanted]):
        found = batch.filter(pc.is_in(batch.column("doc"), docs))
        if found.num_rows:
            yield found


def _count_tokens(root: Root, plan: Plan, leaving: Docs, changes: dict[str, Change]) -> None:
    """Tokens of what leaves, as they were counted; of what comes back, estimated. Nothing where a unit is missing."""
    stages = [stage for stage in plan.stages.values() if stage.kind == "tokens"]
    if any(len(root.complete(stage)) < len(stage.units) for stage in stages):
        return
    sums: dict[str, tuple[int, int, int]] = {}
    for stage in stages:
        domain = spec_of(stage, Tokens).domain
        gone, tokens, documents = sums.get(domain, (0, 0, 0))
        for receipt in root.receipts(stage):
            tokens += receipt.facts["train"]["tokens"]
            documents += receipt.facts["train"]["documents"]
            if "docs" in receipt.parts:
                found = pq.read_table(receipt.parts["docs"].open(), columns=["doc", "tokens"])
                of_leaving = pc.is_in(found["doc"], pa.array(leaving))
                gone += pc.sum(found["tokens"].filter(of_leaving), min_count=0).as_py()
        sums[domain] = gone, tokens, documents
    for domain, (gone, tokens, documents) in sums.items():
        changes[domain].tokens = gone
        if documents:
            changes[domain].estimated_tokens = round(changes[domain].back * tokens / documents)
