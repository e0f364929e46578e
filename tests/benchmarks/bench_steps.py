"""Steps that look for something in each text: MB per CPU-second of one thread, on the development data.

Run it by hand: `python tests/benchmarks/bench_steps.py [MB a text]`; needs ../shared/data. The best of three rounds
after a warm-up in which numba compiles. Beside `pii` stands datatrove's PIIFormatter, which knows emails and IPv4
addresses, on the first megabyte. `decontaminate` looks for GSM8K, HumanEval and LAMBADA.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import dedup_corpus
import pyarrow as pa

from corpuskit.step import Step
from corpuskit.steps.decontaminate import decontaminate
from corpuskit.steps.pii import pii

PEER_BYTES = 1 << 20


def kinds(limit: int) -> dict[str, list[str]]:
    """Texts of each kind, about `limit` bytes."""
    data = dedup_corpus.DATA
    read = dedup_corpus._read
    found: dict[str, Iterable[str]] = {
        name: read(dedup_corpus.jsonl, data / "ground_truth" / f"texts_{name}.jsonl.zst")
        for name in ("c4", "stackexchange", "wikipedia", "books")
    }
    wets = sorted((data / "commoncrawl").glob("*.warc.wet.gz"))
    found["web pages"] = itertools.chain.from_iterable(read(dedup_corpus.warc, path) for path in wets)
    found["code"] = read(dedup_corpus.jsonl, data / "github" / "github_files.jsonl.zst", text="content")
    return {name: up_to(texts, limit) for name, texts in found.items()}


def up_to(texts: Iterable[str], limit: int) -> list[str]:
    """The first texts, until they have `limit` bytes."""
    taken, size = [], 0
    for text in texts:
        taken.append(text)
        size += len(text.encode())
        if size >= limit:
            break
    return taken


def rate(texts: list[str], use: Callable[[], Any], rounds: int = 3) -> float:
    """MB per CPU-second."""
    use()
    spent = []
    for _ in range(rounds):
        start = time.thread_time()
        use()
        spent.append(time.thread_time() - start)
    return sum(len(text.encode()) for text in texts) / 1e6 / min(spent)


def of_step(step: Step, texts: list[str], **params: Any) -> float:
    """The rate of a step at these parameters, in batches of 4 MiB."""
    batches = [
        pa.record_batch({"doc": pa.array(range(len(some)), pa.uint64()), "text": pa.array(some, pa.string())})
        for some in pieces(texts)
    ]
    checked = step.validate(params)
    return rate(texts, lambda: [step(batch, **checked) for batch in batches])


def pieces(texts: list[str]) -> Iterable[list[str]]:
    """Lists of about 4 MiB."""
    left = iter(texts)
    while some := up_to(left, 4 << 20):
        yield some


def of_datatrove(texts: list[str]) -> float:
    """The rate of datatrove's PIIFormatter."""
    from datatrove.pipeline.formatters import PIIFormatter

    formatter = PIIFormatter()
    some = up_to(texts, PEER_BYTES)
    return rate(some, lambda: [formatter.format(text) for text in some], rounds=1)


def main() -> None:
    """Print the table."""
    limit = int(float(sys.argv[1]) * 1e6) if len(sys.argv) > 1 else 8_000_000
    against = [str(path) for path in sorted((dedup_corpus.DATA / "benchmarks").glob("*.jsonl.gz"))]
    print("| text | `pii` | `pii`, emails and IPv4 alone | datatrove's PIIFormatter | `decontaminate` |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, texts in kinds(limit).items():
        cells = [of_step(pii, texts), of_step(pii, texts, kinds=["email", "ipv4"]), of_datatrove(texts)]
        cells.append(of_step(decontaminate, texts, against=against, frequent=None))
        print(f"| {name} | {' | '.join(f'{cell:.3g}' for cell in cells)} |")


if __name__ == "__main__":
    main()
