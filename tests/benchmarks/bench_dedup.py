"""Whole deduplication: JSONL.zst in, deduplicated Parquet out. CPU seconds, memory, and where ours go.

Run it by hand: `python tests/benchmarks/bench_dedup.py --megabytes 300 --peers /path/to/python`. The corpus is made by
`dedup_corpus` (real texts and stated copies; without the development data there is nothing to measure). Ours is a
recipe of one source and `minhash`, run with one worker, with its exact verification; every tool runs once, in a
process of its own, after ours has run once on a small corpus in which numba compiles. A peer is a Python that can
import datatrove, datasketch, rensa and text-dedup; peers run on `--peer-megabytes`, and so does ours once more. Figures
are MB (1e6 bytes) of UTF-8 text per CPU-second of the whole process tree, start-up and imports included.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path

import dedup_corpus
from dedup_tools import OURS, PEERS, Tool, command, kept_documents, last_lines, spend


def made(folder: Path, megabytes: float) -> Path:
    """The folder of a corpus of this size; an earlier one is used again."""
    texts = folder / f"texts-{megabytes:g}"
    if not (texts / "complete.json").exists():
        dedup_corpus.write(dedup_corpus.corpus(megabytes), texts)
    return texts


def measure(tool: Tool, texts: Path, python: Path | None) -> None:
    """Print one row, and for ours where its CPU seconds went."""
    counts = json.loads((texts / "complete.json").read_text())
    with tempfile.TemporaryDirectory(dir=texts.parent) as name:
        out = Path(name)
        spent = spend(command(tool, texts, out, python), texts.parent / "log.txt")
        if spent.status:
            print(f"{tool.label:40}  failed:\n{last_lines(texts.parent / 'log.txt')}", flush=True)
            return
        size, removed = counts["bytes"] / 1e6, counts["documents"] - kept_documents(tool, out)
        cells = [size, spent.cpu, size / spent.cpu, spent.peak / 1e6, spent.wall]
        print(f"{tool.label:40}", *(f"{cell:9.2f}" for cell in cells), f"{removed:9,}", flush=True)
        if isinstance(tool.arguments, dict):
            stages(out / "root", spent.cpu)


def stages(root: Path, cpu: float) -> None:
    """Print the CPU seconds by stage, as the receipts of a run say, and what is outside of them."""
    seconds: dict[str, float] = defaultdict(float)
    for path in root.glob("stages/*/receipts/*.json"):
        seconds[path.parts[-3].rsplit("-", 1)[0]] += json.loads(path.read_text())["cpu_seconds"]
    seconds["start-up, plan, seal, report"] = cpu - sum(seconds.values())
    rows = sorted(seconds.items(), key=lambda row: -row[1])
    print("   ", ", ".join(f"{name} {value:.2f}" for name, value in rows), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=100, help="text of the corpus for ours")
    parser.add_argument("--peer-megabytes", type=float, default=30, help="text of the corpus beside the peers")
    parser.add_argument("--peers", type=Path, help="a Python that can import the other tools")
    parser.add_argument("--folder", type=Path, help="keeps the corpora for the next run")
    options = parser.parse_args()
    if not dedup_corpus.DATA.exists():
        print(f"nothing to measure: {dedup_corpus.DATA} is not here")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        small, large = made(folder, options.peer_megabytes), made(folder, options.megabytes)
        with tempfile.TemporaryDirectory() as warm:
            for tool in OURS:
                spend(command(tool, small, Path(warm) / tool.label, None), folder / "log.txt")
        head = ["MB", "CPU s", "MB/CPU-s", "peak MB", "wall s", "removed"]
        print(f"{'':40}", *(f"{title:>9}" for title in head))
        for tool in OURS:
            measure(tool, large, None)
        if options.peers:
            for tool in [*OURS, *PEERS]:
                measure(tool, small, options.peers)


if __name__ == "__main__":
    main()
