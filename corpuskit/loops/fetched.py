"""What a trainer reads, as its stage hands it over: links to files of this machine, or keys of what a bucket holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from corpuskit.core.work import Part, Work
from corpuskit.store.files import link_or_copy
from corpuskit.train.manifest import NAME


def handed(work: Work[Any], parts: Iterable[tuple[str, Part]], made: Mapping[str, bytes]) -> dict[str, Any]:
    """Fill `shards/`, and `tokens/` beside it, in the unit's scratch folder.

    Args:
        parts: by the names that the index knows them by, `shards/train-00000.bin`. made: files of `shards/` themselves.

    Returns:
        What the trainer's configuration says of them; it checks each file, or each block of one, at its first use.
    """
    local = work.store.path is not None
    files: dict[str, dict[str, dict[str, Any]]] = {"shards": {}, "tokens": {}}
    for place, part in parts:
        folder, _, name = place.partition("/")
        files[folder][name] = {"sha256": part.digest}
        # an earlier version wrote no sums of blocks: what has none is fetched whole
        if local or name.endswith(".json") or (part.bytes and not part.sums):
            target = work.scratch / place
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(work.store.local(part.key), target)
        else:
            files[folder][name] |= {"bytes": part.bytes, "sums": part.sums, "key": part.key}
    for folder in files:
        (work.scratch / folder).mkdir(parents=True, exist_ok=True)
    shards = work.scratch / "shards"
    for name, content in made.items():
        (shards / name).write_bytes(content)
        files["shards"][name] = {"sha256": hashlib.sha256(content).hexdigest()}
    for folder, entries in files.items():
        (work.scratch / folder / NAME).write_text(json.dumps({"files": entries}))
    config = {"shards": str(shards)}
    return config if local else {**config, "bucket": work.store.url}
