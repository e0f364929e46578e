"""The token parts of a domain, and the index of its documents, by which `corpuskit.train.stream` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from corpuskit.errors import InputError
from corpuskit.shards.megatron import read_index
from corpuskit.train.stream import GONE


@dataclass(frozen=True)
class TokenPart:
    """One committed piece of tokens: `.bin`, its `.idx` and its `.docs.parquet`, with their totals."""

    bin: Path
    idx: Path
    docs: Path
    tokens: int
    documents: int


def write_documents(path: Path, parts: Sequence[TokenPart], dtype: str, removed: npt.NDArray[np.uint64]) -> None:
    """Write the document index of a domain: int64 starts[n + 1] in its stream, then uint64 document numbers[n].

    `GONE` stands for each of the documents `removed`, which were taken down.

    Raises:
        InputError: a part's index or document table does not agree with its receipt.
    """
    start = 0
    with path.open("wb") as stream:
        for part in parts:
            index = read_index(part.idx)
            ends = start + np.cumsum(index.lengths, dtype=np.int64)
            found = (index.dtype, len(index.lengths), int(ends[-1]) - start if len(ends) else 0)
            if found != (dtype, part.documents, part.tokens):
                msg = f"{part.idx}: holds {found}, its receipt says {(dtype, part.documents, part.tokens)}"
                raise InputError(msg)
            stream.write((ends - index.lengths).astype("<i8").data)
            start += part.tokens
        stream.write(np.array([start], "<i8").data)
        for part in parts:
            rows = 0
            for batch in pq.ParquetFile(part.docs).iter_batches(columns=["doc"]):
                docs = batch.column(0).to_numpy(zero_copy_only=False)
                stream.write(np.where(np.isin(docs, removed), np.uint64(GONE), docs).astype("<u8").data)
                rows += batch.num_rows
            if rows != part.documents:
                msg = f"{part.docs}: {rows:,} rows for {part.documents:,} documents"
                raise InputError(msg)
