"""Where a passage stands in the corpus of a run, and which spans of a text do: what `corpuskit find` shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpuskit.core.kinds import spec_of
from corpuskit.core.plan import Plan, Stage
from corpuskit.core.tables import counted, table
from corpuskit.core.work import Receipt
from corpuskit.documents.kinds import Segment
from corpuskit.errors import UsageError
from corpuskit.index.kinds import Spans
from corpuskit.index.search import Found, Unit, maximal, placed
from corpuskit.store.root import Root

PLACES = 10
"""Places of a passage that are shown; all are counted."""

ROWS = 1024
"""Documents that are read at a time where there is no index."""


@dataclass(frozen=True)
class Span:
    """A span of a text that stands in the corpus and cannot be longer: `text[first:end]`, in characters."""

    first: int
    end: int
    text: str
    found: Found


class Search:
    """Looks passages up in the corpus of a run.

    Attributes:
        indexed: whether there is an index; without one, all texts are read for each passage.

    Raises:
        UsageError: the corpus is not complete.
    """

    def __init__(self, root: Root, plan: Plan) -> None:
        self._root = root
        self._corpus = [stage for stage in _stages(plan, "segment") if spec_of(stage, Segment).final]
        self._spans = _stages(plan, "spans")
        self.indexed = bool(self._spans) and all(len(root.complete(one)) == len(one.units) for one in self._spans)
        if not self.indexed:
            for stage in self._corpus:
                root.receipts(stage)

    def passage(self, text: str) -> Found:
        """The places of a passage, of at least one character."""
        found = Found()
        if self.indexed:
            for one in self._units():
                Unit(*one).add_to(found, text.encode(), PLACES)
        else:
            self._scan(found, text)
        return found

    def spans(self, text: str, least: int) -> list[Span]:
        """The longest spans, of at least `least` characters, of a text.

        Raises:
            UsageError: there is no index: to read the corpus for each of so many lookups would take days.
        """
        if not self.indexed:
            has = "only a part of its index of spans" if self._spans else "no index of spans"
            raise UsageError(
                f"{self._root.url} has {has}, which `--file` needs",
                f"corpuskit run RECIPE --root {self._root.url} --set index.spans=true makes it",
            )
        # one unit at a time: a large corpus has more files than a process may open
        mine = [Unit(*one).spans(text, least) for one in self._units()]
        found = {place: Found() for place in maximal(place for places in mine for place in places)}
        for one, places in zip(self._units(), mine, strict=True):
            if here := found.keys() & places:  # one that stands here and is longest anywhere is longest here
                unit = Unit(*one)
                for first, end in here:
                    unit.add_to(found[first, end], text[first:end].encode(), PLACES)
        return [Span(first, end, text[first:end], counted) for (first, end), counted in found.items()]

    def _units(self) -> Iterator[tuple[Receipt, Spans]]:
        for stage in self._spans:
            for receipt in self._root.receipts(stage):
                yield receipt, spec_of(stage, Spans)

    def _scan(self, found: Found, text: str) -> None:
        passage = text.encode()
        for stage in self._corpus:
            spec = spec_of(stage, Segment)
            where = Spans(spec.source, spec.domain)
            for receipt in self._root.receipts(stage):
                if "corpus" not in receipt.parts:
                    continue
                for batch in pq.ParquetFile(receipt.parts["corpus"].open()).iter_batches(ROWS, columns=["doc", "text"]):
                    having = batch.filter(pc.match_substring(batch.column("text"), text))
                    for doc, body in zip(
                        having.column("doc").to_pylist(), having.column("text").to_pylist(), strict=True
                    ):
                        data = body.encode()
                        places = list(_occurrences(data, passage))
                        shown = [placed(data, at, len(passage), doc, where) for at in places[:PLACES]]
                        found.add(where.domain, len(places), 1, shown, PLACES)


def _stages(plan: Plan, kind: str) -> list[Stage]:
    return [stage for stage in plan.stages.values() if stage.kind == kind]


def _occurrences(data: bytes, passage: bytes) -> Iterator[int]:
    """Where a passage begins, overlapping ones too."""
    at = data.find(passage)
    while at >= 0:
        yield at
        at = data.find(passage, at + 1)


def said(passage: str, found: Found) -> str:
    """What was found of a passage, as text."""
    much = f"{counted(found.total.occurrences, 'time')} in {counted(found.total.documents, 'document')}"
    lines = [f"{_short(passage)}: {much if found.total.occurrences else 'nowhere in the corpus'}"]
    if found.total.occurrences:
        rows = [[name, f"{one.documents:,}", f"{one.occurrences:,}"] for name, one in sorted(found.domains.items())]
        lines += ["", table(["domain", "documents", "times"], rows, right=(1, 2)), ""]
        for place in found.places:
            shown = f"{_line(place.before)}[{_short(passage)}]{_line(place.after)}"
            lines.append(f"{place.doc}  {place.source}  byte {place.byte:,}: {shown}")
        if found.total.occurrences > len(found.places):
            lines.append(f"... and {found.total.occurrences - len(found.places):,} more")
    return "\n".join(lines)


def as_json(found: Found) -> dict[str, Any]:
    """What was found of a passage, as data."""
    counts = {name: asdict(one) for name, one in sorted(found.domains.items())}
    return {**asdict(found.total), "domains": counts, "places": [asdict(place) for place in found.places]}


def spans_said(text: str, found: list[Span], least: int) -> str:
    """The spans of a text, as text."""
    covered = covered_characters(found)
    share = 100 * covered / max(1, len(text))
    head = f"{covered:,} of {len(text):,} characters ({share:.1f} %) stand in the corpus, in spans of {least} or more"
    parts = [f"characters {one.first:,} to {one.end:,}, {said(one.text, one.found)}" for one in found]
    return "\n\n".join([head, *parts])


def spans_json(text: str, found: list[Span], least: int) -> dict[str, Any]:
    """The spans of a text, as data."""
    spans = [{"first": one.first, "end": one.end, "text": one.text, **as_json(one.found)} for one in found]
    return {"characters": len(text), "covered": covered_characters(found), "min": least, "spans": spans}


def covered_characters(found: list[Span]) -> int:
    """How many characters lie in a span, of spans in order that may overlap."""
    covered, last = 0, 0
    for one in found:
        covered += one.end - max(one.first, last)
        last = one.end
    return covered


def _line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")


def _short(text: str) -> str:
    """A passage on one line: of a long one the two ends."""
    text = _line(text)
    return text if len(text) <= 120 else f"{text[:70]} ... {text[-45:]}"
