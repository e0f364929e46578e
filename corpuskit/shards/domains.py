"""Domains opened as streams of tokens, from the receipts of the stages that made their tokens and cut them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from corpuskit.core.work import Part, Receipt
from corpuskit.shards.contents import Receipts, total
from corpuskit.shards.kinds import Source
from corpuskit.shards.stream import TokenPart
from corpuskit.train.blocks import PIECE, Blocks
from corpuskit.train.stream import Domain, map_documents

Group = list[tuple[str, Receipt]]
"""(source, receipt) of the token units of one domain, in stream order."""


def by_domain(sources: Iterable[Source], receipts_of: Callable[[str], Iterable[Receipt]]) -> Receipts:
    """The token units of all sources by domain; `receipts_of` gives those of a source."""
    found: Receipts = {source.domain: [] for source in sources}
    for source in sorted(sources):
        for receipt in receipts_of(source.source):
            # by the key that their files are named by: it is what the manifest says of them. What else a receipt says
            # is left out, for all of them stay in memory
            named = dataclasses.replace(receipt, key=receipt.name, inputs=[], books={}, versions={})
            found[source.domain].append((source.source, named))
    return dict(sorted(found.items()))


def token_parts(group: Group, split: str) -> list[TokenPart]:
    """The token files of a domain, in stream order."""
    prefix = "" if split == "train" else "validation_"
    return [
        TokenPart(
            receipt.parts[f"{prefix}bin"].local(),
            receipt.parts[f"{prefix}idx"].local(),
            receipt.parts[f"{prefix}docs"].local(),
            receipt.facts[split]["tokens"],
            receipt.facts[split]["documents"],
        )
        for _, receipt in group
        if receipt.facts[split]["documents"]
    ]


def open_blocks(cut: Receipt, name: str, group: Group, mix: dict[str, Any], slices: int = 1) -> Blocks:
    """The blocks of a domain, as the stage `blocks` cut them; `mix` (or a plan) says their length and packing."""
    length, size = mix["seq_len"] + 1, total(group, "train", "tokens")
    if mix["packing"] == "concat":
        return Blocks(size, length, slices=slices)
    first, pieces = cut.parts[f"blocks-{name}"].local(), cut.parts[f"pieces-{name}"].local()
    packed = np.asarray(np.memmap(pieces, PIECE, "r")) if pieces.stat().st_size else np.zeros(0, PIECE)
    return Blocks(size, length, np.asarray(np.memmap(first, "<i8", "r")), packed, slices)


Local = Callable[[Part], Path]
"""How a part becomes a file of this machine."""


def open_train(
    cut: Receipt, name: str, group: Group, plan: dict[str, Any], dtype: str, slices: int, local: Local = Part.local
) -> Domain:
    """The stream of a domain that is trained on, its blocks cut into `slices`; `local` gives its token files."""
    return _opened(cut, name, group, "train", open_blocks(cut, name, group, plan, slices), dtype, local)


def open_validation(cut: Receipt, name: str, group: Group, index: dict[str, Any], local: Local = Part.local) -> Domain:
    """The stream of what is held out of a domain."""
    blocks = Blocks(total(group, "validation", "tokens"), index["seq_len"] + 1)
    return _opened(cut, name, group, "validation", blocks, index["dtype"], local)


def token_files(group: Group, split: str) -> list[tuple[Part, int]]:
    """The `.bin` files of a domain's stream, in order, each with its tokens."""
    name = "bin" if split == "train" else "validation_bin"
    return [
        (receipt.parts[name], receipt.facts[split]["tokens"])
        for _, receipt in group
        if receipt.facts[split]["documents"]
    ]


def _opened(cut: Receipt, name: str, group: Group, split: str, blocks: Blocks, dtype: str, local: Local) -> Domain:
    parts = [(local(part), tokens) for part, tokens in token_files(group, split)]
    borders = map_documents(cut.parts[f"{split}-{name}"].local(), total(group, split, "documents"))
    return Domain(name, parts, borders, blocks, dtype)
