"""How far the presets decide as datatrove's filters and Dolma's taggers do: `python tests/benchmarks/agreement.py`.

Writes docs/agreement.md. Both sides are given the same words (split at white space) and the same sentences (those that
`page_heuristics` counts), so that what differs is the rule. Texts are those of the development data beside the
checkout. A document on which the two differ is named with its rules and its cause: the first change of the text, of a
list of known ones, after which the other side decides as the preset did on the text as it was. Dolma's taggers (dolma
1.2.1, which asks for older packages) run in an environment of their own, whose Python `DOLMA_PYTHON` names.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import types
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
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
from corpuskit.steps.fineweb2 import read_thresholds

HERE = Path(__file__).resolve()
SHARED = HERE.parents[3] / "shared" / "data"
PAGE = HERE.parents[2] / "docs" / "agreement.md"
TAGGERS = HERE.parent / "peers" / "dolma_taggers.py"
MOST = 6_000_000
"""Characters of a kind of text that are compared."""

ENDS = frozenset(chr(c) for first, last in TERMINALS for c in range(first, last + 1))


Decision = tuple[str | None, str]
"""Why a text is dropped, or None; the text as it is left."""


@dataclass(frozen=True)
class Peer:
    """What decides as a preset should: filters of datatrove, one behind the other, or a configuration of Dolma's."""

    preset: str
    params: dict[str, Any]
    filters: tuple[Callable[[], Any], ...] | str
    reasons: dict[str, str]
    """Its reasons by our rules."""
    columns: dict[str, Any] = field(default_factory=dict)
    """What each document has beside its text."""

    @property
    def needs_dolma(self) -> bool:
        return isinstance(self.filters, str)


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

DOLMA = {
    "empty": "empty",
    "dolma_few_words": "word_count < 50",
    "dolma_many_words": "word_count > 100000",
    "dolma_short_words": "median_word_length < 3",
    "dolma_long_words": "median_word_length > 10",
    "dolma_symbols": "symbol_to_word_ratio > 0.1",
    "dolma_letters": "fraction_of_words_with_alpha_character < 0.8",
    "dolma_stop_words": "required_word_count < 2",
    "dolma_bullet_lines": "fraction_of_lines_starting_with_bullet_point > 0.9",
    "dolma_ellipsis_lines": "fraction_of_lines_ending_with_ellipsis > 0.3",
    "dolma_recurring_lines": "fraction_of_duplicate_lines > 0.3",
    "dolma_recurring_line_chars": "fraction_of_characters_in_duplicate_lines > 0.3",
    "dolma_top_2gram": "fraction_of_characters_in_most_common_2grams > 0.2",
    "dolma_top_3gram": "fraction_of_characters_in_most_common_3grams > 0.18",
    "dolma_top_4gram": "fraction_of_characters_in_most_common_4grams > 0.16",
    **{
        f"dolma_recurring_{n}gram": f"fraction_of_characters_in_duplicate_{n}grams > {limit}"
        for n, limit in zip(range(5, 11), (0.15, 0.14, 0.13, 0.12, 0.11, 0.1), strict=True)
    },
}
CODE = {
    "redpajama_long_line": "max_line_length_doc > 1000",
    "redpajama_long_lines": "avg_line_length_doc > 100",
    "redpajama_alphanumeric": "alnum_prop_doc < 0.25",
    "redpajama_letters": "alpha_token_prop_doc < 1.5",
}
FINEWEB2_TABLE = HERE.parent / "fineweb2_english.yml"
FINEWEB2 = {
    f"fineweb2_{name.removeprefix('fineweb_').removeprefix('gopher_')}": reason
    for name, reason in {**QUALITY, **FINEWEB}.items()
}
FINEWEB2 |= {"fineweb2_duplicate_lines": "dup_line_frac"}
FINEWEB2 |= {f"fineweb2_top_{n}gram": f"top_{n}_gram" for n in (2, 3, 4)}
FINEWEB2 |= {f"fineweb2_duplicate_{n}gram": f"duplicated_{n}_n_grams" for n in range(5, 11)}


def _fineweb2() -> tuple[Callable[[], Any], ...]:
    """The filters of FineWeb2's pipeline, in its order, with the thresholds of the table."""
    said = read_thresholds(FINEWEB2_TABLE)["en"].model_dump()
    off = {"dup_para_frac": 0, "dup_line_char_frac": 0, "dup_para_char_frac": 0}

    def take(*names: str) -> dict[str, Any]:
        return {name: said[name] for name in names}

    repetition = take("dup_line_frac", "top_n_grams", "dup_n_grams") | off
    fineweb = take("line_punct_thr", "new_line_ratio") | {"short_line_thr": 999, "char_duplicates_ratio": 0.1}
    quality = take("min_avg_word_length", "max_avg_word_length", "max_non_alpha_words_ratio")
    return (
        functools.partial(GopherRepetitionFilter, **repetition),
        functools.partial(FineWebQualityFilter, **fineweb),
        functools.partial(GopherQualityFilter, **quality, stop_words=said["stopwords"]),
    )


