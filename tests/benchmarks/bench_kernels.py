"""How fast the kernels are: a table of MB (1e6 bytes of UTF-8) per CPU-second of one thread, datasketch beside them.

Run it on a machine that does nothing else: `python tests/benchmarks/bench_kernels.py [MB]`. The text is made here, and
where the development data lies beside the checkout its documents are measured too. After one warm-up each figure is
the median of three rounds by `time.thread_time`. The peer runs in the same process over fewer of the same documents;
its shingles are made by plain Python inside the clock, of words split at white space or of lower-cased characters.
"""

from __future__ import annotations

import json
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa

from corpuskit.core.batch import utf8
from corpuskit.kernels import heuristics
from corpuskit.kernels.minhash import sketch
from corpuskit.kernels.normalize import normalized_hash
from corpuskit.kernels.page_lines import cut_page_lines
from corpuskit.kernels.refinedweb import cut_lines
from corpuskit.kernels.scan import ALL, PAGE, QUALITY, REPETITION
from corpuskit.sources.base import SourceFile
from corpuskit.sources.jsonl import jsonl

GROUND_TRUTH = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "ground_truth"
CODE = GROUND_TRUTH.parent / "github" / "github_files.jsonl.zst"
SIGNALS = (QUALITY, REPETITION, PAGE, ALL)
ROUNDS = 3
PERMUTATIONS = 128
PEER_BYTES = 200_000
WORDS = 20_000


def made(megabytes: float, *, ascii_only: bool) -> list[str]:
    """Documents of about 5 kB of invented words, drawn with Zipf's frequencies; always the same."""
    rng = random.Random(0)
    letters = "etaoinshrdlucmfwypvbgk" + ("" if ascii_only else "éüßøçñабвгдежз")
    words = ["".join(rng.choices(letters, k=rng.randint(2, 10))) for _ in range(WORDS)]
    weights = [1 / rank for rank in range(1, WORDS + 1)]
    texts, size = [], 0
    while size < megabytes * 1e6:
        drawn = rng.choices(words, weights, k=800)
        drawn[::13] = [f"{word}.\n" if at % 5 else f"{word.title()}," for at, word in enumerate(drawn[::13])]
        texts.append(" ".join(drawn))
        size += len(texts[-1].encode())
    return texts


def corpora(megabytes: float) -> Iterator[tuple[str, list[str]]]:
    """The texts to measure, by name, of at most so many MB each."""
    yield "made, ASCII", made(megabytes, ascii_only=True)
    yield "made, Latin and Cyrillic", made(megabytes, ascii_only=False)
    for path in sorted(GROUND_TRUTH.glob("texts_*.jsonl.zst")):
        yield path.name.removeprefix("texts_").removesuffix(".jsonl.zst"), stored(path, "text", megabytes)
    if CODE.exists():
        yield "code", stored(CODE, "content", megabytes)


def stored(path: Path, field: str, megabytes: float) -> list[str]:
    """The first texts of a file, so many MB of them."""
    texts, size = [], 0.0
    for record in jsonl.function(SourceFile(str(path), path.name), text=field):
        if isinstance(record, dict) and size < megabytes * 1e6:
            texts.append(record["text"])
            size += len(record["text"].encode())
    return texts


def rate(work: Callable[[], object], size: int) -> float:
    """MB per CPU-second of this thread: the median of the rounds, after a warm-up."""
    work()
    seconds = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        work()
        seconds.append(time.thread_time() - start)
    return size / 1e6 / statistics.median(seconds)


def peer(texts: list[str], unit: str) -> float:
    """MinHash of datasketch over the distinct shingles of as many of the documents as hold `PEER_BYTES`."""
    from datasketch import MinHash

    chosen, size = [], 0
    for text in texts:
        if size >= PEER_BYTES:
            break
        chosen.append(text)
        size += len(text.encode())

    def signatures() -> None:
        for text in chosen:
            parts = text.lower().split() if unit == "word" else text.lower()
            join = " " if unit == "word" else ""
            shingles = {join.join(parts[i : i + 13]) for i in range(max(1, len(parts) - 12))}
            MinHash(PERMUTATIONS).update_batch([shingle.encode() for shingle in shingles])

    return rate(signatures, size)


def read_jsonl(texts: list[str], size: int) -> float:
    """The jsonl reader over a plain file of these texts."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.jsonl"
        path.write_text("\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in texts), encoding="utf-8")
        return rate(lambda: sum(1 for _ in jsonl.function(SourceFile(str(path), path.name))), size)


def measured(texts: list[str]) -> list[float | None]:
    """One row of the table."""
    column = pa.array(texts, pa.large_string())
    size = sum(len(text.encode()) for text in texts)
    with_peer = find_spec("datasketch") is not None
    return [
        size / 1e6,
        rate(lambda: sketch(column, "word", 13, PERMUTATIONS), size),
        peer(texts, "word") if with_peer else None,
        rate(lambda: sketch(column, "char", 13, PERMUTATIONS), size),
        peer(texts, "char") if with_peer else None,
        rate(lambda: normalized_hash(column), size),
        *(rate(lambda: heuristics.count(*utf8(column), wanted), size) for wanted in SIGNALS),  # noqa: B023
        rate(lambda: cut_page_lines(column, by_mark=True, min_words=3), size),
        rate(lambda: cut_lines(column), size),
        read_jsonl(texts, size),
    ]


def main() -> None:
    megabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 8.0
    head = ["text", "MB", "word 13", "datasketch", "char 13", "datasketch", "normalize+hash"]
    head += ["heuristics", "repetition", "page_heuristics", "all three", "c4_lines", "refinedweb_lines", "jsonl"]
    print(f"MB per CPU-second, {PERMUTATIONS} permutations; {platform.machine()}, Python {platform.python_version()}")
    print("  ".join([f"{head[0]:24}", *(f"{name:>{max(8, len(name))}}" for name in head[1:])]))
    for name, texts in corpora(megabytes):
        cells = [
            f"{'-' if value is None else format(value, '.2f' if value < 10 else '.0f'):>{max(8, len(label))}}"
            for label, value in zip(head[1:], measured(texts), strict=True)
        ]
        print("  ".join([f"{name:24}", *cells]), flush=True)


if __name__ == "__main__":
    main()
