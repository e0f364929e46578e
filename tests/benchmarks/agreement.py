"""How far the presets decide as datatrove's filters of the same name do: `python tests/benchmarks/agreement.py`.

Writes docs/agreement.md. Both sides are given the same words (split at white space) and the same sentences (those that
`page_heuristics` counts), so that what differs is the rule. Texts are those of the development data beside the
checkout. A document on which the two differ is named with its rules and its cause: the first change of the text, of a
list of known ones, after which datatrove's filter decides as the preset did on the text as it was.
"""

from __future__ import annotations

import functools
import json
import re
import types
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import zstandard
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)

from corpuskit.core import registry
from corpuskit.core.batch import set_column
from corpuskit.kernels.pages import CLOSERS, TERMINALS
from corpuskit.sources.base import SourceFile

HERE = Path(__file__).resolve()
SHARED = HERE.parents[3] / "shared" / "data"
PAGE = HERE.parents[2] / "docs" / "agreement.md"
MOST = 6_000_000
"""Characters of a kind of text that are compared."""

ENDS = frozenset(chr(c) for first, last in TERMINALS for c in range(first, last + 1))


@dataclass(frozen=True)
class Peer:
    """A filter of datatrove that a preset stands for, and its reasons by our rules, where the names differ."""

    preset: str
    params: dict[str, Any]
    filter: Callable[[], Any]
    reasons: dict[str, str]


def _repetition_reasons() -> dict[str, str]:
    named = {
        "duplicate_paragraph_share": "dup_para_frac",
        "duplicate_paragraph_char_share": "dup_para_char_frac",
        "duplicate_line_share": "dup_line_frac",
        "duplicate_line_char_share": "dup_line_char_frac",
    }
    named |= {f"top_{n}gram_char_share": f"top_{n}_gram" for n in (2, 3, 4)}
    named |= {f"duplicate_{n}gram_char_share": f"duplicated_{n}_n_grams" for n in range(5, 11)}
    return {f"gopher_{ours}": theirs for ours, theirs in named.items()}


QUALITY = {
    "gopher_few_words": "gopher_short_doc",
    "gopher_many_words": "gopher_long_doc",
    "gopher_short_words": "gopher_below_avg_threshold",
    "gopher_long_words": "gopher_above_avg_threshold",
    "gopher_hashes": "gopher_too_many_hashes",
    "gopher_ellipses": "gopher_too_many_ellipsis",
    "gopher_bullet_lines": "gopher_too_many_bullets",
    "gopher_ellipsis_lines": "gopher_too_many_end_ellipsis",
    "gopher_letters": "gopher_below_alpha_threshold",
    "gopher_stop_words": "gopher_enough_stop_words",
}
FINEWEB = {
    "fineweb_terminal_lines": "line_punct_ratio",
    "fineweb_short_lines": "short_line_ratio",
    "fineweb_repeated_lines": "char_dup_ratio",
    "fineweb_line_feeds": "list_ratio",
}
C4 = {
    "c4_lorem_ipsum": "lorem_ipsum",
    "c4_curly_braces": "curly_bracket",
    "c4_sentences": "too_few_sentences",
    "empty": "too_few_sentences",
}

PEERS = (
    Peer("gopher_quality", {}, GopherQualityFilter, QUALITY),
    Peer("gopher_repetition", {}, GopherRepetitionFilter, _repetition_reasons()),
    Peer("fineweb", {}, FineWebQualityFilter, FINEWEB),
    Peer("c4", {}, C4QualityFilter, C4),
    Peer("c4", {"end_marks": False}, functools.partial(C4QualityFilter, filter_no_terminal_punct=False), C4),
)

CAUSES: tuple[tuple[str, Callable[[str], str]], ...] = (
    (
        "rule: blank lines count as lines there",
        lambda text: "\n".join(line for line in text.split("\n") if line.strip()),
    ),
    ("rule: not only line feeds end lines there", lambda text: re.sub("[\r\v\f\x1c-\x1e\x85\u2028\u2029]", " ", text)),
    ("rule: of `}` alone there is none there", lambda text: text.replace("}", "{")),
)
"""What is known to differ between the rules, as the change of a text that takes it away."""


def sentences(text: str, _language: str) -> list[str]:
    """Pieces, as many as `page_heuristics` counts sentences."""
    found = []
    for line in text.split("\n"):
        words = line.split()
        found += [word for at, word in enumerate(words, 1) if word.rstrip(CLOSERS)[-1:] in ENDS or at == len(words)]
    return found


def theirs(peer: Peer) -> Callable[[str], tuple[str | None, str]]:
    """datatrove's filter, given our words: (why it drops a text or None, the text as it leaves it)."""
    instance = peer.filter()
    instance.stat_update = lambda *_args, **_kwargs: None
    rule = type(instance).filter
    given = {"split_into_words": lambda text, _language: text.split(), "split_into_sentences": sentences}
    same = types.FunctionType(rule.__code__, {**rule.__globals__, **given}, "filter")

    def decide(text: str) -> tuple[str | None, str]:
        document = Document(text=text, id="")
        result = same(instance, document)
        return (None if result is True else result[1]), document.text

    return decide


