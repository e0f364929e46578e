"""Dedup of very many documents made from one template: either none similar to another, or all similar to one another.

    python tests/benchmarks/bench_templates.py --documents 800_000 --shared 0.7

A document is a shared beginning of `shared` of its words, and random words of its own. With 0.7 of its shingles shared
two documents have Jaccard similarity 0.54: none may be removed, though one bucket holds tens of thousands of them. With
0.975 two have 0.95: one is kept. The whole command runs on a recipe, reading, dedup and writing the corpus; CPU seconds
are those of its process tree.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zstandard

FILES = 8


def write(folder, documents, words, shared, unit, n):
    """JSON Lines files of documents whose shingles are shared by the wanted part; bytes of text."""
    random = np.random.default_rng(5)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    vocabulary = np.array(["".join(letters[random.integers(0, 26, random.integers(3, 9))]) for _ in range(50_000)])
    template = vocabulary[random.integers(0, len(vocabulary), words)]
    edge = (n if unit == "word" else n // 6 + 1) - 1  # shingles across the border are the document's own
    common = round(shared * (words - edge)) + edge
    beginning, total = " ".join(template[:common]), 0
    for number in range(FILES):
        with zstandard.open(folder / f"{number}.jsonl.zst", "wt", encoding="utf-8") as out:
            for _ in range(number, documents, FILES):
                own = " ".join(vocabulary[random.integers(0, len(vocabulary), words - common)])
                text = f"{beginning} {own}"
                total += len(text)
                out.write(json.dumps({"text": text}) + "\n")
    return total


def main():
    """Parse the command line, write, run, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=80_000)
    parser.add_argument("--words", type=int, default=300)
    parser.add_argument("--shared", type=float, default=0.7)
    parser.add_argument("--unit", default="word", choices=["word", "char"])
    parser.add_argument("--n", type=int, default=13)
    parser.add_argument("--memory", default="2GiB")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", help="where to work")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        raw = folder / "raw"
        raw.mkdir()
        size = write(raw, options.documents, options.words, options.shared, options.unit, options.n)
        recipe = folder / "templates.yaml"
        recipe.write_text(
            f"name: templates\nmemory: {options.memory}\nsources:\n  web: {{read: jsonl, path: '{raw}/*.jsonl.zst'}}\n"
            f"steps:\n  - minhash: {{shingle: {{unit: {options.unit}, n: {options.n}}}}}\n"
        )
        start = time.monotonic()
        command = [sys.executable, "-m", "corpuskit.cli", "run", str(recipe), "--root", str(folder / "root")]
        process = os.spawnv(os.P_NOWAIT, sys.executable, [*command, "--workers", str(options.workers)])
        _, status, usage = os.wait4(process, 0)
        wall = time.monotonic() - start
        stages = {}
        for path in (folder / "root" / "stages").glob("*/receipts/*.json"):
            receipt = json.loads(path.read_bytes())
            name = path.parts[-3].rsplit("-", 1)[0]
            seconds, peak = stages.get(name, (0.0, 0))
            stages[name] = seconds + receipt["cpu_seconds"], max(peak, receipt["peak_bytes"])
            if name == "choose":
                facts = receipt["facts"]
        near = sum(entry["near"] for entry in facts["by_domain"])
        print(
            f"{options.documents:,} documents of {options.words} words, {size / 1e6:,.0f} MB, "
            f"shared {options.shared:g} of {options.n}-{options.unit} shingles: "
            f"exit {os.waitstatus_to_exitcode(status)}, removed {near:,} near; "
            f"{usage.ru_utime + usage.ru_stime:.0f} CPU-s, {wall:.0f} s; "
            f"largest process {usage.ru_maxrss / 1024:.0f} MiB"
        )
        print(f"  candidates {facts['candidates']:,}, compared {facts['compared']:,}, rounds {facts['rounds']}")
        for name, (seconds, peak) in sorted(stages.items()):
            print(f"  {name:16} {seconds:8.1f} CPU-s  peak {peak >> 20} MiB")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
