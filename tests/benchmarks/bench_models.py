"""`perplexity` and `language` beside the bare calls of kenlm and fastText: CPU time of one thread, in the same run.

Run it by hand: `python tests/benchmarks/bench_models.py`; needs ../shared/data. The best of nine rounds, in turns.
Perplexity: the held-out and training lines of data/lm, 30 a document, lmplz's model of order 5; the bare call is
`kenlm.Model.score` on each line. Language: 7 MB of C4, lid.176.ftz; the bare call is fastText's `predict`.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dedup_corpus
import pyarrow as pa
import zstandard
from bench_steps import up_to

from corpuskit.core.identity import File
from corpuskit.lm.scoring import load_arpa
from corpuskit.steps.classifiers import load_classifier
from corpuskit.steps.language import _packaged, language
from corpuskit.steps.perplexity import _load, perplexity


def seconds(ways: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """CPU seconds of the best round of each; in turns, so that what else the machine does weighs on all alike."""
    spent = dict.fromkeys(ways, float("inf"))
    for _ in range(9):
        for name, use in ways.items():
            start = time.thread_time()
            use()
            spent[name] = min(spent[name], time.thread_time() - start)
    return spent


def of_perplexity(folder: Path) -> None:
    """Nanoseconds a token."""
    data = dedup_corpus.DATA / "lm"
    path = folder / "order5.arpa"
    with zstandard.open(data / "order5.arpa.zst", "rb") as packed:
        path.write_bytes(packed.read())
    lines = [line for name in ("heldout", "train") for line in (data / f"{name}.txt").read_text().splitlines()]
    texts = pa.array(["\n".join(lines[at : at + 30]) for at in range(0, len(lines), 30)])
    batch = pa.record_batch({"text": texts})
    tokens = sum(len(line.split()) + 1 for line in lines)
    model = _load(path, "")
    kernel = load_arpa(path)
    assert kernel is not None
    other = folder / "exponents.arpa"  # kenlm reads it, the kernel does not
    other.write_text(path.read_text().replace("\t<s>", "e0\t<s>", 1))
    ways = {
        "kenlm's `score`, a line a call": lambda: [model.score(line) for line in lines],
        "`perplexity`, by kenlm": lambda: perplexity(batch, model=File(other)),
        "`perplexity`, by the kernel": lambda: perplexity(batch, model=File(path)),
        "the kernel alone": lambda: kernel.score(texts),
    }
    for name, spent in seconds(ways).items():
        print(f"| {name} | {spent / tokens * 1e9:.0f} ns a token |")


def of_language() -> None:
    """MB per CPU-second."""
    path = dedup_corpus.DATA / "ground_truth" / "texts_c4.jsonl.zst"
    texts = up_to(dedup_corpus._read(dedup_corpus.jsonl, path), 7_000_000)
    size = sum(len(text.encode()) for text in texts) / 1e6
    batch = pa.record_batch({"text": texts})
    lines = [text.strip().replace("\n", " ") for text in texts]
    model = load_classifier(_packaged(), "")
    ways = {
        "fastText's `predict`, whole text": lambda: [model.predict(line) for line in lines],
        "`language`, whole text": lambda: language(batch, max_chars=1 << 40),
        "fastText's `predict`, 1,000 characters": lambda: [model.predict(line[:1000]) for line in lines],
        "`language`, 1,000 characters": lambda: language(batch),
    }
    for name, spent in seconds(ways).items():
        print(f"| {name} | {size / spent:.1f} MB per CPU-second |")


def main() -> None:
    """Print the table."""
    print("| what | measured |\n| --- | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        of_perplexity(Path(folder))
    of_language()


if __name__ == "__main__":
    main()
