"""Runs stages in a process to which the system refuses more data than the memory of its units, and an overhead.

`python -m tests.dedup.limited CASE FOLDER`: ends with an error where a case takes more.
"""

import argparse
import re
import resource
import sys
from pathlib import Path

import numpy as np

from corpuskit.core.work import Receipt, Work
from corpuskit.dedup.kinds import Banded
from corpuskit.dedup.signatures import buckets
from corpuskit.store.local import LocalStore
from corpuskit.store.receipts import WORKER_RECEIPT_BYTES
from corpuskit.store.root import Root
from tests.benchmarks.bench_bands import PERMUTATIONS, Bench, draw
from tests.core.builder import committed

sys.path.insert(0, str(Path(__file__).parent))
import dedup_harness

MEMORY = 64 << 20
"""What units are told that they have."""

OVERHEAD = 64 << 20
"""What a process may take besides: what allocators keep, threads, and buffers of libraries."""

TEXTS = 12
"""Times the largest document that is held besides: its batch, the copy that is read, its normalized text."""


def limit(more: int = 0) -> None:
    """From here on, the process gets `MEMORY`, `OVERHEAD` and `more` bytes of data beside what it has."""
    here = int(re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (here + MEMORY + OVERHEAD + more,) * 2)


def compared(folder: Path) -> None:
    """`rank`, `exact`, `bands`, `verify` and `choose` of documents whose bands are ten times the memory."""
    options = argparse.Namespace(documents=2000, each=1000, bands=17, rows=7, memory=MEMORY >> 20)
    for documents in (2000, 10 * MEMORY // (17 * 48)):
        here = folder / str(documents)
        here.mkdir()
        options.documents, options.each = documents, documents // 20
        bench = Bench(here, options)
        bench.signatures()
        for receipt in bench.receipts["signatures:s"]:
            receipt.parts["docs"] = receipt.parts["doc"]
        if documents > 2000:  # kernels are compiled
            limit()
        done: list[str] = []
        for name, units in (("rank", 1), ("exact", 2), ("bands", 2), ("verify", 2), ("choose", 1)):
            bench.run(name, units, tuple(done))
            done.append(name)


def banded(folder: Path) -> None:
    """`buckets` of one unit whose entries are ten times the memory."""
    for documents in (1000, 10 * MEMORY // (17 * 24)):
        path, shingles = folder / f"{documents}-signature.npy", folder / f"{documents}-shingles.npy"
        signature = np.lib.format.open_memmap(path, "w+", np.uint32, (documents, PERMUTATIONS))
        for first in range(0, documents, 10_000):
            draw(first, signature[first : first + 10_000])
        del signature
        np.save(shingles, np.ones(documents, np.uint32))
        named = {"signature": path, "shingles": shingles}
        parts = {name: committed(name, file, documents) for name, file in named.items()}
        receipt = Receipt("signatures", 0, "a", "", parts, {}, {}, [], 0, 0, 0)
        scratch = folder / f"scratch-{documents}"
        scratch.mkdir()
        work = Work(
            store=LocalStore(folder), stage="buckets", spec=Banded(17, 7, "global", "d"), unit=0, units=1, key="a",
            inputs=[], memory=MEMORY, batch_bytes=1 << 20, scratch=scratch,
            receipts_of={"signatures": [receipt]}.__getitem__, needs={"signatures": "signatures"},
        )  # fmt: skip
        if documents > 1000:
            limit()
        buckets(work)
        found = np.load(work.pending["band_row"][0], mmap_mode="r")
        assert len(found) == 17 * documents


def pair(folder: Path) -> None:
    """All stages of two documents whose shingle sets are ten times the memory."""
    size = 10 * MEMORY // 16
    random = np.random.default_rng(1)
    letters = random.integers(97, 123, size, np.uint8)
    letters[random.integers(0, size, size // 6)] = 32
    text = letters.tobytes().decode()
    params = dedup_harness.parameters(shingle={"unit": "char", "n": 13}, threshold=0.8)
    for number, one in enumerate((text[:1000], text)):
        if number:
            limit(TEXTS * size)
        corpus = dedup_harness.Corpus({"s": ("d", [[(1, one)], [(2, one[9:] + "!")]])})
        removed, facts = dedup_harness.run(folder / str(number), corpus, params, memory=MEMORY)
        assert (len(removed), facts["compared"]) == (1, 1)
        assert removed[0]["jaccard"] > 0.99


def receipts(folder: Path) -> None:
    """A worker reads the receipts of 20,000 units, twice."""
    from corpuskit.core.checksum import with_sum
    from corpuskit.core.plan import Stage, Unit

    part = {"file": "x", "rows": 1, "bytes": 1, "digest": "0" * 64, "sums": "0" * 800, "publish": None}
    receipt = {
        "label": "one", "books": {}, "facts": {}, "inputs": [], "versions": {}, "seconds": 1.0, "cpu_seconds": 1.0,
        "peak_bytes": 1, "parts": {f"part{number}": part for number in range(8)},
    }  # fmt: skip
    stage = Stage("signatures", "signatures", {}, {}, {}, "k")
    stage.units = [Unit(f"{number:016x}", "one", [], "", 1) for number in range(20_000)]
    base = folder / "stages" / stage.folder
    for name in ("receipts", "parts"):
        (base / name).mkdir(parents=True)
    (base / "parts" / "x").write_bytes(b"x")
    for unit in stage.units:
        (base / "receipts" / f"{unit.key}.json").write_bytes(with_sum(receipt | {"key": unit.key}))
    stage.made = Banded(1, 1, "global", "d")
    root = Root(folder, WORKER_RECEIPT_BYTES)
    limit(-MEMORY)  # the overhead is enough
    found = root.receipts(stage)
    for _ in range(2):
        assert sum(one.parts["part3"].rows for one in found) == 20_000
    assert found[19_999].key == stage.units[-1].key


if __name__ == "__main__":
    {"compared": compared, "banded": banded, "pair": pair, "receipts": receipts}[sys.argv[1]](Path(sys.argv[2]))