def ours(peer: Peer, texts: list[str]) -> list[tuple[str | None, str]]:
    """(The rule of the preset that drops a text first or None, the text as the preset leaves it) of each text."""
    steps = registry.builtin(("signal", "filter", "edit", "preset"))
    batch = pa.record_batch({"text": pa.array(texts, pa.string())})
    first: list[str | None] = [None] * len(texts)
    for entry in steps[peer.preset](**peer.params):
        name, params = next(iter(entry.items()))
        if name == "where":
            for row, kept in enumerate(steps["where"](batch, expr=params)[0].to_pylist()):
                first[row] = first[row] or (None if kept else entry["name"])
        elif steps[name].kind == "signal":
            for column, values in steps[name](batch, **params).items():
                batch = set_column(batch, column, values)
        else:
            edited = steps[name](batch, **params)
            batch = edited[0] if isinstance(edited, tuple) else edited
            first = [
                why or (None if text else "empty") for why, text in zip(first, batch["text"].to_pylist(), strict=True)
            ]
    return list(zip(first, batch["text"].to_pylist(), strict=True))


def corpora(shared: Path = SHARED) -> Iterator[tuple[str, list[str]]]:
    """Real texts by kind, at most `MOST` characters of each."""
    yield "c4", _taken(_lines(sorted((shared / "c4").glob("*.jsonl.zst")), "text"))
    yield "commoncrawl", _taken(_pages(sorted((shared / "commoncrawl").glob("*00000.warc.gz"))))
    books = _lines([shared / "ground_truth" / "texts_books.jsonl.zst"], "text")
    yield "books, cut", _taken(piece for text in books for piece in _pieces(text))
    for kind in ("wikipedia", "stackexchange"):
        yield kind, _taken(_lines([shared / "ground_truth" / f"texts_{kind}.jsonl.zst"], "text"))
    yield "github", _taken(_lines([shared / "github" / "github_files.jsonl.zst"], "content"))


def _lines(paths: list[Path], field: str) -> Iterator[str]:
    for path in paths:
        with zstandard.open(path, "rt", encoding="utf-8") as stream:
            for line in stream:
                yield json.loads(line)[field]


def _pages(paths: list[Path]) -> Iterator[str]:
    for path in paths:
        for record in registry.builtin(("source",))["warc"](SourceFile(str(path), path.name)):
            if isinstance(record, dict):
                yield record["text"]
            elif isinstance(record, pa.RecordBatch):
                yield from record["text"].to_pylist()


def _pieces(text: str) -> Iterator[str]:
    """A long text in pieces of 8000 characters, cut where a line ends next: a book alone would be few documents."""
    while text:
        end = text.find("\n", 8000) + 1 or len(text)
        yield text[:end]
        text = text[end:]


def _taken(texts: Iterator[str]) -> list[str]:
    taken, size = [], 0
    for text in texts:
        if text.strip():
            taken.append(text)
            size += len(text)
        if size > MOST:
            break
    return taken


@dataclass(frozen=True)
class Difference:
    """A document on which a preset and a filter decide otherwise."""

    kind: str
    row: int
    ours: str | None
    theirs: str | None
    cause: str


@dataclass
class Agreement:
    """What a preset and a filter have in common on texts of a kind."""

    documents: int = 0
    kept: int = 0
    same_decision: int = 0
    same_rule: int = 0
    both_kept: int = 0
    same_text: int = 0


def compare(peer: Peer, kind: str, texts: list[str]) -> tuple[Agreement, list[Difference]]:
    """Decide about texts of a kind both ways."""
    decide, found, differ = theirs(peer), Agreement(documents=len(texts)), []
    for row, (text, (why, left)) in enumerate(zip(texts, ours(peer, texts), strict=True)):
        reason, there = decide(text)
        found.kept += why is None
        found.same_rule += (peer.reasons[why] if why else None) == reason
        if why is None and reason is None:
            found.both_kept += 1
            found.same_text += left == there
        if (why is None) == (reason is None):
            found.same_decision += 1
        else:
            known = (cause for cause, change in CAUSES if (decide(change(text))[0] is None) == (why is None))
            differ.append(Difference(kind, row, why, reason, next(known, "not known")))
    return found, differ


def page() -> str:
    """The report as Markdown."""
    lines = [
        "# Agreement with datatrove's filters",
        "",
        "Made by `python tests/benchmarks/agreement.py`; not to be edited. "
        + " ".join(str(__doc__).split("\n\n")[1].split()[2:]),
        "",
        "`same decision`: both keep a document or both drop it. `same rule`: and by the same rule. `same text`: of the",
        "documents that both keep, those that both leave with the same text.",
        "",
        "| preset | texts | documents | kept | same decision | same rule | same text |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    texts, differ = dict(corpora()), []
    for peer in PEERS:
        label = peer.preset + "".join(f", {key}: {json.dumps(value)}" for key, value in peer.params.items())
        for kind, some in texts.items():
            found, differences = compare(peer, kind, some)
            shares = [
                f"{part / whole:.2%}" if whole else "-"
                for part, whole in (
                    (found.same_decision, found.documents),
                    (found.same_rule, found.documents),
                    (found.same_text, found.both_kept),
                )
            ]
            lines.append(f"| `{label}` | {kind} | {found.documents} | {found.kept} | {' | '.join(shares)} |")
            differ += [(label, one) for one in differences]
    lines += ["", "## Documents on which the two decide otherwise", ""]
    lines += ["Texts are numbered from 0 in the order in which they are read. `-` keeps.", ""]
    counts = Counter((label, one.cause) for label, one in differ)
    lines += ["| preset | cause | documents |", "| --- | --- | ---: |"]
    lines += [f"| `{label}` | {cause} | {count} |" for (label, cause), count in sorted(counts.items())]
    lines += ["", "| preset | text | rule here | rule there | cause |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| `{label}` | {one.kind} {one.row} | {one.ours or '-'} | {one.theirs or '-'} | {one.cause} |"
        for label, one in differ
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