PEERS = (
    Peer("gopher_quality", {}, (GopherQualityFilter,), QUALITY),
    Peer("gopher_repetition", {}, (GopherRepetitionFilter,), _repetition_reasons()),
    Peer("fineweb", {}, (FineWebQualityFilter,), FINEWEB),
    Peer("c4", {}, (C4QualityFilter,), C4),
    Peer("c4", {"end_marks": False}, (functools.partial(C4QualityFilter, filter_no_terminal_punct=False),), C4),
    Peer(
        "fineweb2",
        {"thresholds": FINEWEB2_TABLE.as_posix()},
        _fineweb2(),
        FINEWEB2,
        {"language": "en", "language_score": 1.0},
    ),
    Peer("dolma", {}, "web", DOLMA),
    Peer("redpajama_code", {"extensions": []}, "code", CODE),
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


def theirs(peer: Peer) -> Callable[[list[str]], list[Decision]]:
    """What the other side decides about texts."""
    if isinstance(peer.filters, str):
        return functools.partial(_tagged, peer.filters)
    filters = [_given_our_words(make()) for make in peer.filters]

    def decide(text: str) -> Decision:
        document = Document(text=text, id="")
        for same in filters:
            result = same(document)
            if result is not True:
                return result[1], document.text
        return None, document.text

    return lambda texts: [decide(text) for text in texts]


def _given_our_words(instance: Any) -> Callable[[Document], Any]:
    """A filter of datatrove that splits texts as corpuskit does."""
    instance.stat_update = lambda *_args, **_kwargs: None
    rule = type(instance).filter
    given = {"split_into_words": lambda text, _language: text.split(), "split_into_sentences": sentences}
    return functools.partial(types.FunctionType(rule.__code__, {**rule.__globals__, **given}, "filter"), instance)


def _tagged(kind: str, texts: list[str]) -> list[Decision]:
    """What Dolma's taggers say, in their own environment."""
    command = [os.environ["DOLMA_PYTHON"], str(TAGGERS), kind]
    given = "".join(json.dumps(text) + "\n" for text in texts)
    said = subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout
    return [(why, text) for why, text in map(json.loads, said.splitlines())]


def ours(peer: Peer, texts: list[str]) -> list[Decision]:
    """(The rule of the preset that drops a text first or None, the text as the preset leaves it) of each text."""
    steps = registry.builtin(("signal", "filter", "edit", "preset"))
    beside = {name: pa.array([value] * len(texts)) for name, value in peer.columns.items()}
    batch = pa.record_batch({"text": pa.array(texts, pa.string()), **beside})
    first: list[str | None] = [None] * len(texts)
    for entry in steps[peer.preset](**peer.params):
        name, params = next(iter(entry.items()))
        if name == "where":
            for row, kept in enumerate(steps["where"](batch, expr=params)[0].to_pylist()):
                first[row] = first[row] or (None if kept else entry["name"])
        elif steps[name].kind == "signal":
            given = steps[name](batch, **params)
            for column, values in (given if isinstance(given, dict) else {name: given}).items():
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
    here = ours(peer, texts)
    for row, ((why, left), (reason, there)) in enumerate(zip(here, decide(texts), strict=True)):
        found.kept += why is None
        found.same_rule += (peer.reasons[why] if why else None) == reason
        if why is None and reason is None:
            found.both_kept += 1
            found.same_text += left == there
        if (why is None) == (reason is None):
            found.same_decision += 1
        else:
            differ.append(Difference(kind, row, why, reason, "not known"))
    for cause, change in reversed(CAUSES if differ else ()):  # so that the first cause stands
        changed = decide([change(texts[one.row]) for one in differ])
        differ = [
            replace(one, cause=cause) if (reason is None) == (one.ours is None) else one
            for one, (reason, _) in zip(differ, changed, strict=True)
        ]
    return found, differ


def _shown(value: Any) -> str:
    return Path(value).name if isinstance(value, str) else json.dumps(value)


def page() -> str:
    """The report as Markdown."""
    lines = [
        "# Agreement with datatrove's filters and Dolma's taggers",
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
        label = peer.preset + "".join(f", {key}: {_shown(value)}" for key, value in peer.params.items())
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
    if "DOLMA_PYTHON" not in os.environ:
        raise SystemExit("DOLMA_PYTHON names no Python with Dolma's taggers: `pip install dolma==1.2.1` into a venv")
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
