"""`corpuskit export`: a run in the format of another tool, whole or not at all, with counts that equal the run's."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections import Counter
from pathlib import Path
from typing import Any

from corpuskit.errors import CorpuskitError, UsageError, did_you_mean
from corpuskit.exports import formats
from corpuskit.exports.content import check, require, said
from corpuskit.exports.target import RECORD, Target, earlier, filling, sizes, sums
from corpuskit.shards.read import UNWRITTEN
from corpuskit.store.root import Root


def names() -> list[str]:
    """The formats, sorted: the files of `exports/formats/`."""
    return sorted(module.name for module in pkgutil.iter_modules(formats.__path__))


def export(root: Root, form: str, to: Path) -> dict[str, Any]:
    """Write a run to a folder in a format; what is there already from the same run is left as it is.

    Returns:
        What the export holds: `format`, `to`, `content` (of the run), `counts` by split and domain, the numbers of
        files `linked`, `copied` and `written`, `files` with their sizes, `crc32` of each, and whether it is `new`.

    Raises:
        UsageError: no such format, no such run, nothing to export in it, or something else stands in the way.
        DamagedFile, InputError: a file of the run is not what was written, or is missing.
    """
    if form not in names():
        raise UsageError(f"unknown format `{form}`", did_you_mean(form, names()) or f"formats: {', '.join(names())}")
    here = root.store.path
    if here is not None and here.is_dir() and to.resolve().is_relative_to(here.resolve()):
        raise UsageError(f"--to {to} lies in the run {root.url}", "give a folder outside it")
    exporter = importlib.import_module(f"{formats.__name__}.{form}")
    holds: str = exporter.HOLDS
    if holds == "shards":
        _refuse_plan(root, form)
    content = require(root, holds)
    record = earlier(to, form, content)
    if record is not None:
        return {"to": str(to), **record, "new": False}
    with filling(to) as target:
        try:
            check(root, holds)
            exporter.export(root, target)
            _check(root, holds, target)
        finally:
            root.store.release()
        counts = [{"split": split, "domain": name, **found} for (split, name), found in sorted(target.counts.items())]
        record = {"format": form, "content": content, "counts": counts}
        record |= {what: getattr(target, what) for what in ("linked", "copied", "written")}
        record |= {"files": sizes(target.path), "crc32": sums(target.path)}
        (target.path / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
    return {"to": str(to), **record, "new": True}


def _refuse_plan(root: Root, form: str) -> None:
    """Raise UsageError if the shards of a run are not written."""
    key = "shards/index.json"
    if root.store.size(key) is not None and json.loads(root.store.get(key))["format"] == UNWRITTEN:
        others = [one for one in names() if importlib.import_module(f"{formats.__name__}.{one}").HOLDS == "tokens"]
        raise UsageError(
            f"{form} holds shards, and {root.url} has only the plan of some: its recipe says `mix: {{write: plan}}`",
            f"corpuskit run RECIPE --root {root.url} --set mix.write=shards writes them; "
            f"tokens/ goes to {', '.join(others)} as it is",
        )


def _check(root: Root, holds: str, target: Target) -> None:
    """What was put equals what the run says.

    Raises:
        CorpuskitError: it does not.
    """
    wanted = said(root, holds)
    for (split, domain), counts in sorted(wanted.items()):
        found = target.counts.get((split, domain), Counter[str]())
        wrong = [f"{found[name]:,} of {count:,} {name}" for name, count in counts.items() if found[name] != count]
        if wrong:
            raise CorpuskitError(
                f"{split} of `{domain}` came out with {', '.join(wrong)} of {root.url}; nothing was exported",
                f"corpuskit run RECIPE --root {root.url} publishes again what was changed",
            )
    strange = sorted(set(target.counts) - set(wanted))
    if strange:
        raise CorpuskitError(f"{root.url} says nothing of {strange}, which was found in it; nothing was exported")
