"""Early cut-off: a unit that would read what an earlier unit read reuses that unit's parts and does not run.

A unit's key is known before anything runs, so it changes whenever anything above it does. Its content key is known when
everything that it needs is complete: it is made of the digests of what the body reads. Bodies are pure, so equal
content keys mean equal parts. Published files are named by it: adding files to a recipe renames none that stay as they
are, and a build from scratch gives the same names.

Only stages that need another one to one have content keys. A reading stage reads raw files, of which nothing is known
but size and time; a global stage reads everything.
"""

from __future__ import annotations

import contextlib

import orjson

from corpuskit.core.keys import digest
from corpuskit.core.kinds import spec_of
from corpuskit.core.plan import Plan, Stage
from corpuskit.core.spec import Spec
from corpuskit.core.work import HISTORY, Receipt
from corpuskit.store.root import Root


def content_key(plan: Plan, root: Root, stage: Stage, number: int) -> str | None:
    """The content key of a unit whose needs are complete, 16 hex digits; None for a stage that has none."""
    if not any(need.how == "each" for need in stage.needs.values()):
        return None
    read = {}
    for label, need in stage.needs.items():
        upstream = plan.stages[need.stage]
        if need.how == "all":
            read[label] = _together(root, upstream)
        else:
            receipt = root.receipt(upstream, number)
            assert receipt is not None, f"unit {number} of {upstream.name} is not complete"
            read[label] = _content(upstream, receipt)
    # which columns are signals shows in no document, but steps are not shown them
    hidden = spec_of(stage, Spec).hidden
    return digest({"stage": stage.name, "body": stage.kind, "spec": stage.spec, "hidden": hidden, "read": read})


def _content(stage: Stage, receipt: Receipt) -> str:
    """Digest of what bodies can read of a unit."""
    if stage.kind == "state":
        # what a user's step made: equal values need not be equal bytes, as those of a set in two orders
        return receipt.key
    parts = {name: part.digest for name, part in receipt.parts.items()}
    facts = {name: fact for name, fact in receipt.facts.items() if name not in HISTORY}
    return digest({"parts": parts, "facts": facts}, 64)


def _together(root: Root, stage: Stage) -> str:
    """Digest of what bodies can read of all units of a stage; one stage's is the same for all units that need it."""
    name = stage.folder, digest([unit.key for unit in stage.units])
    if name not in root.contents:
        root.contents[name] = digest([_content(stage, receipt) for receipt in root.receipts(stage)], 64)
    return root.contents[name]


def take_over(root: Root, stage: Stage, number: int, content: str) -> bool:
    """Commit a unit with the parts of an earlier one of the same content key; False if there is none whole."""
    earlier = _earlier(root, stage, content)
    return earlier is not None and root.adopt(stage, number, earlier)


def _earlier(root: Root, stage: Stage, content: str) -> Receipt | None:
    """The unit that the index names. The index is a hint: the unit's receipt and its parts on disk decide."""
    with contextlib.suppress(FileNotFoundError, orjson.JSONDecodeError, KeyError):
        place = orjson.loads(root.store.get(_entry(content)))
        receipt = root.receipt_in(place["folder"], place["key"], stage)
        if receipt is not None and receipt.content == content:
            return receipt
    return None


def remember(root: Root, stage: Stage, number: int, content: str) -> None:
    """Enter a unit that was just committed into the index: `stages/content/<content key>.json`."""
    root.store.put(_entry(content), orjson.dumps({"folder": stage.folder, "key": stage.units[number].key}))


def _entry(content: str) -> str:
    return f"stages/content/{content}.json"
