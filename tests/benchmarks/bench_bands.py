"""Bands, sketch filter and choice on synthetic signatures: CPU time a document, memory, bytes on disk.

    python tests/benchmarks/bench_bands.py --documents 20_000_000 --bands 17 --rows 7

Nothing is mocked: units of `--each` documents get the parts that stage `signatures` writes, with signatures drawn at
random, and the real stages `rank`, `exact`, `bands`, `verify` (with `verify: sketch`, so that no text is needed) and
`choose` run on them, each in this process. One document in ten is a near copy of an earlier one (a quarter of these of
one of the first thousand, which makes buckets of hundreds of members), whose signature agrees with it in 95 % of its
places.

CPU seconds are user and system time of this process; the peak is that of resident memory, after each stage. The time to
draw the signatures and to write their parts is not in the figures; that to hash bands and group them is.
"""

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from numba import njit

from corpuskit.core.kinds import kinds, load
from corpuskit.core.work import Receipt, Work
from corpuskit.dedup.kinds import Compared, Source
from corpuskit.dedup.signatures import LEADING_BITS, band_keys, grouped
from corpuskit.store.local import LocalStore
from tests.core.builder import committed

PERMUTATIONS = 128


@njit(cache=True)
def draw(first, signature):
    """Signature i of document first + i, a function of its number alone."""
    for i in range(len(signature)):
        number = np.uint64(first + i)
        chance = hashed(number, np.uint64(1))
        origin = number
        if number and chance % np.uint64(10) == 0:
            few = (chance >> np.uint64(10)) % np.uint64(4) == 0
            origin = (chance >> np.uint64(20)) % (min(number, np.uint64(1000)) if few else number)
        for j in range(signature.shape[1]):
            own = origin != number and hashed(number, np.uint64(1000 + j)) % np.uint64(100) < 5
            signature[i, j] = hashed(number if own else origin, np.uint64(5000 + j)) >> np.uint64(32)


@njit(cache=True)
def hashed(value, salt):
    """splitmix64."""
    z = value * np.uint64(0x9E3779B97F4A7C15) + salt * np.uint64(0xD1342543DE82EF95)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class Bench:
    """Runs stages on parts in a folder."""

    def __init__(self, folder, options):
        self.folder, self.options = folder, options
        self.memory = options.memory << 20
        self.receipts = {"signatures:s": []}
        params = {
            "unit": "word", "n": 13, "permutations": PERMUTATIONS, "threshold": 0.8, "bands": options.bands,
            "rows": options.rows, "scope": "global", "hash": "corpuskit", "verify": "sketch", "choose": "priority",
        }  # fmt: skip
        self.spec = Compared(params, (Source("s", "s", 1),))

    def signatures(self):
        """Write the parts; CPU seconds to hash and group the bands."""
        total = 0.0
        each = self.options.each
        signature = np.empty((each, PERMUTATIONS), np.uint32)
        for first in range(0, self.options.documents, each):
            count = min(each, self.options.documents - first)
            draw(first, signature[:count])
            doc = np.arange(first, first + count, dtype=np.uint64)
            lengths = (hashed_array(doc, 7) % np.uint64(50_000) + np.uint64(200)).astype(np.uint32)
            exact = np.stack([hashed_array(doc, 8), hashed_array(doc, 9)], axis=1)
            arrays = {"doc": doc, "bytes": lengths, "hash": exact[:, 0].copy(), "signature": signature[:count]}
            start = time.process_time()
            keys = np.empty((count, self.options.bands), np.uint64)
            band_keys(signature[:count], self.options.rows, np.uint64(0), keys)
            for name, values, times in (("exact", exact, 1), ("band", keys.reshape(-1, 1), self.options.bands)):
                found, row, start_of = grouped(values, np.arange(count), times, LEADING_BITS)
                arrays[f"{name}_key"] = found if times == 1 else found.reshape(-1)
                arrays[f"{name}_row"], arrays[f"{name}_start"] = row, start_of
            total += time.process_time() - start
            parts = {}
            for name, values in arrays.items():
                path = self.folder / f"{first}-{name}.npy"
                np.save(path, values)
                parts[name] = committed(name, path, len(values))
            self.receipts["signatures:s"].append(Receipt("s", first, str(first), "", parts, {}, {}, [], 0, 0, 0))
        return total

    def run(self, name, units, needs):
        """Run all units of a stage; CPU seconds."""
        start = time.process_time()
        self.receipts[name] = []
        for unit in range(units):
            scratch = self.folder / name / str(unit)
            scratch.mkdir(parents=True)
            work = Work(
                store=LocalStore(self.folder), stage=name, spec=self.spec, unit=unit, units=units,
                key=f"{name}{unit}", inputs=[], memory=self.memory, batch_bytes=1 << 20, scratch=scratch,
                receipts_of=self.receipts.__getitem__, needs={need: need for need in ("signatures:s", *needs)},
            )  # fmt: skip
            work.needs |= {"docs:s": "signatures:s", "buckets:s": "signatures:s"}
            load(kinds()[name].body)(work)
            parts = {n: committed(n, path, rows, p) for n, (path, p, rows) in work.pending.items()}
            self.receipts[name].append(Receipt(name, unit, work.key, "", parts, {}, work.facts, [], 0, 0, 0))
        return time.process_time() - start


