"""The recipe's `memory` bounds a worker whatever the size of the corpus, and odd documents are like all others."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from corpuskit.cli import main
from corpuskit.store.root import Root

MIB = 1 << 20

RECIPE = """\
name: memory
memory: {memory}MiB
sources:
  web:   {{read: jsonl, path: "{raw}/web-*"}}
  books: {{read: jsonl, path: "{raw}/books-*"}}
steps:
  - minhash: {{keep: [books]}}
"""

WORDS = 256
"""In a document; each word is seven letters and a blank."""


def documents(random: np.random.Generator, words: np.ndarray, count: int) -> np.ndarray:
    """uint64[count, WORDS]: texts, a word being one number."""
    texts = words[random.integers(0, len(words), (count, WORDS))]
    copied = random.random(count) < 0.2
    texts[copied] = texts[random.integers(0, count, copied.sum())]
    edited = np.flatnonzero(random.random(count) < 0.5)
    texts[edited, random.integers(0, WORDS, len(edited))] = words[random.integers(0, len(words), len(edited))]
    # a template: each of these shares half of its words, in one stretch, with the others; and near copies of one text
    same = random.random(count)
    texts[same < 0.1, : WORDS // 2] = words[: WORDS // 2]
    texts[same < 0.02] = words[:WORDS]
    some = np.flatnonzero(same < 0.02)
    texts[some, random.integers(0, WORDS, len(some))] = words[random.integers(0, len(words), len(some))]
    return texts


def generate(folder: Path, size: int, files: int = 4) -> None:
    """JSON lines of about `size` bytes."""
    folder.mkdir()
    random = np.random.default_rng(5)
    letters = random.integers(ord("a"), ord("z") + 1, (30_000, 8), dtype=np.uint8)
    letters[:, 7] = ord(" ")
    words = letters.view(np.uint64)[:, 0]
    head, tail = (np.frombuffer(text, np.uint8) for text in (b'{"text": "', b'"}\n'))
    for number in range(files):
        with (folder / f"{'web' if number % 2 else 'books'}-{number:02d}.jsonl").open("wb") as stream:
            left = size // (8 * WORDS) // files
            while left > 0:
                texts = documents(random, words, min(left, 20_000)).view(np.uint8)
                sides = [np.broadcast_to(side, (len(texts), len(side))) for side in (head, tail)]
                stream.write(np.concatenate([sides[0], texts, sides[1]], axis=1).data)
                left -= len(texts)


BARE = """
import re
import duckdb
import importlib
import corpuskit.run.worker
from corpuskit.core.kinds import kinds
for kind in kinds().values():
    if not kind.body.startswith("corpuskit.loops"):
        importlib.import_module(kind.body.partition(":")[0])
duckdb.connect().execute("SELECT 1")
print(re.search(r"VmData:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""
"""Says how much data a process holds, in KiB, that has imported what a worker imports."""


def peaks(root: Path) -> dict[str, int]:
    """The largest resident memory of each stage, MiB."""
    plan = Root(root).require_plan()
    return {
        name: max(receipt.peak_bytes for receipt in Root(root).receipts(stage)) // MIB
        for name, stage in plan.stages.items()
    }


def build(folder: Path, memory: int, limit: int | None = None) -> Path:
    """Run the recipe with one worker; the system refuses each process more than `limit` bytes of data."""
    path, root = folder / "recipe.yaml", folder / "root"
    path.write_text(RECIPE.format(memory=memory, raw=folder / "raw"))
    command = [sys.executable, "-m", "corpuskit.cli", "run", str(path), "--root", str(root), "--workers", "1"]
    if limit is not None:
        command = ["prlimit", f"--data={limit}", *command]
    ended = subprocess.run(command, capture_output=True, check=False, text=True)
    assert ended.returncode == 0, ended.stderr
    return root


def check_corpus_of(size: int, folder: Path, limit: int | None) -> None:
    """Peaks of a corpus of `size` bytes are below 512 MiB, the interpreter and its libraries included."""
    generate(folder / "raw", size)
    (folder / "warm").mkdir()
    generate(folder / "warm" / "raw", MIB)
    build(folder / "warm", 512)  # compiles the kernels where that is still to be done: it takes memory, once
    found = peaks(build(folder, 512, limit))
    assert {"signatures-web", "buckets-web", "rank", "exact", "bands", "verify", "choose", "duplicates"} <= found.keys()
    assert max(found.values()) <= 512, found


def test_a_worker_holds_no_more_than_the_memory_of_the_recipe(tmp_path: Path) -> None:
    check_corpus_of(600 * MIB, tmp_path, None)


@pytest.mark.soak
def test_a_corpus_three_times_as_large_as_the_memory_that_the_system_allows(tmp_path: Path) -> None:
    """The limit counts address space that is reserved and never touched, hence what a bare worker has comes on top."""
    if not shutil.which("prlimit"):
        pytest.skip("needs prlimit (util-linux)")
    bare = subprocess.run([sys.executable, "-c", BARE], capture_output=True, check=True, text=True)
    check_corpus_of(1500 * MIB, tmp_path, 1024 * int(bare.stdout) + 512 * MIB)


def odd_texts(size: int) -> dict[str, list[str]]:
    """Texts by domain, each of `web` a near or exact copy of the one in its place in `books`; None for none there."""
    random = np.random.default_rng(9)
    words = ["".join(chr(97 + letter) for letter in random.integers(0, 26, 7)) for _ in range(5000)]
    long = " ".join(words[number] for number in random.integers(0, len(words), size // 8))
    scripts = [
        "".join(chr(first + k) for k in random.integers(0, 40, 300)) for first in (0x4E00, 0x0430, 0x0E01, 0x0915)
    ]
    astral = "".join(chr(0x1F300 + k) for k in random.integers(0, 200, 300))
    books = [long, "word", "дом", "日", "?!", *scripts, astral, "ΑΣ ὈΔΥΣΣΕΎΣ"]
    web = [long[9:], "Word.", "ДОМ!", "日 ", "...", *(text[2:] for text in scripts), astral[3:], "ας ὀδυσσεύς"]
    return {"books": books, "web": web}


@pytest.mark.parametrize("size", [MIB, pytest.param(50_000_000, marks=pytest.mark.soak)])
def test_documents_of_any_size_and_script_are_found_with_their_near_copies(tmp_path: Path, size: int) -> None:
    (tmp_path / "raw").mkdir()
    for domain, texts in odd_texts(size).items():
        lines = [json.dumps({"text": text, "url": str(place)}) for place, text in enumerate(texts)]
        (tmp_path / "raw" / f"{domain}-0.jsonl").write_text("\n".join([*lines, '{"text": " "}', '{"text": ""}']) + "\n")
    path, root = tmp_path / "recipe.yaml", tmp_path / "root"
    path.write_text(RECIPE.format(memory=512, raw=tmp_path / "raw"))
    assert main(["run", str(path), "--root", str(root), "--engine", "inline"]) == 0
    left = pq.read_table(root / "corpus", columns=["domain", "text"]).to_pylist()
    texts = odd_texts(size)
    assert sorted(row["text"] for row in left) == sorted([*texts["books"], "..."])  # punctuation alone is never a copy
    kinds = [row["kind"] for row in pq.read_table(root / "duplicates").to_pylist()]
    assert (kinds.count("exact"), kinds.count("near")) == (4, 6)
