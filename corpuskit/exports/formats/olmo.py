"""OLMo: `.npy` files of tokens (headerless, whatever their name says), with `.csv.gz`, where documents lie.

Layout of the metadata (OLMo-core, data/utils.py, `iter_document_indices`; written by the Dolma toolkit): a line a
document, `start,end,id,source,line`, in tokens.
"""

from __future__ import annotations

import gzip
import io

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from corpuskit.exports.content import TokenFile, open_tokens
from corpuskit.exports.target import Target
from corpuskit.store.root import Root

HOLDS = "tokens"


def export(root: Root, into: Target) -> None:
    """Link token files; write where their documents lie.

    OLMo-core reads them as uint16, or as uint32 where the vocabulary is too large for that (the bytes are those of
    int32).
    """
    tokens = open_tokens(root)
    for file in tokens.files:
        into.link(file.bin, f"{file.place}.npy")
        into.new(f"{file.place}.csv.gz").write_bytes(_documents(file))
        into.count(file.split, file.domain, **file.counts)
    tokens.link_about(into)


def _documents(file: TokenFile) -> bytes:
    """The metadata of a file; memory grows with its documents (about 40 bytes each)."""
    end = np.cumsum(file.lengths, dtype=np.int64)
    doc = pq.read_table(file.docs, columns=["doc"])["doc"].combine_chunks()
    domain = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(end), np.int32)), pa.array([file.domain]))
    table = pa.table(
        {
            "start": end - file.lengths,
            "end": end,
            "id": doc,
            "source": domain.cast(pa.string()),
            "line": range(len(end)),
        }
    )
    written = io.BytesIO()
    with gzip.GzipFile(fileobj=written, mode="wb", mtime=0) as stream:
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
        pyarrow.csv.write_csv(table, stream, options)
    return written.getvalue()
