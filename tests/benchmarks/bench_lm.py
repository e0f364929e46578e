"""How fast n-gram models are estimated: CPU seconds and peak memory of a process, for each text and order.

Run it on a machine that does nothing else: `python tests/benchmarks/bench_lm.py TEXT.txt... [--memory 300MiB]`, a
line a sentence, in words between spaces. Each row is a process of its own, once the kernels are compiled: its start,
reading the text and writing the ARPA file are in it. Where KenLM's `lmplz` is on the path it runs beside, with `-S` of
the same memory.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

COLUMNS = ("text", "MB", "order", "prune", "CPU s", "peak MiB", "ARPA MB", "lmplz CPU s", "lmplz MiB")
MODELS = ((3, "0"), (5, "0"), (5, "0 0 1"))


def measured(command: list[str], stdin: Path | None = None) -> tuple[float, float]:
    """CPU seconds and peak MiB of a command."""
    with (stdin or Path(os.devnull)).open("rb") as given:
        process = subprocess.Popen(command, stdin=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("texts", type=Path, nargs="+")
    parser.add_argument("--memory", default="300MiB")
    options = parser.parse_args()
    print(f"{COLUMNS[0]:20}" + "".join(f"{name:>13}" for name in COLUMNS[1:]))
    with tempfile.TemporaryDirectory() as folder:
        arpa, lmplz = Path(folder) / "model.arpa", shutil.which("lmplz")
        corpuskit = [sys.executable, "-m", "corpuskit.cli", "lm", "train", "-o", str(arpa), "--memory", options.memory]
        (Path(folder) / "few.txt").write_text("a b c\nb c d e f g\n")
        measured([*corpuskit, f"{folder}/few.txt", "--discount-fallback"])
        for text in options.texts:
            for order, prune in MODELS:
                ours = measured([*corpuskit, str(text), "--order", str(order), "--prune", prune])
                size = arpa.stat().st_size / 1e6
                theirs = ["-", "-"]
                if lmplz is not None:
                    how = ["-o", str(order), "--prune", *prune.split(), "-S", options.memory, "-T", folder]
                    theirs = [f"{one:.1f}" for one in measured([lmplz, *how, "--arpa", str(arpa)], text)]
                row = [f"{text.stat().st_size / 1e6:.1f}", str(order), prune, f"{ours[0]:.1f}", f"{ours[1]:.0f}"]
                print(f"{text.name:20}" + "".join(f"{cell:>13}" for cell in [*row, f"{size:.1f}", *theirs]))


if __name__ == "__main__":
    main()
