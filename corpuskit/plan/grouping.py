"""Which raw files make a unit: borders that a new file moves in one place only, and a sample that is stable."""

from __future__ import annotations

import hashlib
from typing import Any

from corpuskit.core.keys import digest
from corpuskit.core.plan import Unit

GROUP_BYTES = 64 << 20
"""Expected raw bytes of a unit that groups small files; also the size of a range of a splittable file."""

BLOCKS_PER_RANGE = 64
"""Document-id blocks set aside for a range of a splittable file: room for one-byte records."""

MIN_FILE_BYTES = 16 << 10
"""A file counts at least this much towards its group, so that a group holds about 4,096 files at most."""


def group(files: list[Any], *, splittable: bool) -> list[list[dict[str, Any]]]:
    """Cut the sorted list of files into units.

    A border lies behind a file where the hash of its path says so, with a probability in proportion to its size: so a
    new file moves the borders of one group only. A large splittable file is cut into ranges instead.
    """
    groups: list[list[dict[str, Any]]] = []
    current: list[dict[str, Any]] = []
    for file in files:
        entry = {"path": file.path, "relative": file.relative, "size": file.size, "identity": file.identity}
        if splittable and file.size > GROUP_BYTES and not file.compressed:
            for number, start in enumerate(range(0, file.size, GROUP_BYTES)):
                end = min(start + GROUP_BYTES, file.size)
                groups.append([{**entry, "start": start, "end": end, "block": number * BLOCKS_PER_RANGE}])
            continue
        current.append({**entry, "start": None, "end": None, "block": 0})
        chance = max(file.size, MIN_FILE_BYTES) / GROUP_BYTES
        if int(hashlib.sha256(file.relative.encode()).hexdigest()[:8], 16) < chance * 2**32:
            groups.append(current)
            current = []
    if current:
        groups.append(current)
    return groups


def sampled(units: list[Unit], share: float) -> list[Unit]:
    """About `share` of the units, by the hash of their paths; at least one."""
    ranked = sorted(units, key=lambda unit: digest([unit.inputs[0]["relative"], unit.inputs[0]["start"]]))
    chosen = {unit.key for unit in ranked[: max(1, round(share * len(units)))]}
    return [unit for unit in units if unit.key in chosen]
