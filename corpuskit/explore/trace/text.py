"""What `corpuskit trace` prints: the data of `corpuskit.explore.trace.Trace` for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from corpuskit.core.tables import table

Row = dict[str, Any]

SHOWN = 200
"""Characters of a text or a value."""
COPIES = 10
RUNS = 20
"""Lines for copies, and for places in shards; `--json` has all."""


def text_of(life: Row) -> str:
    """The life of a document."""
    raw = life["raw"]
    lines = [
        f"document {life['doc']}: {_fate(life)}",
        f"raw file  {raw['path']}#{raw['record']}"
        + (f", in the range from byte {raw['start']:,}" if raw["start"] else ""),
        f"source    {raw['source']}, domain {raw['domain']}",
    ]
    lines += [f"  {name}: {_short(value)}" for name, value in life["columns"].items()]
    if life["text"] is not None:
        lines.append(f"  text ({len(life['text']):,} characters): {_short(life['text'])}")
    lines += ["", "steps", *_steps(life["steps"])]
    lines += _duplicates(life)
    lines += ["", *_places(life)]
    return "\n".join(lines)


def _fate(life: Row) -> str:
    fate = life["fate"]
    said = {
        "kept": "kept, in the corpus",
        "held_out": "held out for validation",
        "exact": "removed, an exact copy",
        "near": "removed, a near duplicate",
        "removed": "taken down",
        None: "the run has not come to its end",
    }
    return said.get(fate, f"dropped by {fate}")


def _steps(steps: list[Row]) -> list[str]:
    if not steps:
        return ["  none"]
    lines = []
    for step in steps:
        said = [step["outcome"]]
        if "expr" in step:
            said.append(step["expr"])
        if step.get("rule") not in (None, step["step"]):
            said.append(step["rule"])
        if step.get("reason"):
            said.append(step["reason"])
        if "lines" in step:
            said.append(f"{step['lines']:,} cut")
        said += [f"{name} = {_short(value)}" for name, value in step.get("values", {}).items()]
        said += [f"found {one['what']} {one['times']}" for one in step.get("found", [])]
        lines.append(f"  {step['step']}: {'; '.join(said)}")
    return lines


def _duplicates(life: Row) -> list[str]:
    lines = []
    if one := life["duplicate_of"]:
        of = f"{one['kept_doc']}" + (f" of {one['kept_root']}" if one["kept_root"] else "")
        later = f"; that left later: {one['kept_dropped_by']}" if one["kept_dropped_by"] else ""
        lines += ["", f"copy of {of} ({one['kept_domain']}), {_similar(one)}{later}"]
    copies = life["copies"]
    if copies:
        lines += ["", f"{len(copies):,} {'copy of it was' if len(copies) == 1 else 'copies of it were'} removed"]
        lines += [f"  {one['doc']} ({one['domain']}), {_similar(one)}" for one in copies[:COPIES]]
        lines += _more(len(copies), COPIES)
    return lines


def _similar(one: Row) -> str:
    return f"{one['kind']}, " + ("not compared" if one["jaccard"] is None else f"jaccard {one['jaccard']:.4f}")


def _places(life: Row) -> list[str]:
    if down := life["taken_down"]:
        of = f"as a copy of {down['copy_of']}; " if down["copy_of"] is not None else ""
        return [f"taken down, {of}{down['record']} names the checkpoints that saw it or what went with it"]
    stored, tokens = life["stored"], life["tokens"]
    lines = [f"stored    {stored['file']}, row {stored['row']}" if stored else "stored    in no published folder"]
    if tokens:
        where = f"{tokens['file']}, document {tokens['document']}, from token {tokens['offset']:,}"
        lines.append(f"tokens    {tokens['tokens']:,}, split {tokens['split']}: {where}")
    runs = life["shards"]
    if runs:
        lines += [f"shards    {len(runs):,} runs of its tokens", *_runs(runs)]
    for one in life["training"]:
        lines.append(_seen(one))
    return lines


def _runs(runs: list[Row]) -> list[str]:
    head = ["file", "sequence", "at", "tokens", "of its tokens from", "epoch"]
    rows = [
        [
            one["file"],
            f"{one['sequence']:,}",
            f"{one['start']:,}",
            f"{one['length']:,}",
            f"{one['doc_start']:,}",
            "" if one["epoch"] is None else str(one["epoch"] + 1),
        ]
        for one in runs[:RUNS]
    ]
    return [*_indented(table(head, rows, right=range(1, 6))), *_more(len(runs), RUNS)]


def _seen(one: Row) -> str:
    steps = [step for step in one["steps"] if step <= one["done"]]
    if not steps:
        return f"training  {one['training']}: not seen in {one['done']:,} steps"
    kept = ", ".join(f"step-{step}" for step in one["checkpoints"]) or "none that is there"
    shown = ", ".join(map(str, steps[:RUNS])) + (" and later ones" if len(steps) > RUNS else "")
    return f"training  {one['training']}: in step {shown}; checkpoints that saw it: {kept}"


def place_text(found: Row) -> str:
    """A place in tokens or shards, and the life of the document there."""
    lines = [f"{found['file']}, token {found['offset']:,}: number {found['token']}"]
    if "sequence" in found:
        lines += [f"sequence {found['sequence']:,}, position {found['column']:,}, which holds", *_held(found)]
    if found["document"] is None:
        return "\n".join([*lines, "", "the token is padding, of no document"])
    return "\n".join([*lines, "", text_of(found["document"])])


def _held(found: Row) -> list[str]:
    return _indented(_documents(found["documents"])) if found["documents"] else ["  no document"]


def _documents(runs: list[Row]) -> str:
    rows = [
        [str(one["doc"]), one["domain"], f"{one['start']:,}", f"{one['length']:,}", f"{one['doc_start']:,}"]
        for one in runs
    ]
    return table(["document", "domain", "at", "tokens", "of its tokens from"], rows, right=range(2, 5))


def step_text(found: Row) -> str:
    """What a step of training read."""
    not_yet = "" if found["step"] <= found["done"] else ", not taken yet"
    phase = f", phase {found['phase'] + 1}" if found["phase"] else ""
    sequences = found["sequences"]
    lines = [
        (
            f"{found['training']}, step {found['step']:,} of {found['steps']:,}{phase}{not_yet}: "
            f"{len(sequences):,} sequences"
        )
    ]
    for one in sequences:
        lines += ["", f"{one['file']}, sequence {one['sequence']:,}", *_held(one)]
    return "\n".join(lines)


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]


def _more(count: int, shown: int) -> Iterable[str]:
    return [f"  and {count - shown:,} more; --json has all"] if count > shown else []


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else f"{value:.6g}" if isinstance(value, float) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[:SHOWN] + " …"
