"""Passages and spans looked up in the index of a finished run: how long an answer takes.

Run it by hand: `python tests/benchmarks/bench_find.py ROOT`, of a run with `index: {spans: true}`. Passages are cut
from documents of the corpus, and changed so that they stand nowhere; a text is pieces of documents with words in an
order of none between them. Figures are milliseconds, without the start of Python.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from corpuskit.explore.find import Search
from corpuskit.store.root import Root


def timed(act: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of CPU time and of the wall clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    act()
    return 1000 * (time.process_time() - cpu), 1000 * (time.perf_counter() - wall)


def said(name: str, took: list[tuple[float, float]]) -> None:
    """Print a line."""
    cpu, wall = zip(*took, strict=True)
    print(f"{name}: CPU median {statistics.median(cpu):.1f}, worst {max(cpu):.1f} ms; ", end="")
    print(f"wall median {statistics.median(wall):.1f}, worst {max(wall):.1f} ms")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--times", type=int, default=50)
    options = parser.parse_args()
    root = Root(options.root)
    search = Search(root, root.require_plan())
    rng = random.Random(7)
    file = next(iter(sorted(options.root.glob("corpus/*/*.parquet"))))
    texts = [text for text in pq.read_table(file, columns=["text"])["text"].to_pylist() if len(text) > 1000]
    kinds: dict[str, Callable[[], str]] = {
        "a passage of 100 characters that stands": lambda: cut(rng, texts, 100),
        "one of 1,000": lambda: cut(rng, texts, 1000),
        "one of 100 that does not": lambda: cut(rng, texts, 50) + "\x01" + cut(rng, texts, 50),
        "the word `the`": lambda: "the",
    }
    for name, make in kinds.items():
        passages = [make() for _ in range(options.times)]
        took = [timed(lambda passage=passage: search.passage(passage)) for passage in passages]  # type: ignore[misc]
        said(name, took)
    for size in (2_000, 20_000):
        made = ["".join(pieces(rng, texts, size)) for _ in range(max(3, options.times // 10))]
        took = [timed(lambda text=text: search.spans(text, 50)) for text in made]  # type: ignore[misc]
        said(f"spans of a text of {size:,}", took)


def cut(rng: random.Random, texts: list[str], size: int) -> str:
    """Some characters of a document."""
    text = rng.choice(texts)
    first = rng.randrange(max(1, len(text) - size))
    return text[first : first + size]


def pieces(rng: random.Random, texts: list[str], size: int) -> list[str]:
    """Spans of 200 characters of documents, and as many characters of words in an order of no document."""
    words = " ".join(rng.choices(" ".join(texts[:50]).split(), k=size // 3))
    return [part for at in range(0, size, 400) for part in (cut(rng, texts, 200), words[at // 2 : at // 2 + 200])]


if __name__ == "__main__":
    main()
