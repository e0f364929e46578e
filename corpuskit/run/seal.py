"""Sealing: published folders are filled once all that goes into them is complete and the books balance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpuskit.core.keys import digest
from corpuskit.core.kinds import kind_of, spec_of
from corpuskit.core.plan import Plan, Stage
from corpuskit.core.work import Part
from corpuskit.documents.kinds import Segment
from corpuskit.errors import CorpuskitError
from corpuskit.store.publish import publish
from corpuskit.store.root import Root, described

FOLDERS = {
    "corpus": ("corpus", "holdout", "dropped", "findings", "duplicates", "index"),
    "shards": ("tokens", "shards"),
    "swarm": ("swarm",),
}
"""Published folders by what is sealed together; see `StageKind.seals`."""

FILES = "files.parquet"


def sealed_by(plan: Plan, name: str) -> list[Stage]:
    """The stages that a seal waits for and publishes."""
    return [stage for stage in plan.stages.values() if kind_of(stage).seals == name]


def seal(plan: Plan, root: Root, name: str) -> bool:
    """Publish a group of folders whose stages are all complete; those of a group that the plan has no more are emptied.

    Returns:
        Whether a file was put or removed.

    Raises:
        CorpuskitError: the books of a domain do not balance; nothing is published.
    """
    stages = sealed_by(plan, name)
    if not stages and not root.store.list(name):
        return False
    with root.store.sealing():
        if name == "corpus":
            check_conservation(books(root, stages))
        facts: dict[str, Any] = {"recipe": plan.recipe, "plan": fingerprint(stages)}
        if name == "corpus":
            facts["beside"] = {FILES: described(_write_files(root, plan))}
        changed = publish(root, stages, FOLDERS[name], facts)
    return changed > 0


def published(root: Root, plan: Plan, beginnings: tuple[str, ...]) -> Iterator[Part]:
    """What is published from the parts of a plan under names that begin so, as parts: they are checked when read.

    Raises:
        UsageError: a unit that would say what is published is not complete.
    """
    for name in FOLDERS:
        for stage in sealed_by(plan, name):
            for receipt in root.receipts(stage):
                for part in receipt.parts.values():
                    if part.publish is not None and part.publish.startswith(beginnings):
                        yield replace(part, key=part.publish)


def fingerprint(stages: Iterable[Stage]) -> str:
    """Identity of what a set of stages gives: the keys of all their units."""
    return digest({stage.name: [unit.key for unit in stage.units] for stage in stages})


def unsealed(plan: Plan, root: Root) -> list[str]:
    """Published folders that hold what an earlier plan gave, because this one is not complete."""
    return [folder for folder in FOLDERS if (made := root.manifest(folder)) and _other(plan, folder, made)]


def unpublished(plan: Plan, root: Root) -> list[str]:
    """Folders that a plan publishes and has not: `unsealed`, and those that nothing was published in."""
    publishes = [folder for folder in FOLDERS if sealed_by(plan, folder)]
    return [folder for folder in publishes if _other(plan, folder, root.manifest(folder) or {})]


def _other(plan: Plan, folder: str, manifest: dict[str, Any]) -> bool:
    """Whether a manifest is of another plan than this one."""
    return bool(manifest.get("plan") != fingerprint(sealed_by(plan, folder)))


def books(root: Root, stages: Iterable[Stage]) -> dict[str, Counter[str]]:
    """Counts by domain and category over the complete units of `stages`."""
    total: dict[str, Counter[str]] = {}
    for stage in stages:
        for receipt in root.complete(stage):
            for domain, counts in receipt.books.items():
                total.setdefault(domain, Counter()).update(counts)
    return total


def check_conservation(found: dict[str, Counter[str]]) -> None:
    """Every record that was read is unreadable, empty, dropped by a rule, a duplicate, held out or kept.

    Raises:
        CorpuskitError: the books of a domain do not balance.
    """
    for domain, counts in sorted(found.items()):
        read, rest = counts["read"], sum(counts.values()) - counts["read"]
        if read != rest:
            shown = ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items()))
            raise CorpuskitError(
                f"the books of `{domain}` do not balance: {read:,} read, {rest:,} accounted for ({shown})",
                "this is a fault of corpuskit or of a step; nothing was published",
            )


def _write_files(root: Root, plan: Plan) -> bytes:
    """`files.parquet`: from a block of document ids back to its raw file."""
    rows: dict[str, list[Any]] = {
        name: []
        for name in ("source", "domain", "path", "relative", "size", "identity", "digest", "records", "blocks", "start")
    }
    owners: dict[int, tuple[str, str]] = {}
    for stage in plan.stages.values():
        if stage.kind != "segment" or not (spec := spec_of(stage, Segment)).reads:
            continue
        for receipt in root.receipts(stage):
            for entry in receipt.inputs:
                place = (spec.source, f"{entry['relative']} {entry['start']}")
                for block in entry["blocks"]:
                    if owners.setdefault(block, place) != place:
                        raise CorpuskitError(
                            f"{place} and {owners[block]} have documents of the same ids",
                            "set another `salt:` in the recipe",
                        )
                for name, column in rows.items():
                    column.append({**entry, "source": spec.source, "domain": spec.domain}.get(name))
    schema = pa.schema(
        [(name, pa.string()) for name in ("source", "domain", "path", "relative")]
        + [("size", pa.int64()), ("identity", pa.string()), ("digest", pa.string()), ("records", pa.int64())]
        + [("blocks", pa.list_(pa.uint64())), ("start", pa.int64())]
    )
    table = pa.table(rows, schema=schema).sort_by(
        [("source", "ascending"), ("relative", "ascending"), ("start", "ascending")]
    )
    written = pa.BufferOutputStream()
    pq.write_table(table, written, compression="zstd")
    content: bytes = written.getvalue().to_pybytes()
    root.store.put(FILES, content)
    return content
