"""Takes documents down: out of every text that a root holds, of this run and of earlier ones, and for good.

The list of what was taken down is put first; then unit after unit is written anew, each at once by its receipt; then
what the receipts no longer name is removed, and what is published is sealed again. A kill leaves `PENDING`, by which
the same takedown goes on; until then no run begins.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpuskit.core.batch import PartReader, PartWriter
from corpuskit.core.checksum import Damaged, file_sum, named_sum, parse_record, with_sum
from corpuskit.core.kinds import spec_of
from corpuskit.core.plan import Plan, Stage
from corpuskit.core.spec import Spec
from corpuskit.core.work import Memo
from corpuskit.documents.kinds import Model, Segment
from corpuskit.documents.lookup import Lookup, mapped
from corpuskit.errors import DamagedFile, InputError, UsageError
from corpuskit.run.blanking import DUPLICATES, Blanked, blank, rewrite_json
from corpuskit.run.seal import FOLDERS, seal, unsealed
from corpuskit.shards.kinds import OverSources
from corpuskit.store.receipts import receipt_key
from corpuskit.store.removed import LIST, PENDING, SCHEMA, listed, pending
from corpuskit.store.root import Root
from corpuskit.store.scratch import at_work, scratch_name

Docs = npt.NDArray[np.uint64]


def begin(root: Root, plan: Plan, copies: dict[int, int | None], about: dict[str, Any]) -> None:
    """Note what is to be done; nothing is taken out yet.

    Args:
        root: of the run. plan: of its last run.
        copies: documents to take down that the list does not have yet, each with the one whose copy it is, or None.
        about: what else the note shall say (JSON), for whoever completes the takedown.

    Raises:
        UsageError: a run is at work, or the last one has not come to its end.
        DamagedFile: a receipt is damaged, so that it is not known what texts there are.
    """
    refuse(root, plan)
    for _, stage, number in _units(root):
        key = receipt_key(stage.folder, stage.units[number].key)
        if root.store.size(key) is not None:
            _readable(root, stage)
            _record(root, key)
    sealed = [name for name in FOLDERS if root.manifest(name)]
    note = {"copies": sorted(copies.items()), "sealed": sealed, **about}
    root.store.put(PENDING, json.dumps(note, indent=1).encode())


def refuse(root: Root, plan: Plan) -> None:
    """Raise UsageError where nothing can be taken down now."""
    if any(at_work(folder) for folder in root.store.scratches()):
        raise UsageError(f"a run is at work in {root.url}", "wait until it has ended")
    if pending(root.store) is None and (older := unsealed(plan, root)):
        raise UsageError(
            f"{', '.join(older)} in {root.url} are of an earlier run: the last one has not come to its end",
            "run the recipe to its end first",
        )


def complete(root: Root, plan: Plan) -> dict[str, Any]:
    """Do what `PENDING` says, from wherever it was interrupted.

    Returns:
        The note of `begin`, with `units` that were written anew (by this call).
    """
    note = pending(root.store)
    assert note is not None, "there is no takedown to complete"
    refuse(root, plan)
    _enter(root, dict(note["copies"]))
    gone = np.array([doc for doc, _ in note["copies"]], np.uint64)
    units = _blank_all(root, gone)
    _blank_signals(root, gone)
    _tidy(root)
    fresh = Root(root.store)
    for name in FOLDERS:
        if name in note["sealed"]:
            seal(plan, fresh, name)
    return note | {"units": units}


def end(root: Root, done: dict[str, Any]) -> None:
    """Keep a record of what was done, `removed/<number>.json`; with it the takedown is complete."""
    number = sum(key.endswith(".json") and key != PENDING for key in root.store.list("removed"))
    root.store.put(f"removed/{number:05d}.json", json.dumps(done, indent=1).encode())
    root.store.delete([PENDING])


def _enter(root: Root, copies: dict[int, int | None]) -> None:
    """Add documents to the list, as far as they are not on it."""
    before = listed(root.store)
    known = set(before["doc"].to_pylist())
    new = {doc: kept for doc, kept in copies.items() if doc not in known}
    table = pa.concat_tables([before, pa.table([list(new), list(new.values())], schema=SCHEMA)])
    written = pa.BufferOutputStream()
    pq.write_table(table.sort_by("doc"), written)
    root.store.put(LIST, written.getvalue().to_pybytes())


# -- units ---------------------------------------------------------------------------------------------------------


def _units(root: Root) -> Iterator[tuple[Plan, Stage, int]]:
    """All units of all runs, what is needed first, each once."""
    seen = set()
    for run in reversed(root.runs()):
        plan = root.plan_of(run)
        for stage in plan.stages.values():
            for number, unit in enumerate(stage.units):
                if (stage.folder, unit.key) not in seen:
                    seen.add((stage.folder, unit.key))
                    yield plan, stage, number


def _readable(root: Root, stage: Stage) -> None:
    """Raise UsageError if a stage is of a version of corpuskit that this one does not read: before anything changes."""
    try:
        spec_of(stage, Spec)
    except InputError as error:
        raise UsageError(f"{stage.folder}: {error.message}", f"corpuskit gc {root.url} removes earlier runs") from None


def _blank_all(root: Root, gone: Docs) -> int:
    """Write anew each complete unit that holds some of the documents; how many there were."""
    done = 0
    for plan, stage, number in _units(root):
        folder, key = f"stages/{stage.folder}", receipt_key(stage.folder, stage.units[number].key)
        if root.store.size(key) is None:
            continue
        receipt = _record(root, key)
        if all(root.store.size(f"{folder}/parts/{part['file']}") is not None for part in receipt["parts"].values()):
            with _scratch(root, stage.folder) as scratch:
                done += _blank(root, plan, number, Blanked(stage, receipt, root.store, scratch, gone))
    return done


def _blank(root: Root, plan: Plan, number: int, unit: Blanked) -> bool:
    """Take the documents out of one unit; whether it held any."""
    stage, before = unit.stage, json.dumps(unit.receipt, sort_keys=True)
    folder, key = f"stages/{stage.folder}", receipt_key(stage.folder, unit.receipt["key"])
    _inform(root, plan, stage, number, unit)
    blank(unit)
    if stage.kind == "blocks":
        rewrite_json(unit, "manifest", partial(_manifest, root, plan, stage))
    elif stage.kind == "mixture":
        rewrite_json(unit, "index", partial(_index, root, plan, stage))
    if unit.unmade:
        root.store.delete([key])
        return True
    if json.dumps(unit.receipt, sort_keys=True) == before:
        return False
    root.store.put_files({f"{folder}/parts/{file}": made for file, made in unit.new.items()})
    root.store.put(key, with_sum(unit.receipt))
    return True


@contextlib.contextmanager
def _scratch(root: Root, folder: str) -> Iterator[Path]:
    """An empty folder of a stage to work in; nothing of it stays, nor of what was fetched meanwhile."""
    scratch = root.store.scratch(folder, scratch_name("takedown"))
    scratch.mkdir(parents=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch)
        root.store.release()


def _inform(root: Root, plan: Plan, stage: Stage, number: int, unit: Blanked) -> None:
    """What other units say that this one's parts do not."""
    if stage.kind in ("tokens", "shards"):
        chosen = _receipt(root, plan.stages[stage.needs["tokenizer"].stage], 0)
        unit.eos, unit.dtype = chosen["facts"]["eos"], chosen["facts"]["dtype"]
    elif stage.kind == "segment":
        for decision in spec_of(stage, Segment).apply:
            if decision["barrier"] not in DUPLICATES:
                continue
            decide = plan.stages[stage.needs[f"decide:{decision['barrier']}"].stage]
            files = _receipt(root, decide, number)["parts"]
            docs, kinds = (
                root.store.local(f"stages/{decide.folder}/parts/{files[name]['file']}")
                for name in ("removed_docs", "removed_exact")
            )
            found, places = Lookup(docs)(pa.array(unit.gone))
            exact = mapped(kinds, "u1")[places]
            for doc, copy in zip(unit.gone[found].tolist(), exact.tolist(), strict=True):
                unit.left.setdefault(doc, "exact" if copy else "near")


