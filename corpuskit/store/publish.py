"""Published folders: filled from the parts of complete stages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from corpuskit.core.checksum import with_sum
from corpuskit.core.plan import Stage
from corpuskit.core.work import Part
from corpuskit.store.root import MANIFEST, Root


def publish(root: Root, stages: Iterable[Stage], folders: Iterable[str], facts: dict[str, Any]) -> int:
    """Fill published folders from the parts of complete stages.

    `_manifest.json` is put last, and goes before a file changes: where it is, the folder is what it says.

    Returns:
        The number of files that were put or removed.
    """
    changed = 0
    wanted: dict[str, dict[str, Part]] = {folder: {} for folder in folders}
    for stage in stages:
        for receipt in root.receipts(stage):
            for part in receipt.parts.values():
                if part.publish is not None:
                    folder, _, rest = part.publish.partition("/")
                    wanted.setdefault(folder, {})[rest] = part
    for folder, parts in wanted.items():
        changed += _fill(root, folder, parts, facts)
    return changed


def _fill(root: Root, folder: str, parts: dict[str, Part], facts: dict[str, Any]) -> int:
    store, manifest = root.store, f"{folder}/{MANIFEST}"
    there, before = store.list(folder), root.manifest(folder)
    missing = {}
    for rest, part in parts.items():
        key = f"{folder}/{rest}"
        said = before.get("files", {}).get(rest, {}).get("sha256") == part.digest and there.get(key) == part.bytes
        if not store.same(part.key, key, said=said):
            missing[key] = part.key
    older = [key for key in there if key.removeprefix(f"{folder}/") not in parts and key != manifest]
    if before and (missing or older):
        store.delete([manifest])
    store.copy_all(missing)
    store.delete(older)
    files = {
        rest: {"rows": part.rows, "bytes": part.bytes, "sha256": part.digest, "sums": part.sums}
        for rest, part in sorted(parts.items())
    }
    store.put(manifest, with_sum(dict(sorted({"files": files, **facts}.items()))))
    return len(missing) + len(older)
