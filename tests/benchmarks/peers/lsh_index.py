"""Deduplication as a short script does it: MinHash and the LSH index of a library, JSONL.zst in and Parquet out.

python lsh_index.py IN OUT --library datasketch|rensa [--unit word|char] [--clusters]

Thirteen words or characters of the lower-cased text; 128 permutations; 9 bands of 13 rows, which is datasketch's own
optimum for a threshold of 0.8 (rensa: 8 bands of 16). A document joins the cluster of every earlier one that shares a
bucket, and only the first document of a cluster is kept. `--clusters` also writes OUT/clusters.json: the document kept
of each document's cluster.
"""

import argparse
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from reading import Clusters, documents

PERMUTATIONS = 128
BANDS, ROWS = 9, 13
WORDS = re.compile(r"\w+")


def shingles(text: str, unit: str) -> set[str]:
    """Distinct shingles; the whole text where it is shorter than one."""
    parts = WORDS.findall(text.lower()) if unit == "word" else " ".join(text.lower().split())
    joint = " " if unit == "word" else ""
    return {joint.join(parts[i : i + 13]) for i in range(max(1, len(parts) - 12))}


class Datasketch:
    """`MinHash.update_batch` and `MinHashLSH`."""

    def __init__(self) -> None:
        from datasketch import MinHashLSH

        self.index = MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, ROWS))

    def earlier(self, number: int, found: set[str]) -> list[int]:
        """Documents before this one that share a bucket with it; then adds it."""
        from datasketch import MinHash

        signature = MinHash(PERMUTATIONS)
        signature.update_batch([shingle.encode() for shingle in found])
        candidates = self.index.query(signature)
        self.index.insert(number, signature, check_duplication=False)
        return candidates


class Rensa:
    """`RMinHash` and `RMinHashLSH`, whose bands must divide the permutations: 8 bands of 16 rows come closest."""

    def __init__(self) -> None:
        from rensa import RMinHashLSH

        self.index = RMinHashLSH(threshold=0.8, num_perm=PERMUTATIONS, num_bands=8)

    def earlier(self, number: int, found: set[str]) -> list[int]:
        """Documents before this one that share a bucket with it; then adds it."""
        from rensa import RMinHash

        signature = RMinHash(num_perm=PERMUTATIONS, seed=42)
        signature.update(list(found))
        candidates = self.index.query(signature)
        self.index.insert(number, signature)
        return candidates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", choices=["datasketch", "rensa"], required=True)
    parser.add_argument("texts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--unit", choices=["word", "char"], default="word")
    parser.add_argument("--clusters", action="store_true")
    options = parser.parse_args()
    index = Datasketch() if options.library == "datasketch" else Rensa()
    found = list(documents(options.texts))
    clusters = Clusters(len(found))
    for number, (_, text) in enumerate(found):
        for other in index.earlier(number, shingles(text, options.unit)):
            clusters.join(number, other)
    kept = [entry for number, entry in enumerate(found) if clusters.find(number) == number]
    options.out.mkdir(parents=True, exist_ok=True)
    table = pa.table({"id": [name for name, _ in kept], "text": [text for _, text in kept]})
    pq.write_table(table, options.out / "kept.parquet", compression="zstd")
    if options.clusters:
        names = {name: found[clusters.find(number)][0] for number, (name, _) in enumerate(found)}
        (options.out / "clusters.json").write_text(json.dumps(names))


if __name__ == "__main__":
    main()
