"""Sequences that stand in no shard: the trainer follows the plan over the token files themselves.

`index.json` of format 3 (`mix: {write: plan}`) names, for each domain, its token files in stream order, the borders of
its documents, and for best-fit the packing; `plan.json` gives the order. Every sequence has the tokens, the padding and
the documents that a shard of the same plan would have at its place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpuskit.errors import InputError
from corpuskit.train.blocks import PIECE, Blocks
from corpuskit.train.cache import MEND, Wanted
from corpuskit.train.manifest import Manifest, Reader, Stored
from corpuskit.train.order import Indices, Plan
from corpuskit.train.stream import Domain, map_documents

AGAIN = "run the recipe again: it writes what is missing"

NEAR = 1 << 11
"""Sequences that are found together."""


@dataclass(frozen=True)
class Opened:
    """A domain's stream, and its files.

    Attributes:
        parts: its token files, as the domain numbers them. indexes: its documents, and how it is packed.
    """

    domain: Domain
    parts: list[Stored]
    indexes: list[Stored]


class Planned:
    """Sequences of one phase of a plan, or, without an order, of one domain's held-out text.

    Args:
        opened: the domains, as the order numbers them.
        order: of the phase; None: the sequences of the only domain as they stand.
        dtype: of the tokens. pad: token of positions that no document covers.
    """

    def __init__(self, opened: Sequence[Opened], order: Plan | None, dtype: np.dtype[Any], pad: int) -> None:
        self._domains, self._order, self._dtype, self._pad = [one.domain for one in opened], order, dtype, pad
        self._parts = [one.parts for one in opened]
        self.indexes = [file for one in opened for file in one.indexes]
        self._files = Reader(file for parts in self._parts for file in parts)
        self._near: tuple[int, tuple[Indices, Indices]] = (-1, (np.zeros(0, np.int64), np.zeros(0, np.int64)))

    def __len__(self) -> int:
        return len(self._order) if self._order is not None else len(self._domains[0].blocks)

    @property
    def tokens(self) -> int:
        """Tokens of the domains' documents, each once."""
        return sum(domain.tokens for domain in self._domains)

    def files(self, start: int, stop: int) -> list[Stored]:
        """See `corpuskit.train.data.Source`."""
        domain, found = self._located(np.arange(start, stop))
        return [
            self._parts[number][part]
            for number in np.unique(domain).tolist()
            for part in self._domains[number].parts_of(found[domain == number]).tolist()
        ]

    def blocks(self, sequences: Indices) -> list[Wanted]:
        """See `corpuskit.train.data.Source`."""
        if not len(sequences):  # of a step that has fewer than there are processes
            return []
        domain, found = self._located(sequences)
        return [
            block
            for number in np.unique(domain).tolist()
            for part, start, end in self._domains[number].stretches(found[domain == number])
            for block in self._parts[number][part].blocks(start, end)
        ]

    def place(self, sequence: int) -> str:
        """Domain, and number in the phase or in the domain's held-out text."""
        number = 0 if self._order is None else int(self._order.locate(np.array([sequence]))[0][0])
        return f"{self._domains[number].name}: sequence {sequence}"

    def domains(self) -> NDArray[np.str_]:
        """The domain of every sequence."""
        names = np.array([domain.name for domain in self._domains])
        return names[self._located(np.arange(len(self)))[0]]

    def read(self, sequences: Indices) -> tuple[NDArray[Any], Indices, Indices, Indices]:
        """Tokens and runs of sequences, as `corpuskit.train.data.Source` says."""
        domain, found = self._located(sequences)
        out = np.full((len(sequences), self._domains[0].blocks.width), self._pad, self._dtype)
        parts = []
        for number in np.unique(domain).tolist():
            rows = np.flatnonzero(domain == number)
            runs = self._domains[number].fill(out, rows, found[rows], self._files)
            parts.append((runs["sequence"], runs["start"], runs["length"]))
        row, start, length = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        if len(parts) > 1:
            sorting = np.argsort(row * out.shape[1] + start)
            row, start, length = row[sorting], start[sorting], length[sorting]
        return out, row, start, length

    def _located(self, sequences: Indices) -> tuple[Indices, Indices]:
        """(domain number, sequence of the domain) of each; those of a stretch are found together and kept.

        A trainer reads one sequence after the other, and finding few takes as long as finding many.
        """
        if self._order is None:
            return np.zeros_like(sequences), sequences
        low = int(sequences.min()) // NEAR * NEAR
        if int(sequences.max()) >= low + NEAR:
            return self._order.locate(sequences)[::2]
        if self._near[0] != low:
            self._near = low, self._order.locate(np.arange(low, min(low + NEAR, len(self))))[::2]
        domain, found = self._near[1]
        return domain[sequences - low], found[sequences - low]


