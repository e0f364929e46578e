"""Writes one shard: sequences in order as headerless tokens, and the sidecar that says whose tokens they are.

Bytes depend on the sequences and their order only. Memory: one chunk of about 4M tokens and its runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpuskit.train.order import Indices
from corpuskit.train.stream import Domain, OpenFiles

SIDECAR = pa.schema(
    [
        ("sequence", pa.int64()),
        ("start", pa.int32()),
        ("length", pa.int32()),
        ("domain", pa.string()),
        ("doc", pa.uint64()),
        ("doc_start", pa.int64()),
    ]
)
"""A row is a run of tokens of one document inside a sequence; sorted by sequence (numbered from 0 in its file) and
start; `doc_start` is where the run begins in the document's tokens. Positions that no row covers are padding."""

_CHUNK_TOKENS = 1 << 22
"""Tokens of a sidecar row group, and of the buffer; fixed, since it decides bytes."""


def write_shard(
    tokens_path: Path,
    sidecar_path: Path,
    domains: Sequence[Domain],
    locate: Callable[[Indices], tuple[Indices, Indices]],
    span: tuple[int, int],
    dtype: str,
    pad: int,
) -> Counter[str]:
    """Write sequences [span[0], span[1]) and their sidecar.

    Args:
        tokens_path: of the `.bin`. sidecar_path: of the Parquet file beside it.
        domains: what `locate` numbers; all with sequences of one width.
        locate: sequence numbers int64[n] of a phase -> (domain number, sequence of the domain), int64[n] each.
        span: first and end number.
        dtype: of the tokens. pad: token of positions that no document covers.

    Returns:
        Tokens of documents written, by domain (padding not counted; what two slices of a block share counts twice).
    """
    width = domains[0].blocks.width
    chunk = max(1, _CHUNK_TOKENS // width)
    written: Counter[str] = Counter()
    with (
        tokens_path.open("wb") as stream,
        pq.ParquetWriter(sidecar_path, SIDECAR, compression="zstd") as sidecar,
        OpenFiles() as files,
    ):
        for low in range(span[0], span[1], chunk):
            count = min(chunk, span[1] - low)
            numbers, sequences = locate(np.arange(low, low + count))
            out = np.full((count, width), pad, dtype)
            tables = []
            for number in np.unique(numbers).tolist():
                rows = np.flatnonzero(numbers == number)
                runs = domains[number].fill(out, rows, sequences[rows], files)
                written[domains[number].name] += int(runs["length"].sum())
                runs["sequence"] += low - span[0]
                runs["doc"] = domains[number].ids[runs["document"]]
                tables.append(_table(runs, domains[number].name))
            sidecar.write_table(pa.concat_tables(tables).sort_by([("sequence", "ascending"), ("start", "ascending")]))
            stream.write(out.data)
    return written


def _table(runs: dict[str, Indices], domain: str) -> pa.Table:
    count = len(runs["sequence"])
    name = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([domain])).cast(pa.string())
    columns = [name if field.name == "domain" else pa.array(runs[field.name]).cast(field.type) for field in SIDECAR]
    return pa.Table.from_arrays(columns, schema=SIDECAR)
