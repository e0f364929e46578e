"""Runs every kind of stage in processes to which the system refuses more data than a worker's memory and an overhead.

`python -m tests.core.bounded BYTES FOLDER MIB`: a whole plan, unit by unit, over documents of so many bytes, ten times
the memory in all. Ends with an error that names the units which took more.
"""

import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import scipy.linalg  # noqa: F401 - of kernels, before the limit: OpenBLAS asks forever for what it is refused

from corpuskit.core.plan import Plan
from corpuskit.engines import Task
from corpuskit.plan.planner import make
from corpuskit.recipe import load
from corpuskit.run.execute import BASE_BYTES, execute
from corpuskit.store.receipts import WORKER_RECEIPT_BYTES
from corpuskit.store.root import Root

MIB = 1 << 20

OVERHEAD = 96 * MIB
"""What a process may take besides: what allocators keep, threads, batches at work and the buffers of libraries."""

TRAINERS = ("proxy", "losses", "train")
"""Kinds that run in, or wait for, a process with torch, whose memory is that of the model."""

FIXED = {"corpus": 64 * MIB, "sample": 64 * MIB, "tokens": 128 * MIB, "duplicates": 64 * MIB, "spans": 256 * MIB}
"""What some stages take besides, however much flows through them: a row group of the corpus that is written or read;
the least that DuckDB gets; the suffix array of a piece of text, five bytes for each of 48 MiB, and the piece."""

RECIPE = """\
sources:
  web:   {read: jsonl, path: "raw/web.jsonl.zst"}
  books: {read: jsonl, path: "raw/books.jsonl.zst"}
batch_bytes: 1MiB
steps:
  - normalize: {unicode: NFC}
  - clean_chars: {}
  - where: clean_chars >= 20
    name: too_short
  - lines: {documents: 6}
    only: [web]
  - exact: {}
  - minhash: {keep: [books]}
  - substrings: {}
    only: [web]
  - sample: {by: clean_chars, method: gaussian, keep: 0.9}
    only: [web]
  - perplexity: {model: {train_on: web, order: 2, prune: [0, 1], discount_fallback: true}, as: ppl}
    only: [books]
  - holdout: {tokens: 20k, dedup_train: true}
index: {spans: true}
mix:
  tokenizer: {train: {vocab_size: 1000}}
  weights: {web: 0.5, books: 0.5}
  tokens: max
  max_epochs: 1
  swarm: {runs: 2, tokens: 4k, batch_tokens: 1024}
  shards: {seq_len: 128}
train: {model: {width: 32, layers: 1, heads: 2}, tokens: 4k, batch_tokens: 1024}
"""


def texts(random: np.random.Generator, words: np.ndarray, each: int, total: int) -> Iterator[bytes]:
    """Documents of about `each` bytes, in lines of 16 words, until they have `total`: a fifth repeats one before it."""
    at_once = max(1, 4 * MIB // each)
    left = total
    while left > 0:
        drawn = words[random.integers(0, len(words), (at_once, each // 8))]
        copied = random.random(at_once) < 0.2
        drawn[copied] = drawn[random.integers(0, at_once, int(copied.sum()))]
        edited = np.flatnonzero(copied & (random.random(at_once) < 0.5))
        drawn[edited, 0] = words[random.integers(0, len(words), len(edited))]
        letters = drawn.view(np.uint8).reshape(at_once, -1, 8)
        letters[:, 15::16, 7] = ord("\n")
        yield from (row.tobytes() for row in letters.reshape(at_once, -1)[: -(-left // each)])
        left -= at_once * each


def write(folder: Path, each: int, size: int) -> None:
    """JSON lines that no reader cuts into units: `size` bytes of `web`, and a few `books`."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(3)
    letters = random.integers(ord("a"), ord("z") + 1, (20_000, 8), dtype=np.uint8)
    letters[:, 7] = ord(" ")
    words = letters.view(np.uint64)[:, 0]
    for source, total in (("web", size), ("books", 2 * MIB)):
        with pa.CompressedOutputStream(str(folder / f"{source}.jsonl.zst"), "zstd") as file:
            for text in texts(random, words, each, total):
                file.write(b'{"text": "' + text[:-1].replace(b"\n", b"\\n") + b'"}\n')


def planned(folder: Path, memory: int) -> tuple[Plan, Root]:
    """The plan of the recipe in a folder, whose units are told that they have `memory`."""
    (folder / "recipe.yaml").write_text(RECIPE)
    plan = make(load(folder / "recipe.yaml", []))
    plan.memory = memory + BASE_BYTES
    return plan, Root(folder / "root", WORKER_RECEIPT_BYTES)


def run(small: Path, large: Path, memory: int) -> list[str]:
    """Run the units of the plan of a folder, each in a process of its own, as workers do; say which took more.

    Those that train are not held to it: their memory is that of a model, and torch's. `small` is a folder in which all
    others have run.
    """
    larger = []
    plan, root = planned(large, memory)
    for name, stage in plan.stages.items():
        for number in range(len(stage.units)):
            if stage.kind in TRAINERS:
                execute(plan, root, Task(name, number))
                continue
            command = [
                sys.executable,
                "-m",
                "tests.core.bounded",
                str(small),
                str(large),
                str(memory),
                name,
                str(number),
            ]
            ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
            if ended.returncode:
                larger.append(f"{name}:{number}: exit code {ended.returncode}: {ended.stderr[-300:]}")
                execute(plan, root, Task(name, number))
    return larger


def all_units(folder: Path, memory: int) -> None:
    """Run all units of the plan of a folder here, but for those that train."""
    plan, root = planned(folder, memory)
    for name, stage in plan.stages.items():
        if stage.kind not in TRAINERS:
            for number in range(len(stage.units)):
                execute(plan, root, Task(name, number))


def unit(small: Path, large: Path, memory: int, name: str, number: int) -> None:
    """Run one unit of `small` once more, which loads libraries and kernels, then that of `large` within the limit."""
    plan, root = planned(small, memory)
    stages = small / "root" / "stages"
    shutil.rmtree(stages / plan.stages[name].folder / "receipts")
    for stored in stages.glob("signal-*"):
        shutil.rmtree(stored)
    for again in range(len(plan.stages[name].units)):
        execute(plan, root, Task(name, again))
    plan, root = planned(large, memory)
    last = name.startswith("corpus-")  # the segment that writes the corpus
    limit = data() + memory + OVERHEAD + FIXED.get("corpus" if last else plan.stages[name].kind, 0)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))
    execute(plan, root, Task(name, number))


def data() -> int:
    """Bytes of data that this process has, as the system counts them for its limit."""
    return int(re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) << 10


def main(each: int, folder: Path, memory: int) -> None:
    """Run a small corpus, and within the limit one of ten times the memory."""
    small, large = folder / "small", folder / "large"
    write(small / "raw", each, max(MIB, 40 * each))  # some repeat one before them
    write(large / "raw", each, 10 * memory)
    all_units(small, memory)
    if larger := run(small, large, memory):
        sys.exit(f"more than {memory // MIB} MiB and what is stated besides:\n" + "\n".join(larger))


if __name__ == "__main__":
    if len(sys.argv) > 4:
        unit(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
    else:
        main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) * MIB)