def _receipt(root: Root, stage: Stage, number: int) -> dict[str, Any]:
    return _record(root, receipt_key(stage.folder, stage.units[number].key))


def _record(root: Root, key: str) -> dict[str, Any]:
    """What a receipt says.

    Raises:
        DamagedFile: it is not what was written.
    """
    try:
        return parse_record(root.store.get(key))
    except Damaged as error:
        raise DamagedFile(root.url, key, str(error), "") from None


def _token_receipts(root: Root, plan: Plan, stage: Stage) -> Iterator[tuple[str, dict[str, Any]]]:
    """(domain, receipt) of the token units that a stage over all sources needs."""
    for source in spec_of(stage, OverSources).sources:
        tokens = plan.stages[stage.needs[f"tokens:{source.source}"].stage]
        for number in range(len(tokens.units)):
            yield source.domain, _receipt(root, tokens, number)


def _manifest(root: Root, plan: Plan, stage: Stage, value: dict[str, Any]) -> None:
    """Digests and bytes of tokens/manifest.json as they are now; its fingerprint stays that of what was first made."""
    now = {f"tokens/{entry['file']}": entry for entry in value["parts"]}
    for _, receipt in _token_receipts(root, plan, stage):
        for split, name in (("train", "bin"), ("validation", "validation_bin")):
            part = receipt["parts"].get(name)
            if part is not None and part["publish"] in now:
                now[part["publish"]] |= {"sha256": part["digest"], "bytes": receipt["facts"][split]["bytes"]}


