"""The stages of the step `lines`; `cut` applies what they find. Memory is bounded whatever recurs how often.

`lines`    hashes the lines of one unit's documents and writes them as runs sorted by hash, of bounded length.
`repeated` has one range of hashes, by leading bits. It reads the same range of every run, as much as fits in memory at
           a time, and writes one bit for each line: whether its document loses it. A hash that alone does not fit (a
           menu entry of every page) is streamed, document ids in one pass and bits in another.
`repeats`  turns the bits of one unit's runs into the lines to cut, in the order of its documents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from corpuskit.core.batch import PartReader
from corpuskit.core.spec import Spec
from corpuskit.core.work import Receipt, Work
from corpuskit.dedup.kinds import Hashed, Repeated, Repeats
from corpuskit.documents.lookup import mapped
from corpuskit.kernels.lines import Lines, hash_lines
from corpuskit.kernels.radix import radix_sort_with

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Span = tuple[int, int]

RUN = 1 << 19
"""A run ends with the piece of a record batch that brings it to so many lines: 24 bytes of disk and about 80 of memory
each."""

BYTES = 256
"""Budget for each line that `repeated` has at work: twice what its arrays take (measured: 115), as the interpreter and
the libraries need room as well."""

ROW = np.uint64(32)


# -- runs ----------------------------------------------------------------------------------------------------------


def lines(work: Work[Hashed]) -> None:
    """Body: the lines of the documents of one unit, as sorted runs.

    Needs `docs` one to one. Parts, all of them plain little-endian numbers: high, low: the hash of each line, two
    uint64[m]; place: uint64[m], see `kernels.lines.Lines`, rows counted over the unit; runs: int64[r + 1], where each
    run begins, in which lines are sorted by high half, then place; doc: uint64[n], the id of each row.
    """
    domain = work.spec.domain
    seed = 0 if domain is None else int.from_bytes(hashlib.sha256(domain.encode()).digest()[:8], "little")
    with RunWriter(work) as runs:
        for batch in PartReader(work.receipt("docs").parts["docs"].local(), ["doc", "text"]):
            found = hash_lines(batch.column("text"), work.spec.unit, work.spec.min_chars, seed)
            runs.add(batch.column("doc").to_numpy(), [found])
    work.facts["lines"] = runs.borders[-1]


class RunWriter:
    """Collects the lines of one unit and writes them run by run, in the order of its documents."""

    def __init__(self, work: Work[Spec]) -> None:
        self._work = work
        self._files = {name: work.put(name, ".u64").open("wb") for name in ("high", "low", "place", "doc")}
        self._waiting: list[Lines] = []
        self._lines = 0
        self._rows = 0
        self.borders = [0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
            self._work.put("runs", ".i64", rows=len(self.borders) - 1).write_bytes(
                np.array(self.borders, "<i8").tobytes()
            )
        for name, file in self._files.items():
            file.close()
            self._work.rows(name, self._rows if name == "doc" else self.borders[-1])

    def add(self, docs: U64, pieces: Iterable[Lines]) -> None:
        """Append the documents of one record batch and their lines, in pieces."""
        self._files["doc"].write(docs.astype("<u8").tobytes())
        for found in pieces:
            self._waiting.append(Lines(found.high, found.low, found.place + (np.uint64(self._rows) << ROW)))
            self._lines += len(found.high)
            if self._lines >= RUN:
                self._flush()
        self._rows += len(docs)

    def _flush(self) -> None:
        if self._lines:
            # of equal hashes the earlier place comes first: what a document repeats stands together
            order = sorted_places(np.concatenate([one.high for one in self._waiting]))
            for name in ("high", "low", "place"):
                values = np.concatenate([getattr(one, name) for one in self._waiting])
                self._files[name].write(values[order].astype("<u8").data)
            self.borders.append(self.borders[-1] + self._lines)
        self._waiting, self._lines = [], 0


@dataclass(frozen=True)
class Run:
    """One sorted run: lines `start` to `stop` of the files of its unit. Nothing of it is held open or in memory."""

    high: Path
    low: Path
    place: Path
    doc: Path
    start: int
    stop: int

    def between(self, first: int, end: int) -> Span:
        """The lines whose high half is in [first, end), end being at most 2^64: (start, stop) in the files."""
        keys = mapped(self.high, "<u8")[self.start : self.stop]
        low = int(np.searchsorted(keys, np.uint64(first)))
        high = len(keys) if end >= 2**64 else int(np.searchsorted(keys, np.uint64(end)))
        return self.start + low, self.start + high


def runs_of(receipt: Receipt) -> list[Run]:
    """The runs of one unit of the stage `lines`."""
    parts = receipt.parts
    borders = np.fromfile(parts["runs"].local(), "<i8").tolist()
    high, low, place, doc = (parts[name].local() for name in ("high", "low", "place", "doc"))
    return [Run(high, low, place, doc, start, stop) for start, stop in pairwise(borders)]


def hash_range(part: int, parts: int) -> Span:
    """The high halves [first, end) of one of a power of two of ranges, by leading bits; end may be 2^64."""
    return part * 2**64 // parts, (part + 1) * 2**64 // parts


def sorted_places(values: U64) -> I64:
    """Where the values of an ascending order stand, int64[n]; equal ones in the order they have."""
    _, order = radix_sort_with(values, np.arange(len(values)))
    return order


def _read(path: Path, span: Span) -> U64:
    return np.fromfile(path, "<u8", span[1] - span[0], offset=8 * span[0])


def _bytes(span: Span) -> int:
    """Bytes that hold one bit for each line of a span."""
    return -(-(span[1] - span[0]) // 8)


# -- what recurs ---------------------------------------------------------------------------------------------------


def repeated(work: Work[Repeated]) -> None:
    """Body: whether each line in this unit's range of hashes is cut from its document.

    Needs all units of `lines` of each source. Parts: bits: uint8, one bit for each line in the range, lowest first,
    each run beginning at a byte of its own; `index-SOURCE`: int64[u + 1], the byte in `bits` at which each of the
    source's units begins, and where the last one ends.
    """
    first, end = hash_range(work.unit, work.units)
    runs: list[Run] = []
    begins = []
    size = 0
    for source in work.spec.sources:
        index = [size]
        for receipt in work.receipts(source):
            for run in runs_of(receipt):
                span = run.between(first, end)
                runs.append(run)
                begins.append(8 * size - span[0])
                size += _bytes(span)
            index.append(size)
        work.put(index_name(source), ".i64").write_bytes(np.array(index, "<i8").tobytes())
    path = work.put("bits", ".u8", rows=size)
    path.touch()
    bits = np.memmap(path, "u1", "w+", shape=size) if size else np.zeros(0, np.uint8)
    search = Search(runs, begins, bits, work.spec.documents, work.spec.keep, max(1, work.memory // BYTES))
    search.within(first, end)
    if isinstance(bits, np.memmap):
        bits.flush()
    work.facts["repeated"] = {"lines": search.lines, "occurrences": search.occurrences}


def index_name(source: str) -> str:
    """The part with the index of one source (`lines:NAME`, as the stage needs it)."""
    return f"index-{source.removeprefix('lines:')}"


@dataclass
class Search:
    """Finds the lines that recur, and sets the bits of those that are cut.

    Attributes:
        runs: all of them. begins: the bit that line 0 of each run's files would have (it may lie before `bits`).
        documents, keep: parameters of the step. room: lines to have in memory.
        lines, occurrences: how many lines recur, and from how many places they are cut.
    """

    runs: list[Run]
    begins: list[int]
    bits: npt.NDArray[np.uint8]
    documents: int
    keep: int
    room: int
    lines: int = 0
    occurrences: int = 0

    def within(self, first: int, end: int) -> None:
        """Search the high halves [first, end): at once if they fit, else one half after the other."""
        spans = [run.between(first, end) for run in self.runs]
        if sum(stop - start for start, stop in spans) <= self.room:
            self._together(spans)
        elif end - first > 1:
            middle = (first + end) // 2
            self.within(first, middle)
            self.within(middle, end)
        else:
            self._streamed(spans)

    def _together(self, spans: list[Span]) -> None:
        """All lines of the spans in memory."""
        inside = [(run, begin, span) for run, begin, span in zip(self.runs, self.begins, spans, strict=True)]
        inside = [one for one in inside if one[2][1] > one[2][0]]
        high = np.concatenate([np.zeros(0, np.uint64), *(_read(run.high, span) for run, _, span in inside)])
        chosen = _shared(high)
        if not len(chosen):
            return
        high = high[chosen]
        low, doc = np.empty(len(chosen), np.uint64), np.empty(len(chosen), np.uint64)
        bit = np.empty(len(chosen), np.int64)
        at = 0  # lines of the spans before
        for run, begin, (start, stop) in inside:
            mine = slice(*np.searchsorted(chosen, [at, at + stop - start]))
            if mine.stop > mine.start:
                number = chosen[mine] - at + start
                low[mine] = mapped(run.low, "<u8")[number]
                doc[mine] = mapped(run.doc, "<u8")[(mapped(run.place, "<u8")[number] >> ROW).astype(np.int64)]
                bit[mine] = number + begin
            at += stop - start
        cut, lines = find_cut(high, low, doc, self.documents, self.keep)
        self.lines += lines
        self._set(bit[cut])

    def _streamed(self, spans: list[Span]) -> None:
        """One high half that too many lines have; almost surely they are one line."""
        lows: U64 = np.zeros(0, np.uint64)
        for run, span in zip(self.runs, spans, strict=True):
            for piece in _pieces(span, self.room):
                lows = np.union1d(lows, _read(run.low, piece))
        for low in lows:
            documents, earliest = 0, np.zeros(0, np.uint64)
            before = np.zeros(0, np.uint64)  # the document before, which a run may end within
            for run, span in zip(self.runs, spans, strict=True):
                for _, doc in _occurrences(run, span, low, self.room):
                    new = np.ones(len(doc), np.bool_)
                    new[1:] = doc[1:] != doc[:-1]
                    new[:1] = doc[:1] != before if len(before) else True
                    before = doc[-1:]
                    documents += int(new.sum())
                    earliest = np.sort(np.concatenate([earliest, doc[new]]))[: self.keep]
            if documents < self.documents:
                continue
            self.lines += 1
            for run, begin, span in zip(self.runs, self.begins, spans, strict=True):
                for number, doc in _occurrences(run, span, low, self.room):
                    self._set(number[~np.isin(doc, earliest)] + begin)

    def _set(self, bit: I64) -> None:
        self.occurrences += len(bit)
        np.bitwise_or.at(self.bits, bit >> 3, np.left_shift(1, bit & 7).astype(np.uint8))


def _shared(values: U64) -> I64:
    """Ascending indices of the values that are there more than once."""
    order = sorted_places(values)
    ordered = values[order]
    same = ordered[1:] == ordered[:-1]
    shared = np.zeros(len(values), np.bool_)
    shared[order[1:][same]] = True
    shared[order[:-1][same]] = True
    return np.flatnonzero(shared)


def find_cut(high: U64, low: U64, doc: U64, documents: int, keep: int) -> tuple[I64, int]:
    """Which occurrences of lines are cut: those beyond the first `keep` documents, if at least `documents` have it.

    Args:
        high, low, doc: uint64[n] each, the hash of each line and the id of its document.

    Returns:
        Indices into these, int64[m], and how many lines at least `documents` documents have.
    """
    order = np.lexsort((doc, low, high))
    new_line = np.ones(len(order), np.bool_)
    for half in (high, low):
        ordered = half[order]
        new_line[1:] &= ordered[1:] == ordered[:-1]
    new_line[1:] = ~new_line[1:]
    ordered = doc[order]
    new_doc = new_line.copy()
    new_doc[1:] |= ordered[1:] != ordered[:-1]
    line = np.cumsum(new_line) - 1
    number = np.cumsum(new_doc) - 1  # of the (line, document), over all lines
    first = number[new_line]
    count = np.diff(np.append(first, number[-1] + 1))
    recurs = count >= documents
    return order[recurs[line] & (number - first[line] >= keep)], int(recurs.sum())


def _pieces(span: Span, room: int) -> Iterator[Span]:
    """A span in pieces of at most `room` lines."""
    for start in range(span[0], span[1], room):
        yield start, min(span[1], start + room)


def _occurrences(run: Run, span: Span, low: np.uint64, room: int) -> Iterator[tuple[I64, U64]]:
    """Lines of a span that have this low half: numbers in the run's files, and ids, equal ones together."""
    for piece in _pieces(span, room):
        number = np.flatnonzero(_read(run.low, piece) == low)
        if len(number):
            rows = _read(run.place, piece)[number] >> ROW
            yield number + piece[0], mapped(run.doc, "<u8")[rows.astype(np.int64)]


