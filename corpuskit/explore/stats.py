"""The domain table: raw records by outcome and domain, from the books of the receipts; and what `expect` asks.

All counts are sums over the complete units of the current plan: of a run that is not finished they are what is known so
far. The same table feeds `corpuskit stats`, the view `domain_stats`, the report and the recipe's `expect`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from corpuskit.core.kinds import spec_of
from corpuskit.core.plan import Plan, Stage
from corpuskit.core.spec import Spec
from corpuskit.core.work import Receipt
from corpuskit.documents.kinds import Segment
from corpuskit.errors import UsageError, did_you_mean
from corpuskit.explore.evidence import BARRIERS
from corpuskit.shards.kinds import Tokens
from corpuskit.store.root import Root

RULE = "rule: "
NO_VALUE = ": no value"
UNREAD = "read: "
"""Rules of readers: raw records that are no documents by nature, such as redirects."""

HALF = 0.5
"""A domain that loses more than this share of its documents to dedup is warned about."""


COUNTS = ("read", "unreadable", "empty", "dropped", "exact", "near", "contaminated", "held_out", "kept", "bytes")
"""Attributes of `DomainStats` that every domain has, in the order in which tables show them."""


@dataclass(frozen=True)
class DomainStats:
    """The books of one domain, or of all.

    Attributes:
        domain: its name; `total` for the sum.
        read, unreadable, empty, exact, near, contaminated, held_out, kept: raw records by outcome.
        rules: records dropped by rule name, sorted by name.
        compared: documents that dedup saw.
        bytes: UTF-8 bytes of the kept texts.
        tokens: of the kept texts, if they are tokenized.
    """

    domain: str
    read: int = 0
    unreadable: int = 0
    empty: int = 0
    rules: dict[str, int] = field(default_factory=dict)
    exact: int = 0
    near: int = 0
    contaminated: int = 0
    held_out: int = 0
    kept: int = 0
    compared: int = 0
    bytes: int = 0
    tokens: int | None = None

    @property
    def dropped(self) -> int:
        """Records dropped by any rule."""
        return sum(self.rules.values())

    @property
    def documents(self) -> int:
        """Raw records that were documents: readable, not empty, not left out by the reader."""
        unread = sum(count for rule, count in self.rules.items() if rule.startswith(UNREAD))
        return self.read - self.unreadable - self.empty - unread

    def drop_rate(self, rule: str) -> float | None:
        """Share of the documents that a rule dropped, for want of a value or otherwise; None without documents."""
        return _share(self.rules.get(rule, 0) + self.rules.get(rule + NO_VALUE, 0), self.documents)

    @property
    def duplicate_rate(self) -> float | None:
        """Share of the documents seen by dedup that it removed; None if it saw none."""
        return _share(self.exact + self.near, self.compared)

    def as_json(self) -> dict[str, Any]:
        """All counts and rates."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        rates = {rule: self.drop_rate(rule) for rule in self.rules if not rule.startswith(UNREAD)}
        return {**data, "dropped": self.dropped, "drop_rates": rates, "duplicate_rate": self.duplicate_rate}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def domain_table(root: Root, plan: Plan) -> list[DomainStats]:
    """One row a domain, sorted by name, from the complete units of the plan."""
    books: dict[str, Counter[str]] = {}
    sizes: dict[str, Counter[str]] = {}
    after = {name for name in plan.stages if _after_dedup(plan, name)}
    for stage in plan.stages.values():
        # of this corpus: signatures of a finished one that it is compared with have their domains, too
        spec = spec_of(stage, Spec)
        domain = spec.domain if isinstance(spec, Segment | Tokens) else None
        if domain is not None:
            books.setdefault(domain, Counter())
            sizes.setdefault(domain, Counter())
        for receipt in root.complete(stage):
            for name, counts in receipt.books.items():
                books.setdefault(name, Counter()).update(counts)
                if stage.name in after:
                    sizes.setdefault(name, Counter())["compared"] += sum(counts.values())
            if domain is not None:
                sizes[domain].update(_sizes(stage, receipt))
    return [_stats(domain, books[domain], sizes[domain]) for domain in sorted(books)]


def _sizes(stage: Stage, receipt: Receipt) -> Counter[str]:
    found: Counter[str] = Counter()
    if stage.kind == "segment" and spec_of(stage, Segment).final and "corpus" in receipt.facts:
        found["bytes"] = receipt.facts["corpus"]["bytes"]
    if stage.kind == "tokens":
        found["tokens"] = receipt.facts["train"]["tokens"]
        found["tokenized"] = 1
    return found


def _stats(domain: str, books: Counter[str], sizes: Counter[str]) -> DomainStats:
    rules = {name.removeprefix(RULE): count for name, count in sorted(books.items()) if name.startswith(RULE)}
    counts = {name: count for name, count in books.items() if not name.startswith(RULE)}
    tokens = sizes["tokens"] if sizes["tokenized"] else None
    return DomainStats(domain, rules=rules, compared=sizes["compared"], bytes=sizes["bytes"], tokens=tokens, **counts)


