"""Reads shards back: sequences, and the documents they hold, from `index.json` and the files it names.

For exports, traces and people; the trainer has its own reader of the same files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpuskit.errors import InputError

UNWRITTEN = 3
"""The format of an index without shards: how their sequences are found in `tokens/`."""


@dataclass(frozen=True)
class Shard:
    """One shard file.

    Attributes:
        tokens: [sequences, seq_len + 1], memory-mapped; seq_len is that of its phase.
        sidecar: path of its runs (see `corpuskit.shards.write.SIDECAR`).
    """

    tokens: npt.NDArray[Any]
    sidecar: Path

    def runs(self) -> pa.Table:
        """All runs of the shard, sorted by sequence and start; memory grows with the shard (about 50 bytes a run)."""
        return pq.read_table(self.sidecar)


def read_index(folder: Path) -> dict[str, Any]:
    """The content of `index.json`.

    Raises:
        InputError: it is missing, or of a format that this version does not read.
    """
    path = folder / "index.json"
    try:
        index: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        msg = f"{folder}: holds no shards (no index.json)"
        raise InputError(msg, "make them with `corpuskit run RECIPE`") from None
    if index.get("format") == UNWRITTEN:
        msg = f"{folder}: holds no shards but the plan of some (`mix: {{write: plan}}`)"
        raise InputError(msg, "set `write: shards` in the recipe, and run it again")
    if index.get("format") not in (1, 2):
        msg = f"{path}: format {index.get('format')!r}; this version reads formats 1 and 2"
        raise InputError(msg)
    return index


def open_shard(folder: Path, index: dict[str, Any], entry: dict[str, Any]) -> Shard:
    """Open the shard that an entry of `index["train"]`, or a value of `index["validation"]`, describes.

    Raises:
        InputError: the file is missing, or has not the size that the entry says.
    """
    path, length = folder / entry["file"], entry.get("seq_len", index["seq_len"]) + 1
    expected = entry["sequences"] * length * np.dtype(index["dtype"]).itemsize
    found = path.stat().st_size if path.exists() else None
    if found != expected:
        what = "missing" if found is None else f"{found:,} bytes, but index.json announces {expected:,}"
        msg = f"{path}: {what}"
        raise InputError(msg, "`corpuskit run RECIPE` writes what is missing again")
    tokens = np.memmap(path, index["dtype"], "r", 0, (entry["sequences"], length))
    return Shard(tokens, folder / entry["sidecar"])