def phases(manifest: Manifest, index: Mapping[str, Any], dtype: np.dtype[Any]) -> list[tuple[Planned, int]]:
    """The phases of the plan in a folder, each with its seq_len.

    Raises:
        InputError: a file that the index names is missing, or of another size than it says.
    """
    try:
        plan = json.loads(manifest.read("plan.json"))
    except FileNotFoundError:
        raise InputError(f"{manifest.place}/plan.json does not exist", AGAIN) from None
    found = []
    for order in Plan.from_json(plan):
        domains = [
            _opened(manifest, name, index["streams"][name], dtype, index["seq_len"] + 1, order.slices)
            for name in order.names
        ]
        found.append((Planned(domains, order, dtype, index["pad"]), index["seq_len"] // order.slices))
    return found


def held_out(manifest: Manifest, name: str, index: Mapping[str, Any], dtype: np.dtype[Any]) -> Planned:
    """The held-out text of a domain; errors as `phases`."""
    entry = index["validation"][name]
    return Planned([_opened(manifest, name, entry, dtype, index["seq_len"] + 1, 1)], None, dtype, index["pad"])


def _opened(
    manifest: Manifest, name: str, stream: Mapping[str, Any], dtype: np.dtype[Any], length: int, slices: int
) -> Opened:
    """Open a domain's stream, its sizes checked."""
    files = [manifest.file(part["file"]) for part in stream["parts"]]
    sizes = [int(part["tokens"]) for part in stream["parts"]]
    for file, held in zip(files, sizes, strict=True):
        _sized(file, held * dtype.itemsize)
    tokens, count = sum(sizes), sum(int(part["documents"]) for part in stream["parts"])
    indexes = [manifest.file(stream["documents"])]
    borders = _sized(indexes[0], 16 * count + 8).whole()
    documents = map_documents(borders, count)
    if documents[0][0] != 0 or documents[0][-1] != tokens:
        raise InputError(f"{borders}: its documents do not cover the {tokens:,} tokens of `{name}`", MEND)
    first = pieces = None
    if "packing" in stream:
        about = stream["packing"]
        indexes += [manifest.file(about["blocks"]), manifest.file(about["pieces"])]
        first = np.asarray(np.memmap(_sized(indexes[1], 8 * (about["count"] + 1)).whole(), "<i8", "r"))
        held_by = _sized(indexes[2], int(first[-1]) * PIECE.itemsize)
        pieces = np.asarray(np.memmap(held_by.whole(), PIECE, "r")) if first[-1] else np.zeros(0, PIECE)
    parts = [(file.path, held) for file, held in zip(files, sizes, strict=True)]
    domain = Domain(name, parts, documents, Blocks(tokens, length, first, pieces, slices), dtype.str)
    return Opened(domain, files, indexes)


def _sized(file: Stored, size: int) -> Stored:
    found = file.size
    if found != size:
        state = "does not exist" if found is None else f"holds {found:,} bytes"
        raise InputError(f"{file.path} {state}; index.json says {size:,} bytes", AGAIN)
    return file