def total(table: Iterable[DomainStats]) -> DomainStats:
    """The sum of all domains; tokens are None if none is tokenized."""
    rows = list(table)
    rules: Counter[str] = Counter()
    for row in rows:
        rules.update(row.rules)
    names = [name for name in DomainStats.__dataclass_fields__ if name not in ("domain", "rules", "tokens")]
    tokens = [row.tokens for row in rows if row.tokens is not None]
    sums = {name: sum(getattr(row, name) for row in rows) for name in names}
    return DomainStats("total", rules=dict(sorted(rules.items())), tokens=sum(tokens) if tokens else None, **sums)


def as_json(table: list[DomainStats]) -> dict[str, Any]:
    """The domain table for programs: {"domains": [...], "total": {...}}."""
    return {"domains": [row.as_json() for row in table], "total": total(table).as_json()}


# -- what the plan says --------------------------------------------------------------------------------------------


def chain(plan: Plan, name: str) -> Iterator[Stage]:
    """The stage `name` and those that its documents come from, nearest first."""
    stage: Stage | None = plan.stages[name]
    while stage is not None:
        yield stage
        need = stage.needs.get("docs")
        stage = plan.stages[need.stage] if need is not None and need.how == "each" else None


def _after_dedup(plan: Plan, name: str) -> bool:
    """Whether a document stage stands at the first choice of dedup or behind it: its books count what dedup saw."""
    if plan.stages[name].kind != "segment":
        return False
    applied = (decision for stage in chain(plan, name) for decision in spec_of(stage, Segment).apply)
    return any(decision["barrier"] in BARRIERS for decision in applied)


def rules(plan: Plan) -> dict[str, list[str]]:
    """The filters of the recipe by name, in order, each with the domains that it applies to, sorted."""
    found: dict[str, set[str]] = {}
    for name, last in plan.stages.items():
        if last.kind == "segment" and spec_of(last, Segment).final:
            above = [spec_of(stage, Segment) for stage in reversed(list(chain(plan, name)))]
            for step in (step for spec in above for step in spec.steps):
                if step["kind"] == "filter":
                    found.setdefault(step["rule"], set()).add(above[-1].domain)
    return {rule: sorted(domains) for rule, domains in found.items()}


def single(root: Root, plan: Plan, name: str) -> Receipt | None:
    """The receipt of a stage of one unit, if the plan has it and it is complete."""
    complete = root.complete(plan.stages[name]) if name in plan.stages else []
    return complete[0] if complete else None


def mixture(root: Root, plan: Plan) -> dict[str, Any] | None:
    """The content of `shards/plan.json` of this plan, if it is made: `corpuskit.mix.explain` describes it."""
    receipt = single(root, plan, "mixture")
    return json.loads(receipt.parts["plan"].local().read_bytes()) if receipt is not None else None


def warnings(root: Root, plan: Plan, table: list[DomainStats]) -> list[str]:
    """What a person should look at: of the plan, of dedup, of the held-out documents."""
    from corpuskit.run.seal import unpublished, unsealed

    found, whole = list(plan.warnings), "corpus" not in unpublished(plan, root)
    stale = unsealed(plan, root)
    found += [f"`{folder}/` still holds what an earlier plan gave: this one is not complete" for folder in stale]
    found += [
        f"{row.domain} lost {100 * rate:.1f} % of its documents to dedup: look at `duplicates`"
        for row in table
        if (rate := row.duplicate_rate) is not None and rate > HALF
    ]
    lost = [row for row in table if whole and row.read and not row.kept]
    found += [f"{row.domain} kept none of its {row.read:,} documents" for row in lost]
    holdout = single(root, plan, "holdout")
    return found + [f"holdout: {text}" for text in (holdout.facts["warnings"] if holdout is not None else [])]


# -- expect --------------------------------------------------------------------------------------------------------


def functions(root: Root, plan: Plan) -> dict[str, Callable[..., float]]:
    """What an `expect` of the recipe may call: docs, tokens, bytes, drop_rate, duplicate_rate.

    Each takes a domain; `drop_rate` takes a rule: its share of the documents of the domains that it applies to. They
    raise UsageError for an unknown domain or rule, and where nothing is tokenized.
    """
    table = {row.domain: row for row in domain_table(root, plan)}
    known = rules(plan)

    def of(domain: str) -> DomainStats:
        if domain not in table:
            raise UsageError(
                f"there is no domain `{domain}`", did_you_mean(domain, table) or f"domains: {', '.join(table)}"
            )
        return table[domain]

    def tokens(domain: str) -> float:
        found = of(domain).tokens
        if found is None:
            raise UsageError(
                "tokens(): this run is not tokenized", "add `mix:` to the recipe, or expect docs() or bytes()"
            )
        return found

    def drop_rate(rule: str) -> float:
        if rule not in known and rule.startswith("read: "):
            return 0.0  # a reader's reason that did not occur
        if rule not in known:
            hint = did_you_mean(rule, known) or f"rules: {', '.join(known) or 'none'}"
            raise UsageError(f"there is no rule `{rule}`", hint)
        return total(table[domain] for domain in known[rule]).drop_rate(rule) or 0.0

    return {
        "docs": lambda domain: of(domain).kept,
        "tokens": tokens,
        "bytes": lambda domain: of(domain).bytes,
        "drop_rate": drop_rate,
        "duplicate_rate": lambda domain: of(domain).duplicate_rate or 0.0,
    }
