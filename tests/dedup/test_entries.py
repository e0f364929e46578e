"""Entries of a unit that do not fit in memory are written as those that do."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from corpuskit.dedup.entries import Entries
from corpuskit.dedup.signatures import LEADING_BITS, grouped


def written(folder: Path, keys: np.ndarray, block: int, room: int) -> dict[str, str]:
    """Digests of the parts, the keys of `block` rows being added at a time."""
    folder.mkdir()
    put = {}
    work = SimpleNamespace(
        scratch=folder, put=lambda name, suffix, rows: put.setdefault(name, folder / f"{name}{suffix}")
    )
    entries = Entries(work, "band", room)
    for first in range(0, max(1, len(keys)), block):
        some = keys[first : first + block]
        found, rows, starts = grouped(some.reshape(-1, 1), np.arange(len(some)) + first, keys.shape[1], LEADING_BITS)
        entries.add(found.reshape(-1), rows, starts)
    entries.save()
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in put.items()}


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_entries_are_the_same_in_any_blocks(tmp_path: Path, count: int) -> None:
    keys = np.random.default_rng(2).integers(0, 2**64, (count, 3), np.uint64)
    whole = written(tmp_path / "whole", keys, 10_000, 10_000)
    assert set(whole) == {"band_key", "band_row", "band_start"}
    for block, room in ((1000, 10**6), (999, 1), (700, 400)):
        assert written(tmp_path / f"{block}", keys, block, room) == whole
    found = np.load(tmp_path / "whole" / "band_key.npy") >> np.uint64(64 - LEADING_BITS)
    assert (np.diff(found.astype(np.int64)) >= 0).all()
