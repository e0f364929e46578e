"""The stage `spans`: suffix arrays over the bytes of the corpus, one for each piece of a unit's text.

Over bytes, and not over tokens: a passage then needs no tokenizer to be found, which a corpus may not have, nor does it
have to begin and end where tokens do. A suffix array is one for its text, so that any library gives the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpuskit.core.batch import text_bytes, utf8
from corpuskit.core.work import Work
from corpuskit.errors import InputError
from corpuskit.index.kinds import Spans

PIECE = 48 << 20
"""Bytes of text of a suffix array, to make which takes five bytes of memory for each: half of the least budget that a
worker can have. A larger document is a piece alone."""

ROWS = 256
"""Documents that are read at a time."""

SEPARATOR = 0xFF
"""Follows each document: no UTF-8 has this byte, so that no passage reaches into the next document."""


def spans(work: Work[Spans]) -> None:
    """Body: the texts of one unit of the corpus, and their suffixes in the order of bytes.

    Needs `corpus` one to one. Parts, plain little-endian numbers:
        text: uint8[m], the documents, each with a separator behind it.
        start: int64[n + 1], where each begins in it, and its end; doc: uint64[n], their ids.
        pieces: int64[p + 1], where in the text each piece begins, between documents, and the end of the last.
        suffixes: int32[m], of each piece the begins of its suffixes in their order, counted from the piece's own.
    """
    part = work.receipt("corpus").parts.get("corpus")
    text = work.put("text", ".u8")
    pieces, documents = _write_texts(work, part.local() if part is not None else None, text)
    for name in ("text", "start", "doc", "pieces"):
        work.rows(name, documents)
    with work.put("suffixes", ".i4", rows=documents).open("wb") as file:
        for begin, end in zip(pieces[:-1].tolist(), pieces[1:].tolist(), strict=True):
            file.write(suffixes(np.fromfile(text, np.uint8, end - begin, offset=begin)).data)
    work.facts["spans"] = {"documents": documents, "bytes": int(pieces[-1]) - documents, "pieces": len(pieces) - 1}


def _write_texts(work: Work[Spans], corpus: Path | None, target: Path) -> tuple[npt.NDArray[np.int64], int]:
    """Write the texts of a Parquet file, if there is one, and their borders; the pieces, and how many texts."""
    sizes = [np.zeros(1, np.int64)]
    start = work.put("start", ".i8")
    with target.open("wb") as file, work.put("doc", ".u8").open("wb") as docs:
        for batch in _batches(corpus) if corpus is not None else ():
            docs.write(batch.column("doc").to_numpy(zero_copy_only=False).astype("<u8").data)
            sizes.append(text_bytes(batch.column("text")) + 1)
            data, offsets = utf8(batch.column("text"))
            file.write(np.insert(data[: offsets[-1]], offsets[1:], SEPARATOR).data)
    starts = np.concatenate(sizes)
    sizes.clear()
    np.cumsum(starts, out=starts)
    pieces = borders(starts, PIECE)
    start.write_bytes(starts.astype("<i8", copy=False).data)
    work.put("pieces", ".i8").write_bytes(pieces.astype("<i8", copy=False).data)
    return pieces, len(starts) - 1


def _batches(corpus: Path) -> Iterator[pa.RecordBatch]:
    """The documents of a Parquet file, a row group at a time: a batch over several would hold more."""
    file = pq.ParquetFile(corpus)
    for group in range(file.num_row_groups):
        yield from file.iter_batches(ROWS, row_groups=[group], columns=["doc", "text"])


def borders(starts: npt.NDArray[np.int64], limit: int) -> npt.NDArray[np.int64]:
    """Cut documents, int64[n + 1] starts, into pieces of at most `limit` bytes; one document at least."""
    found = [0]
    while found[-1] < starts[-1]:
        first = int(np.searchsorted(starts, found[-1]))
        last = int(np.searchsorted(starts, found[-1] + limit, side="right")) - 1
        found.append(int(starts[max(first + 1, last)]))
    return np.array(found, np.int64)


def suffixes(text: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Begins of all suffixes of a text, uint8[n], in the order of bytes: int32[n].

    Raises:
        InputError: the text is of 2 GiB or more, which only one document can be.
    """
    from pydivsufsort import divsufsort

    if len(text) >= 1 << 31:
        raise InputError(
            f"a document of {len(text):,} bytes: the index takes documents of less than 2 GiB",
            "lower `max_doc_bytes:` in the recipe, or leave `index.spans` out",
        )
    return np.asarray(divsufsort(text), "<i4")
