"""The tools that deduplication is measured with, each a command in a process of its own.

A command reads a folder of JSONL.zst files and leaves deduplicated documents under another folder. Its CPU seconds are
those of the process and of all its children that ended (`os.wait4`); its memory is that of the largest of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from corpuskit.kernels.shingle import Unit

SCRIPTS = Path(__file__).resolve().parent / "peers"


@dataclass(frozen=True)
class Tool:
    """One row of the tables.

    Attributes:
        label: for people.
        arguments: of ours, the parameters of the step `minhash`; of a peer, the script and its options.
        unit, n: its shingles.
    """

    label: str
    arguments: dict[str, object] | list[str]
    unit: Unit
    n: int


OURS = [
    Tool("corpuskit, word 13, 17 x 7", {"shingle": {"unit": "word", "n": 13}}, "word", 13),
    Tool("corpuskit, char 13, 17 x 7", {}, "char", 13),
    Tool(
        "corpuskit, word 13, 9 x 13, unverified",
        {"shingle": {"unit": "word", "n": 13}, "bands": 9, "rows": 13, "verify": "none", "choose": "component"},
        "word",
        13,
    ),
]
PEERS = [
    Tool("datatrove, its defaults: word 5, 14 x 8", ["datatrove_minhash.py"], "word", 5),
    Tool(
        "datatrove, word 13, 9 x 13",
        ["datatrove_minhash.py", "--shingle", "13", "--bands", "9", "--rows", "13"],
        "word",
        13,
    ),
    Tool("text-dedup, word 13", ["text_dedup_minhash.py"], "word", 13),
    Tool("datasketch, word 13, 9 x 13", ["lsh_index.py", "--library", "datasketch"], "word", 13),
    Tool("datasketch, char 13, 9 x 13", ["lsh_index.py", "--library", "datasketch", "--unit", "char"], "char", 13),
    Tool("rensa, word 13, 8 x 16", ["lsh_index.py", "--library", "rensa"], "word", 13),
]


@dataclass(frozen=True)
class Spent:
    """What a command took: CPU seconds (user and system) and bytes of its largest process; its exit status."""

    cpu: float
    peak: int
    wall: float
    status: int


def command(tool: Tool, texts: Path, out: Path, python: Path | None, *, clusters: bool = False) -> list[str]:
    """How to run a tool; writes the recipe for ours. `python` is that of the peers' environment."""
    if isinstance(tool.arguments, dict):
        out.mkdir(parents=True, exist_ok=True)
        source = {"read": "jsonl", "path": str(texts / "*.jsonl.zst"), "columns": {"id": "string"}}
        recipe = {"name": "dedup", "sources": {"corpus": source}, "steps": [{"minhash": tool.arguments}]}
        (out / "recipe.yaml").write_text(json.dumps(recipe))  # JSON is YAML
        program = str(Path(sys.executable).with_name("corpuskit"))
        return [program, "run", str(out / "recipe.yaml"), "--root", str(out / "root"), "--workers", "1"]
    script, *options = tool.arguments
    words = [str(python), str(SCRIPTS / script), str(texts), str(out), *options]
    return [*words, "--clusters"] if clusters else words


def spend(words: list[str], log: Path) -> Spent:
    """Run a command to its end, its output in a file, and say what it took."""
    start = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT, env=environment(words[0]))
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = used.ru_utime + used.ru_stime
    return Spent(seconds, used.ru_maxrss * 1024, time.monotonic() - start, process.returncode)


def last_lines(log: Path) -> str:
    """The end of what a command printed, cut to fit a terminal."""
    return "\n".join(f"    {line[:110]}" for line in log.read_text(errors="replace").splitlines()[-12:])


def environment(program: str) -> dict[str, str]:
    """One thread for each library that would take more; corpuskit's path is not for the peers' Python."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "DAFT_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    kept = {name: value for name, value in os.environ.items() if "corpuskit" in program or name != "PYTHONPATH"}
    return {**kept, **threads, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def kept_documents(tool: Tool, out: Path) -> int:
    """How many documents a tool left."""
    if isinstance(tool.arguments, dict):
        return sum(pq.ParquetFile(path).metadata.num_rows for path in (out / "root" / "corpus").glob("*/*.parquet"))
    paths = [path for path in [out / "kept.parquet", *out.glob("kept/*.parquet")] if path.exists()]
    rows: int = sum(pq.ParquetFile(path).metadata.num_rows for path in paths)
    for path in out.glob("kept/*.arrow"):
        with pa.memory_map(str(path)) as stream:
            rows += pa.ipc.open_stream(stream).read_all().num_rows
    return rows
