"""Published folders: filled from the parts of complete stages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from corpuskit.core.plan import Stage
from corpuskit.core.work import Part
from corpuskit.store.files import link, put
from corpuskit.store.root import Root


def publish(root: Root, stages: Iterable[Stage], folders: Iterable[str], facts: dict[str, Any]) -> int:
    """Fill published folders from the parts of complete stages; `_manifest.json` last, older files removed after.

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
        base = root.path / folder
        base.mkdir(parents=True, exist_ok=True)
        for rest, part in parts.items():
            target = base / rest
            if not (target.exists() and target.samefile(part.path)):
                link(part.path, target)
                changed += 1
        manifest = {
            "files": {
                rest: {"rows": part.rows, "bytes": part.bytes, "sha256": part.digest}
                for rest, part in sorted(parts.items())
            },
            **facts,
        }
        put(base / "_manifest.json", json.dumps(manifest, indent=1, sort_keys=True).encode())
        for path in _files(base):
            if path.relative_to(base).as_posix() not in parts and path.name != "_manifest.json":
                path.unlink(missing_ok=True)
                changed += 1
        for path in sorted(base.rglob("*"), reverse=True):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
    return changed


def _files(base: Path) -> Iterator[Path]:
    return (path for path in sorted(base.rglob("*")) if path.is_file())
