"""datatrove and nanotron: `.ds` files of tokens, with `.ds.index`, the ends of documents, and `.ds.metadata`.

Layout (datatrove 0.10, pipeline/tokens/tokenizer.py, `TokenizedFile`): the index is uint64 ends in tokens; the metadata
is three lines: `tokenizer|bytes of a token`, tokens, tokens for people.
"""

from __future__ import annotations

import numpy as np

from corpuskit.exports.content import open_tokens
from corpuskit.exports.target import Target
from corpuskit.store.root import Root

HOLDS = "tokens"


def export(root: Root, into: Target) -> None:
    """Link token files; write where their documents end."""
    tokens = open_tokens(root)
    size = np.dtype(tokens.about["dtype"]).itemsize
    for file in tokens.files:
        into.link(file.bin, f"{file.place}.ds")
        np.cumsum(file.lengths, dtype="<u8").tofile(into.new(f"{file.place}.ds.index"))
        count = file.counts["tokens"]
        into.write(f"{file.place}.ds.metadata", f"tokenizer.json|{size}\n{count}\n{_rounded(count)}")
        into.count(file.split, file.domain, **file.counts)
    tokens.link_about(into)


def _rounded(count: float) -> str:
    for unit in ("", " k", " M", " G"):
        if count < 1000:
            return f"{count:.3g}{unit}T"
        count /= 1000
    return f"{count:.3g} TT"
