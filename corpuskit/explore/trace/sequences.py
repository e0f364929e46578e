"""Sequences of training, each with the documents that it holds: in shards, or where none are written, in their plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpuskit.core.work import Part
from corpuskit.shards.domains import Group, token_files
from corpuskit.train.order import Indices, Plan
from corpuskit.train.stream import Domain, OpenFiles

Row = dict[str, Any]


class File(Protocol):
    """A file of shards, or the stretch of a plan that would be one.

    Attributes:
        publish: its path below the root. first: number of its first sequence in its phase (in its domain's held-out
            text). sequences: in the file. width: tokens of one. phase: None of a validation file.
    """

    publish: str
    first: int
    sequences: int
    width: int
    phase: int | None

    def between(self, low: int, end: int) -> list[Row]:
        """The runs in its sequences [low, end), as a sidecar has them (`corpuskit.shards.write.SIDECAR`)."""

    def having(self, docs: list[int]) -> list[Row]:
        """The runs of some documents."""

    def read(self, sequence: int) -> npt.NDArray[Any]:
        """The tokens of a sequence."""


@dataclass(frozen=True)
class Written:
    """See `File`."""

    tokens: Part
    sidecar: Part
    publish: str
    first: int
    sequences: int
    width: int
    phase: int | None
    dtype: str

    def between(self, low: int, end: int) -> list[Row]:
        """See `File`."""
        place = pc.field("sequence")
        return self._runs((place >= low) & (place < end))

    def having(self, docs: list[int]) -> list[Row]:
        """See `File`."""
        return self._runs(pc.field("doc").isin(pa.array(docs, pa.uint64())))

    def _runs(self, wanted: Any) -> list[Row]:
        found: list[Row] = pq.read_table(self.sidecar.local(), filters=wanted).to_pylist()
        return found

    def read(self, sequence: int) -> npt.NDArray[Any]:
        """See `File`."""
        tokens = np.memmap(self.tokens.local(), self.dtype, "r", 0, (self.sequences, self.width))
        return np.asarray(tokens[sequence])


class Stretch:
    """Sequences of a phase of a plan that are not written, or, without an order, of one domain's held-out text.

    Args:
        domains: as the order numbers them, with unchecked token files. files: what these are, by domain.
        order: of the phase. dtype: of the tokens. pad: token of positions that no document covers.
    """

    def __init__(
        self, domains: Sequence[Domain], files: Sequence[list[Part]], order: Plan | None, dtype: str, pad: int
    ) -> None:
        self._domains, self._files, self._order, self._dtype, self._pad = domains, files, order, dtype, pad
        self._known: tuple[list[int], Indices] | None = None

    def _located(self, numbers: Indices) -> tuple[Indices, Indices]:
        """(domain number, sequence of the domain) of each."""
        if self._order is None:
            return np.zeros_like(numbers), numbers
        domain, _, found = self._order.locate(numbers)
        return domain, found

    def runs(self, numbers: Indices) -> list[Row]:
        """The runs in sequences, sorted; `sequence` is the number."""
        domain, found = self._located(numbers)
        rows = []
        for number in np.unique(domain).tolist():
            one, mine = self._domains[number], np.flatnonzero(domain == number)
            runs = one.runs(found[mine])
            columns = {
                "sequence": numbers[mine[runs["sequence"]]],
                "start": runs["start"],
                "length": runs["length"],
                "domain": [one.name] * len(runs["start"]),
                "doc": one.ids[runs["document"]],
                "doc_start": runs["doc_start"],
            }
            rows += pa.table(columns).to_pylist()
        return sorted(rows, key=lambda row: (row["sequence"], row["start"]))

    def having(self, docs: list[int]) -> Indices:
        """The sequences that hold tokens of some documents, sorted."""
        if self._known is None or self._known[0] != docs:
            found = []
            for number, domain in enumerate(self._domains):
                mine = domain.sequences_of(np.array(docs, np.uint64)).tolist()
                if self._order is None:
                    found += mine
                else:
                    found += [place for one in mine for place in self._order.places(number, one)]
            self._known = docs, np.unique(np.array(found, np.int64))
        return self._known[1]

    def read(self, number: int) -> npt.NDArray[Any]:
        """The tokens of a sequence, from token files that are checked."""
        domain, found = self._located(np.array([number]))
        one, files = self._domains[int(domain[0])], self._files[int(domain[0])]
        for part in one.parts_of(found).tolist():
            files[part].local()
        out: npt.NDArray[Any] = np.full((1, one.blocks.width), self._pad, self._dtype)
        with OpenFiles() as opened:
            one.fill(out, np.zeros(1, np.int64), found, opened)
        return np.asarray(out[0])


@dataclass(frozen=True)
class Unwritten:
    """See `File`."""

    stretch: Stretch
    publish: str
    first: int
    sequences: int
    width: int
    phase: int | None

    def between(self, low: int, end: int) -> list[Row]:
        """See `File`."""
        return self._runs(np.arange(self.first + low, self.first + end))

    def having(self, docs: list[int]) -> list[Row]:
        """See `File`."""
        found = self.stretch.having(docs)
        low, end = np.searchsorted(found, (self.first, self.first + self.sequences))
        return [row for row in self._runs(found[low:end]) if row["doc"] in docs]

    def _runs(self, numbers: Indices) -> list[Row]:
        return [row | {"sequence": row["sequence"] - self.first} for row in self.stretch.runs(numbers)]

    def read(self, sequence: int) -> npt.NDArray[Any]:
        """See `File`."""
        return self.stretch.read(self.first + sequence)


def unchecked(part: Part) -> Path:
    """A part as a file: of the token files of a corpus few are read, and those are checked then."""
    return part.store.local(part.key)


def parts_of(group: Group, split: str) -> list[Part]:
    """The token files of a domain."""
    return [part for part, _ in token_files(group, split)]
