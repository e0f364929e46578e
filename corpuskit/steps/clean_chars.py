"""`clean_chars`: how much text is left of a document when form is taken away, the length rule of SlimPajama."""

from __future__ import annotations

import pyarrow as pa

from corpuskit.core import step
from corpuskit.core.batch import Batch


@step.signal(columns={"clean_chars": "int64"})
def clean_chars(batch: Batch) -> pa.Array:
    """Characters of the text in lower case, without ASCII punctuation, white space collapsed and stripped (int64).

    SlimPajama (Soboleva et al. 2023, https://huggingface.co/datasets/cerebras/SlimPajama-627B) drops documents with
    fewer than 200. Null for a null text.
    """
    from corpuskit.kernels.normalize import clean_chars as count

    text = batch.column("text")
    return pa.array(count(text), pa.int64(), mask=text.is_null().to_numpy(zero_copy_only=False))
