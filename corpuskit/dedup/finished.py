"""A finished corpus that new documents are compared with: `against: OTHER_ROOT`.

Its published documents, kept and held out, have top priority and are never removed. They are sketched once, from their
texts: so nothing but the published folders is needed, and the units stay complete as long as the files are the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from corpuskit.core.keys import digest
from corpuskit.core.plan import Unit
from corpuskit.errors import UsageError
from corpuskit.store.root import MANIFEST, Root

PARAMETERS = "index/minhash.json"
"""Where a root says by what it was deduplicated."""


def finished_files(root: Path, params: dict[str, Any]) -> dict[str, list[Unit]]:
    """The files of a finished corpus by domain, as units to sketch.

    Args:
        root: of the other run.
        params: of `minhash`.

    Raises:
        UsageError: there is no finished corpus, or it was deduplicated by other shingles.
    """
    from corpuskit.sources.listing import identity

    _check_shingles(root, params)
    found: dict[str, list[Unit]] = {}
    for folder in ("corpus", "holdout"):
        manifest = Root(root).manifest(folder)
        if folder == "corpus" and not manifest:
            raise UsageError(
                f"{root} holds no finished corpus: there is no {root / folder / MANIFEST}",
                "run its recipe to the end first",
            )
        for relative, entry in sorted(manifest.get("files", {}).items()):
            path = root / folder / relative
            if not path.exists():
                raise UsageError(f"{path} is in its manifest and not on disk", "run its recipe again")
            size, mark = identity(str(path))
            origin = digest([folder, relative, entry["sha256"]])
            place = {"path": str(path), "relative": relative, "size": size, "identity": mark}
            inputs = [place | {"start": None, "end": None, "block": 0}]
            domain = relative.partition("/")[0].removeprefix("domain=")
            found.setdefault(domain, []).append(Unit(origin, str(path), inputs, origin, size))
    return dict(sorted(found.items()))


def _check_shingles(root: Path, params: dict[str, Any]) -> None:
    path = root / PARAMETERS
    if not path.exists():
        return  # it was not deduplicated: any shingles will do
    theirs = json.loads(path.read_bytes())
    mine, other = ({name: one[name] for name in ("unit", "n")} for one in (params, theirs))
    if mine != other:
        raise UsageError(
            f"{root} was deduplicated by shingles of {other['n']} {other['unit']}s, this recipe asks for "
            f"{mine['n']} {mine['unit']}s",
            f"write `shingle: {{unit: {other['unit']}, n: {other['n']}}}` in `minhash`",
        )
