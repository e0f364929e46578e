"""The corpus that deduplication is measured on: real texts and stated copies of them, the same in every run.

Real texts come from the development data: C4, Wikipedia, Stack Exchange, WET records of web pages, source code, and
books cut at paragraphs into documents of 2 to 20 kB. Until the corpus is as large as asked for, documents drawn from
them are repeated with each word exchanged, with a stated probability, for a word drawn from the whole corpus. With a
probability p about (1 - p)^13 of the 13-word shingles stay: 0.1 % leaves a Jaccard similarity of 0.97, 0.5 % of 0.88,
1 % of 0.78, 3 % of 0.51, and 30 % a new document.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import zstandard

from corpuskit.sources.base import SourceFile
from corpuskit.sources.gutenberg import gutenberg
from corpuskit.sources.jsonl import jsonl
from corpuskit.sources.warc import warc
from corpuskit.step import Step

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
EXCHANGED = {0.0: 1, 0.001: 2, 0.005: 2, 0.01: 2, 0.03: 2, 0.3: 16}
"""Probability that a word is exchanged, and its weight: of 25 copies five are near duplicates at 0.8."""

FILE_BYTES = 32 << 20
"""Text of one file of the corpus."""

PIECE = (2_000, 20_000)
"""Bytes of the documents that a book is cut into."""


def texts(data: Path = DATA) -> Iterator[str]:
    """The real texts, in a fixed order."""
    for name in ("c4", "wikipedia", "stackexchange"):
        yield from _read(jsonl, data / "ground_truth" / f"texts_{name}.jsonl.zst")
    for path in sorted((data / "commoncrawl").glob("*.warc.wet.gz")):
        yield from _read(warc, path)
    yield from _read(jsonl, data / "github" / "github_files.jsonl.zst", text="content")
    rng = random.Random(0)
    for path in [data / "books" / "novels-en.tar.zst", *sorted((data / "books").glob("gutenberg/*/*.txt.gz"))]:
        for book in _read(gutenberg, path):
            yield from pieces(book, rng)


def _read(reader: Step, path: Path, **parameters: str) -> Iterator[str]:
    """The texts that a reader of corpuskit finds in a file."""
    for record in reader.function(SourceFile(str(path), path.name), **parameters):
        if isinstance(record, dict):
            yield record["text"]


def pieces(book: str, rng: random.Random) -> Iterator[str]:
    """Cut a book at its paragraphs into documents whose sizes are spread evenly over `PIECE`."""
    piece, size, wanted = [], 0, rng.randint(*PIECE)
    for paragraph in book.split("\n\n"):
        piece.append(paragraph)
        size += len(paragraph.encode())
        if size >= wanted:
            yield "\n\n".join(piece)
            piece, size, wanted = [], 0, rng.randint(*PIECE)
    if piece:
        yield "\n\n".join(piece)


def copies(real: list[str]) -> Iterator[str]:
    """Without end: a real text drawn at random, its words exchanged."""
    rng = random.Random(1)
    words = [word for text in itertools.islice(real, 0, None, 50) for word in text.split()]
    while True:
        (probability,) = rng.choices(list(EXCHANGED), list(EXCHANGED.values()))
        lines = rng.choice(real).split("\n")
        yield "\n".join(
            " ".join(rng.choice(words) if rng.random() < probability else word for word in line.split(" "))
            for line in lines
        )


def corpus(megabytes: float, data: Path = DATA) -> Iterator[str]:
    """So many MB (1e6 bytes of UTF-8) of texts: real and copied ones, mixed."""
    real = list(texts(data))
    random.Random(2).shuffle(real)
    size = 0
    for text in itertools.chain(real, copies(real)):
        if size >= megabytes * 1e6:
            return
        size += len(text.encode())
        yield text


def write(found: Iterable[str], folder: Path, file_bytes: int = FILE_BYTES) -> None:
    """Write JSONL.zst files of the fields `id` and `text`; a marker with the counts makes the folder complete."""
    folder.mkdir(parents=True, exist_ok=True)
    number = total = 0
    rest = iter(found)
    for file in itertools.count():
        first = next(rest, None)
        if first is None:
            break
        with zstandard.open(folder / f"{file:03d}.jsonl.zst", "wb") as stream:
            size = 0
            for text in itertools.chain([first], rest):
                stream.write(json.dumps({"id": str(number), "text": text}, ensure_ascii=False).encode() + b"\n")
                number += 1
                size += len(text.encode())
                if size >= file_bytes:
                    break
            total += size
    (folder / "complete.json").write_text(json.dumps({"documents": number, "bytes": total}))
