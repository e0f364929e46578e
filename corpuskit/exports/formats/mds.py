"""MDS (mosaicml-streaming): the mixture in its order, a sample a sequence, with its domain and document borders.

Layout (streaming 0.13, base/format/mds): a shard is u32 samples, u32 offsets of all samples and of the end, the JSON
of its columns, and the samples: u32 sizes of the columns whose size varies, then the columns, in the order of their
names. An `ndarray` of a fixed type begins with a byte (dimensions << 2 | log2 bytes of a dimension) and its shape.
`index.json` describes all shards of a split.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from corpuskit.exports.content import ShardFile, open_shards, root_index
from corpuskit.exports.target import Target
from corpuskit.store.root import Root

HOLDS = "shards"

SHARD_BYTES = 1 << 26
"""A shard is closed before it would be larger: what `MDSWriter` takes where nothing else is said."""


def export(root: Root, into: Target) -> None:
    """Write `train/` and `validation/`, each with its `index.json`.

    Columns: `tokens`, seq_len + 1 of them; `cu_seqlens`, int32, where documents begin in them and the last one ends
    (what follows is padding); `domain`.
    """
    dtype = root_index(root)["dtype"]
    columns = {"cu_seqlens": "ndarray:int32", "domain": "str", "tokens": f"ndarray:{dtype}"}
    writers: dict[str, _Writer] = {}
    for file in open_shards(root):
        writer = writers.setdefault(file.split, _Writer(into, file.split, columns))
        for sample in _samples(file):
            writer.add(sample)
        for domain, found in file.counts().items():
            into.count(file.split, domain, **found)
    for writer in writers.values():
        writer.close()
    into.link(root.store.local("tokens/tokenizer.json"), "tokenizer.json")


def _samples(file: ShardFile) -> Iterator[bytes]:
    runs = file.shard.runs()
    lengths = runs["length"].to_numpy().astype("<i4")
    bounds = np.searchsorted(runs["sequence"].to_numpy(), np.arange(len(file.domains) + 1))
    for sequence, (tokens, domain) in enumerate(zip(file.shard.tokens, file.domains, strict=True)):
        inside = lengths[bounds[sequence] : bounds[sequence + 1]]
        borders = np.zeros(len(inside) + 1, "<i4")
        np.cumsum(inside, out=borders[1:])
        parts = [_array(borders), domain.encode(), _array(tokens)]
        yield np.array([len(part) for part in parts], "<u4").tobytes() + b"".join(parts)


def _array(values: npt.NDArray[Any]) -> bytes:
    """One dimension, in as few bytes as it fits: 1, 2 or 4."""
    power = next(power for power in (0, 1, 2) if len(values) < 1 << (8 << power))
    return bytes([1 << 2 | power]) + len(values).to_bytes(1 << power, "little") + values.tobytes()


class _Writer:
    """The shards of one split."""

    def __init__(self, into: Target, split: str, columns: dict[str, str]) -> None:
        self._into, self._split = into, split
        self._about: dict[str, Any] = {
            "column_encodings": list(columns.values()),
            "column_names": list(columns),
            "column_sizes": [None] * len(columns),
            "compression": None,
            "format": "mds",
            "hashes": [],
            "size_limit": SHARD_BYTES,
            "version": 2,
        }
        self._config = json.dumps(self._about, sort_keys=True).encode()
        self._samples: list[bytes] = []
        self._empty = self._size = 4 + 4 + len(self._config)
        self._shards: list[dict[str, Any]] = []

    def add(self, sample: bytes) -> None:
        """Add a sample; a shard that it does not fit in is written."""
        if self._samples and self._size + 4 + len(sample) > SHARD_BYTES:
            self._flush()
        self._samples.append(sample)
        self._size += 4 + len(sample)

    def close(self) -> None:
        """Write the last shard and the index."""
        if self._samples:
            self._flush()
        self._into.write(
            f"{self._split}/index.json", json.dumps({"version": 2, "shards": self._shards}, sort_keys=True)
        )

    def _flush(self) -> None:
        name = f"shard.{len(self._shards):05d}.mds"
        offsets = np.cumsum([self._empty + 4 * len(self._samples), *map(len, self._samples)]).astype("<u4")
        with self._into.new(f"{self._split}/{name}").open("wb") as stream:
            stream.write(len(self._samples).to_bytes(4, "little") + offsets.tobytes() + self._config)
            stream.writelines(self._samples)
        raw = {"basename": name, "bytes": self._size, "hashes": {}}
        self._shards.append(self._about | {"raw_data": raw, "samples": len(self._samples), "zip_data": None})
        self._samples, self._size = [], self._empty