def hashed_array(values, salt):
    """`hashed` of uint64[n]."""
    return _hashed_array(values, np.uint64(salt))


@njit(cache=True)
def _hashed_array(values, salt):
    result = np.empty(len(values), np.uint64)
    for i in range(len(values)):
        result[i] = hashed(values[i], salt)
    return result


def peak():
    """Peak resident memory of this process, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(options, report):
    """All stages on one set of signatures."""
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    bench = Bench(folder, options)
    bench.spec.minhash["verify"] = "sketch"
    # the documents' part is only named: nothing reads texts
    try:
        seconds = {"hash bands": bench.signatures()}
        for receipt in bench.receipts["signatures:s"]:
            receipt.parts["docs"] = receipt.parts["doc"]
        report("signatures", seconds["hash bands"])
        units = options.units
        for name, count, needs in (
            ("rank", 1, ()),
            ("exact", units, ("rank",)),
            ("bands", units, ("rank", "exact")),
            ("verify", units, ("rank", "exact", "bands")),
            ("choose", 1, ("rank", "exact", "bands", "verify")),
        ):
            seconds[name] = bench.run(name, count, needs)
            report(name, seconds[name])
        facts = bench.receipts["choose"][0].facts
        disk = sum(path.stat().st_size for path in folder.rglob("*.npy"))
        print(
            f"  candidates {facts['candidates']:,}, similar {facts['similar']:,}, rounds {facts['rounds']}, "
            f"removed {sum(e['near'] for e in facts['by_domain']):,}; "
            f"disk {disk / options.documents:.0f} bytes a document"
        )
    finally:
        shutil.rmtree(folder)


def main():
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--bands", type=int, default=17)
    parser.add_argument("--rows", type=int, default=7)
    parser.add_argument("--memory", type=int, default=1024, help="the budget, MiB")
    parser.add_argument("--each", type=int, default=100_000, help="documents of a unit of signatures")
    parser.add_argument("--units", type=int, default=4, help="partitions")
    parser.add_argument("--folder", help="where to work; about 1,000 bytes a document")
    options = parser.parse_args()
    quiet = argparse.Namespace(**{**vars(options), "documents": 2000})
    measure(quiet, lambda *_: None)  # compiles
    print(f"{options.documents:,} documents, {options.bands} bands x {options.rows} rows, budget {options.memory} MiB")

    def report(name, seconds):
        print(
            f"  {name:12} {seconds / options.documents * 1e9:7.0f} ns a document   peak {peak():6.0f} MiB", flush=True
        )

    measure(options, report)


if __name__ == "__main__":
    main()
