"""MinHash signatures beside other tools': text to 128 numbers, normalization and shingling included.

Run it by hand: `python tests/benchmarks/bench_signatures.py --peers /path/to/python`. Every tool gets the texts
of `dedup_corpus` in the same order, as Python strings in memory, in chunks of a size that suits it, until so many CPU
seconds (`time.process_time`, all threads) are over, after a chunk of warm-up. Making columns of them (ours and daft) is
inside the clock; Python makes the shingles of tools that make none. Peers run in a process of their own. Figures are MB
(1e6 bytes) of UTF-8 text per CPU-second, and ours with shingles of the same unit and number divided by them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import dedup_corpus
import pyarrow as pa
from dedup_tools import SCRIPTS, environment

from corpuskit.kernels.minhash import sketch
from corpuskit.kernels.shingle import Unit

OURS: list[tuple[Unit, int, int]] = [("word", 13, 128), ("char", 13, 128), ("word", 5, 112)]

CHUNK = 256
"""Rows of a chunk of ours: about 3 MB."""


def ours(texts: list[str], unit: Unit, n: int, numbers: int, seconds: float) -> float:
    """MB per CPU-second of our signatures, over the texts again and again."""
    chunks = [texts[first : first + CHUNK] for first in range(0, len(texts), CHUNK)]
    sizes = [sum(len(text.encode()) for text in chunk) for chunk in chunks]
    sketch(pa.array(chunks[0], pa.large_string()), unit, n, numbers)
    size, spent = 0, 0.0
    while spent < seconds:
        for chunk, each in zip(chunks, sizes, strict=True):
            start = time.process_time()
            sketch(pa.array(chunk, pa.large_string()), unit, n, numbers)
            spent += time.process_time() - start
            size += each
    return size / 1e6 / spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=30, help="text")
    parser.add_argument("--seconds", type=float, default=3, help="CPU seconds of each measurement, at the least")
    parser.add_argument("--peers", type=Path, help="a Python that can import the other tools")
    options = parser.parse_args()
    if not dedup_corpus.DATA.exists():
        print(f"nothing to measure: {dedup_corpus.DATA} is not here")
        return
    texts = list(dedup_corpus.corpus(options.megabytes))
    print(f"{'':44} {'MB/CPU-s':>9} {'ours / this':>20}")
    rates = {}
    for unit, n, numbers in OURS:
        rates[f"{unit} {n}"] = ours(texts, unit, n, numbers, options.seconds)
        print(f"{f'corpuskit, {unit} {n}, {numbers} numbers':44} {rates[f'{unit} {n}']:9.2f} {'1.0 x':>20}", flush=True)
    if not options.peers:
        return
    with tempfile.TemporaryDirectory() as name:
        dedup_corpus.write(texts, Path(name))
        words = [str(options.peers), str(SCRIPTS / "signatures.py"), name, str(options.seconds)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment(words[0])) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(b"{"):
                    row = json.loads(line)
                    rate = row["bytes"] / 1e6 / row["seconds"]
                    times = rates[row["shingles"]] / rate
                    print(f"{row['label']:44} {rate:9.2f} {f'{times:.1f} x':>20}", flush=True)
    if process.returncode:
        raise SystemExit(f"the peers' script ended with status {process.returncode}")


if __name__ == "__main__":
    main()