# -- what a unit's documents lose ----------------------------------------------------------------------------------


def repeats(work: Work[Repeats]) -> None:
    """Body: the lines to cut from the documents of one unit.

    Needs `lines` one to one and all units of `repeated`. Part `cut`: uint64, sorted: see `kernels.lines.Lines.place`.
    """
    ranges = []
    for part, receipt in enumerate(work.receipts("repeated")):
        index = mapped(receipt.parts[index_name(work.spec.lines)].local(), "<i8")
        ranges.append(
            [hash_range(part, len(work.receipts("repeated"))), receipt.parts["bits"].local(), index[work.unit]]
        )
    total = 0
    with ExitStack() as stack:
        file = stack.enter_context(work.put("cut", ".u64").open("wb"))
        for run in runs_of(work.receipt("lines")):
            flags = np.zeros(run.stop - run.start, np.bool_)
            for one in ranges:
                (first, end), bits, at = one
                span = run.between(first, end)
                packed = np.fromfile(bits, np.uint8, _bytes(span), offset=at)
                there = slice(span[0] - run.start, span[1] - run.start)
                flags[there] = np.unpackbits(packed, count=span[1] - span[0], bitorder="little")
                one[2] = at + _bytes(span)
            # runs follow one another as documents do
            cut = np.sort(_read(run.place, (run.start, run.stop))[flags])
            file.write(cut.astype("<u8").data)
            total += len(cut)
    work.rows("cut", total)