def _index(root: Root, plan: Plan, stage: Stage, value: dict[str, Any]) -> None:
    """Bytes of held-out text in shards/index.json as they are now, by which bits per byte are counted."""
    sums: Counter[str] = Counter()
    for domain, receipt in _token_receipts(root, plan, stage):
        sums[domain] += receipt["facts"]["validation"]["bytes"]
    for domain, entry in value["validation"].items():
        entry["bytes"] = sums[domain]


# -- what is beside units ------------------------------------------------------------------------------------------


def _blank_signals(root: Root, gone: Docs) -> None:
    """Stored values of the documents; a file is named by the hash of the documents in it."""
    for key in root.store.list("stages"):
        if fnmatch.fnmatchcase(key, "stages/signal-*/columns/*/*.arrow"):
            with _scratch(root, key.split("/")[1]) as scratch:
                _blank_column(root, key, gone, scratch)


def _blank_column(root: Root, key: str, gone: Docs, scratch: Path) -> None:
    folder, _, name = key.rpartition("/")
    path = root.store.local(key)
    if named_sum(name) != file_sum(path):  # no run takes its values, and it may hold any
        root.store.delete([key])
        return
    reader = PartReader(path)
    batches = list(reader)
    masks = [np.isin(batch.column("doc").to_numpy(), gone) for batch in batches]
    if not any(mask.any() for mask in masks):
        return
    left = [batch.filter(pa.array(~mask)) for batch, mask in zip(batches, masks, strict=True)]
    docs = np.concatenate([batch.column("doc").to_numpy() for batch in left])
    if len(docs):
        with PartWriter(scratch / "column.arrow", reader.schema) as writer:
            for batch in left:
                writer.write(batch)
        name = hashlib.sha256(docs.tobytes()).hexdigest()[:16]
        Memo(root.store, folder).put(f"{name}.arrow", scratch / "column.arrow")
    root.store.delete([key])


def _tidy(root: Root) -> None:
    """Remove parts that no receipt names, units of no run, and what processes left that are gone: they hold texts."""
    known: dict[str, set[str]] = {}
    for _, stage, number in _units(root):
        known.setdefault(stage.folder, set()).add(stage.units[number].key)
    there = list(root.store.list("stages"))
    named = set()
    for key in there:
        _, folder, *rest = key.split("/")
        if rest[0] != "receipts":
            continue
        if rest[1].removesuffix(".json") in known.get(folder, set()):
            named |= {f"stages/{folder}/parts/{part['file']}" for part in _record(root, key)["parts"].values()}
        else:
            root.store.delete([key])
    root.store.delete(key for key in there if key.split("/")[2] == "parts" and key not in named)
    for scratch in root.store.scratches():
        if at_work(scratch) is False:
            shutil.rmtree(scratch, ignore_errors=True)


def models(root: Root, plan: Plan) -> list[str]:
    """What was estimated from documents of the run and cannot forget one: stages with models, and the tokenizer."""
    found = []
    for stage in plan.stages.values():
        spec = spec_of(stage, Spec)
        trained = any("sample" in receipt.facts for receipt in root.complete(stage)) and stage.kind == "tokenizer"
        if trained or (isinstance(spec, Model) and spec.sources):
            found.append(stage.name)
    return found
