"""Takes the tokens of some documents out of token files and shards without moving any other: end tokens in their place.

In a shard no run of the sidecar covers them any more, so that the trainer takes them for padding, without loss.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

Docs = npt.NDArray[np.uint64]


def blank_tokens(paths: tuple[Path, Path], targets: tuple[Path, Path], gone: Docs, eos: int, dtype: str) -> int | None:
    """Blank documents in a token file.

    Args:
        paths: of the tokens and of the table of their documents; targets: of what is written.
        gone: ids. eos: their end token. dtype: of the tokens.

    Returns:
        Bytes of text that are gone, which the table then has as 0; None if the file has none of the documents, and
        nothing was written.
    """
    table = pq.read_table(paths[1])
    chosen = np.isin(table["doc"].to_numpy(), gone)
    if not chosen.any():
        return None
    ends = np.cumsum(table["tokens"].to_numpy().astype(np.int64))
    shutil.copyfile(paths[0], targets[0])
    tokens = np.memmap(targets[0], dtype, "r+")
    for row in np.flatnonzero(chosen):
        tokens[ends[row - 1] if row else 0 : ends[row]] = eos
    tokens.flush()
    sizes = table["bytes"].to_numpy()
    place = table.schema.get_field_index("bytes")
    left = table.set_column(place, table.schema.field(place), pa.array(np.where(chosen, 0, sizes)))
    pq.write_table(left, targets[1], row_group_size=1 << 16, compression="zstd")
    return int(sizes[chosen].sum())


def blank_runs(
    paths: tuple[Path, Path], targets: tuple[Path, Path], gone: Docs, eos: int, dtype: str, sequences: int
) -> bool:
    """Blank documents in a shard of so many sequences; see `blank_tokens`.

    Returns:
        Whether the shard had some of the documents; else nothing was written.
    """
    sidecar = pq.ParquetFile(paths[1])
    groups = range(sidecar.num_row_groups)
    if not any(np.isin(sidecar.read_row_group(k, ["doc"])["doc"].to_numpy(), gone).any() for k in groups):
        return False
    shutil.copyfile(paths[0], targets[0])
    tokens = np.memmap(targets[0], dtype, "r+")
    width = len(tokens) // sequences
    with pq.ParquetWriter(targets[1], sidecar.schema_arrow, compression="zstd") as writer:
        for k in groups:
            table = sidecar.read_row_group(k)
            chosen = np.isin(table["doc"].to_numpy(), gone)
            for row in table.filter(pa.array(chosen)).select(["sequence", "start", "length"]).to_pylist():
                start = row["sequence"] * width + row["start"]
                tokens[start : start + row["length"]] = eos
            writer.write_table(table.filter(pa.array(~chosen)))
    tokens.flush()
    return True
