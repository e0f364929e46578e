"""`metadata` and `identifiers`: lines about a document put before its text, and sentences that no other document has.

Both are for a share of the documents, which are drawn by their ids, whatever else is in the corpus.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from corpuskit.core import step
from corpuskit.core.batch import Batch, set_column
from corpuskit.errors import UsageError
from corpuskit.mix.selectors import draws

Share = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**64)]


OF_METADATA, OF_IDENTIFIERS = 1 << 62, 3 << 62
"""Added to seeds: steps of one seed, `sample` too, draw independently."""


def _drawn(batch: Batch, share: float, seed: int) -> npt.NDArray[np.int64]:
    """Rows of documents with a text that are drawn."""
    drawn = draws(batch.column("doc").to_numpy(zero_copy_only=False), seed) < share
    return np.flatnonzero(drawn & ~batch.column("text").is_null().to_numpy(zero_copy_only=False))


def _identifier(doc: int, seed: int) -> str:
    """20 letters and digits made of a document's id and the seed."""
    data = doc.to_bytes(8, "little") + seed.to_bytes(8, "little")
    return base64.b32encode(hashlib.blake2b(data, digest_size=15).digest())[:20].decode()


def _findings(rows: list[int], what: str, items: list[str], texts: list[str | None]) -> pa.RecordBatch:
    columns = {"row": pa.array(rows, pa.int64()), "what": pa.array([what] * len(rows), pa.string())}
    columns |= {"times": pa.array([1] * len(rows), pa.int64()), "item": pa.array(items, pa.string())}
    return pa.record_batch(columns | {"text": pa.array(texts, pa.string())})


@step.edit(reads=True)
def metadata(
    batch: Batch, *, columns: Annotated[list[str], Field(min_length=1)], share: Share = 1.0, seed: Seed = 0
) -> tuple[Batch, pa.RecordBatch]:
    """Put columns before the text of a share of the documents, each on a line of its own: `url: https://...`.

    A blank line follows. A column that is null or empty is left out, and a document without any stays as it is; white
    space within a value becomes one blank. After Gao et al. 2025, Metadata Conditioning Accelerates Language Model
    Pre-training (URL before the text, arXiv:2501.01956).

    Args:
        batch: n documents with the columns.
        columns: names, in this order: of the reader, or of signals above.
        share: of the documents, drawn by their ids.
        seed: another one, other documents.

    Returns:
        The batch, and which documents have a header, with the names of its columns.

    Raises:
        UsageError: there is no such column.
    """
    missing = [name for name in columns if name not in batch.schema.names]
    if missing:
        said = ", ".join(f"`{name}`" for name in missing)
        raise UsageError(
            f"`metadata` finds no column {said}", f"name some in `columns`: {', '.join(batch.schema.names)}"
        )
    texts, values = batch.column("text").to_pylist(), {name: batch.column(name).to_pylist() for name in columns}
    rows: list[int] = []
    headers: list[str] = []
    for row in _drawn(batch, share, seed + OF_METADATA).tolist():
        whole = {name: " ".join(str(of[row]).split()) for name, of in values.items() if of[row] is not None}
        header = {name: value for name, value in whole.items() if value}
        if header:
            texts[row] = "".join(f"{name}: {value}\n" for name, value in header.items()) + "\n" + texts[row]
            rows.append(row)
            headers.append(", ".join(header))
    return set_column(batch, "text", pa.array(texts, batch.column("text").type)), _findings(
        rows, "header", headers, [None] * len(rows)
    )


@step.edit
def identifiers(
    batch: Batch,
    *,
    share: Share,
    seed: Seed = 0,
    sentence: Annotated[str, Field(pattern=r"\{id\}")] = "The identifier of this text is {id}.",
    at: Literal["start", "end"] = "end",
) -> tuple[Batch, pa.RecordBatch]:
    """Add a sentence that no other document has to a share of the documents, so that it can be found again.

    The identifier is 20 letters and digits (100 bits) made of the document's id and the seed, and the same in every
    run. `findings/` lists them: `SELECT doc FROM findings WHERE item = 'ID'`, and `lineage` leads on to the raw record.
    Such sentences show whether a model has seen a text, and how often it must have seen it to say it again (Carlini et
    al. 2019, The Secret Sharer).

    Args:
        batch: n documents.
        share: of the documents, drawn by their ids.
        seed: another one, other documents and other identifiers.
        sentence: with `{id}` where the identifier stands.
        at: a paragraph of its own at the start or the end of the text.

    Returns:
        The batch, and the identifier and sentence of each document that has one.
    """
    texts = batch.column("text").to_pylist()
    docs = batch.column("doc").to_pylist()
    rows = _drawn(batch, share, seed + OF_IDENTIFIERS).tolist()
    made = [_identifier(docs[row], seed) for row in rows]
    said = [sentence.replace("{id}", one) for one in made]
    for row, line in zip(rows, said, strict=True):
        texts[row] = f"{line}\n\n{texts[row]}" if at == "start" else f"{texts[row]}\n\n{line}"
    return set_column(batch, "text", pa.array(texts, batch.column("text").type)), _findings(
        rows, "identifier", made, list(said)
    )
