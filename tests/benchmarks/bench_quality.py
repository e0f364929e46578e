"""What deduplication finds and what it should not have: pairs of known exact Jaccard similarity, threshold 0.8.

Run it by hand: `python tests/benchmarks/bench_quality.py --peers /path/to/python`. The documents are those of the
ground truth of the development data, whose pairs of at least 0.5 (distinct 13-word shingles) are all known within a
domain; texts are found by their SHA-256. Every tool gets one file of all documents, and is judged by two things only:
which documents it kept, and which kept document stands for a removed one (ours: the witness in `duplicates/`; a peer:
the document kept of its cluster).

- found: of the known pairs in a range of similarity, the share of which at least one document was removed: all that
  a pair can ask of a greedy choice, whose two documents need not be each other's witness. Tools with other shingles
  are asked about the same pairs.
- joined: of the known pairs of at least 0.8, the share with one kept document for both. Peers only: ours claims no
  cluster.
- right: of the removed documents, the share whose similarity with the kept one is at least 0.8, by the tool's own
  shingles (words are runs of word characters, characters those of the normalized text), and how many are below 0.5.
- right in cluster: the same over all pairs of a cluster, which is what a cluster claims. Peers only.

Last comes the share of known pairs that share a bucket of our bands, beside what theory says (1 - (1 - J^rows)^bands).
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import dedup_corpus
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dedup_tools import OURS, PEERS, Tool, command, last_lines, spend

from corpuskit.kernels.minhash import sketch
from corpuskit.kernels.shingle import shingle_sets
from corpuskit.steps.lsh import caught

THRESHOLD = 0.8
RANGES = [(0.8, 0.9), (0.9, 0.95), (0.95, 1.01), (0.8, 1.01)]
TRUTH = dedup_corpus.DATA / "ground_truth"
RECORD_BITS = 20
"""Low bits of a document id of ours: the record's number in its file."""


@dataclass(frozen=True)
class Truth:
    """Documents and what is known of them: texts, and (row, row, Jaccard) of every pair of at least 0.5."""

    texts: list[str]
    pairs: list[tuple[int, int, float]]


def read(domains: Iterable[str]) -> Truth:
    """The ground truth of these domains; ends the program where a text is missing."""
    found = {hashlib.sha256(text.encode()).hexdigest(): text for text in dedup_corpus.texts()}
    texts: list[str] = []
    pairs: list[tuple[int, int, float]] = []
    for domain in domains:
        rows = pq.read_table(TRUTH / f"docs_{domain}.parquet", columns=["file", "doc", "sha256"]).to_pylist()
        missing = sum(row["sha256"] not in found for row in rows)
        if missing:
            raise SystemExit(f"{domain}: {missing} of {len(rows)} texts of the ground truth were not found")
        number = {(row["file"], str(row["doc"])): len(texts) + i for i, row in enumerate(rows)}
        texts += [found[row["sha256"]] for row in rows]
        for pair in pq.read_table(TRUTH / f"pairs_{domain}.parquet").to_pylist():
            one, two = (number[pair[f"file_{end}"], str(pair[f"doc_{end}"])] for end in "ab")
            pairs.append((one, two, pair["jaccard"]))
    return Truth(texts, pairs)


def stands_for(tool: Tool, out: Path, count: int) -> list[int]:
    """The kept document that stands for each: itself where it was kept."""
    result = list(range(count))
    if isinstance(tool.arguments, dict):
        for row in pq.read_table(out / "root" / "duplicates").to_pylist():
            result[row["doc"] % (1 << RECORD_BITS)] = row["kept_doc"] % (1 << RECORD_BITS)
        kept = pq.read_table(out / "root" / "corpus", columns=["doc", "id"]).to_pylist()
        assert all(row["doc"] % (1 << RECORD_BITS) == int(row["id"]) == result[int(row["id"])] for row in kept)
        assert len(kept) == sum(result[i] == i for i in range(count))
    else:
        for name, first in json.loads((out / "clusters.json").read_text()).items():
            result[int(name)] = int(first)
    return result


def similarities(truth: Truth, pairs: list[tuple[int, int]], tool: Tool) -> np.ndarray:
    """Exact Jaccard similarity of each pair, by the shingles of a tool; those of the ground truth must be the same."""
    texts = truth.texts
    rows = sorted({row for pair in pairs for row in pair})
    place = {row: i for i, row in enumerate(rows)}
    hashes, ends = shingle_sets(pa.array([texts[row] for row in rows], pa.large_string()), tool.unit, tool.n)
    sets = [hashes[begin:end] for begin, end in itertools.pairwise(ends.tolist())]
    result = np.ones(len(pairs))
    for i, (one, two) in enumerate(pairs):
        a, b = sets[place[one]], sets[place[two]]
        if texts[one] != texts[two]:
            common = len(np.intersect1d(a, b, assume_unique=True))
            result[i] = common / max(1, len(a) + len(b) - common)
    if (tool.unit, tool.n) == ("word", 13):
        known = {frozenset(pair): jaccard for *pair, jaccard in truth.pairs}
        assert all(known.get(frozenset(pair), exact) == exact for pair, exact in zip(pairs, result, strict=True))
    return result


def right(truth: Truth, pairs: list[tuple[int, int]], tool: Tool) -> str:
    """The share of pairs of at least the threshold, of how many, and how many are below 0.5."""
    if not pairs:
        return "      none"
    exact = similarities(truth, pairs, tool)
    return f"{(exact >= THRESHOLD).mean():6.3f} of {len(pairs):6,}, {int((exact < 0.5).sum()):6,} < .5"


def judge(tool: Tool, truth: Truth, texts: Path, python: Path | None) -> None:
    """Run a tool and print its row."""
    with tempfile.TemporaryDirectory(dir=texts.parent) as name:
        spent = spend(command(tool, texts, Path(name), python, clusters=True), texts.parent / "log.txt")
        if spent.status:
            print(f"{tool.label:40}  failed:\n{last_lines(texts.parent / 'log.txt')}", flush=True)
            return
        kept = stands_for(tool, Path(name), len(truth.texts))
    known = [[(a, b) for a, b, jaccard in truth.pairs if low <= jaccard < high] for low, high in RANGES]
    found = [np.mean([kept[a] != a or kept[b] != b for a, b in pairs]) if pairs else np.nan for pairs in known]
    removed = right(truth, [(row, first) for row, first in enumerate(kept) if row != first], tool)
    joined, within = "     -", "-"
    if not isinstance(tool.arguments, dict):
        joined = f"{sum(kept[a] == kept[b] for a, b in known[-1]) / max(1, len(known[-1])):6.3f}"
        within = right(truth, in_clusters(kept), tool)
    print(
        f"{tool.label:40}  {'  '.join(f'{share:6.3f}' for share in found)}  {joined}  {removed}  {within}", flush=True
    )


def in_clusters(kept: list[int]) -> list[tuple[int, int]]:
    """All pairs of documents for which the same kept document stands."""
    members = defaultdict(list)
    for row, first in enumerate(kept):
        members[first].append(row)
    return [pair for cluster in members.values() for pair in itertools.combinations(cluster, 2)]


def s_curve(truth: Truth, bands: int, rows: int) -> None:
    """Print the share of known pairs that share a bucket beside theory, one pair for each two lengths and similarity.

    Pairs of one cluster are not independent of each other: the deviation is that of independent pairs, at the least.
    """
    pairs = {(len(truth.texts[a]), len(truth.texts[b]), jaccard): (a, b, jaccard) for a, b, jaccard in truth.pairs}
    chosen = sorted(pairs.values())
    names = sorted({row for a, b, _ in chosen for row in (a, b)})
    place = {row: i for i, row in enumerate(names)}
    made = sketch(pa.array([truth.texts[row] for row in names], pa.large_string()), "word", 13, bands * rows)
    cut = made.signature.reshape(len(names), bands, rows)
    print(f"\nPairs that share a bucket of {bands} x {rows}, and theory (standard deviation)")
    for low in np.arange(0.5, 1.0, 0.05):
        some = [(place[a], place[b], j) for a, b, j in chosen if low <= j < low + 0.05]
        if some:
            found = np.mean([(cut[a] == cut[b]).all(axis=1).any() for a, b, _ in some])
            theory = np.array([caught(bands, rows, j) for *_, j in some])
            deviation = np.sqrt((theory * (1 - theory)).sum()) / len(some)
            where = f"{low:.2f} to {low + 0.05:.2f}  {len(some):6,} pairs"
            print(f"  {where}  {found:.3f}  {theory.mean():.3f} ({deviation:.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domains", nargs="+", default=["c4", "commoncrawl", "stackexchange"])
    parser.add_argument("--peers", type=Path, help="a Python that can import the other tools")
    options = parser.parse_args()
    if not TRUTH.exists():
        print(f"nothing to measure: {TRUTH} is not here")
        return
    truth = read(options.domains)
    size = sum(len(text.encode()) for text in truth.texts) / 1e6
    counts = [sum(low <= jaccard < high for *_, jaccard in truth.pairs) for low, high in RANGES]
    print(", ".join(options.domains), end=": ")
    print(f"{len(truth.texts):,} documents, {size:.1f} MB; {len(truth.pairs):,} pairs of at least 0.5")
    ranges = "[.8,.9) [.9,.95)  >=.95    >=.8  joined"
    print(f"{'found':40} {ranges}  {'right: removed and kept':32} right: in one cluster")
    print(f"{'pairs known':40}  {'  '.join(f'{count:6,}' for count in counts)}")
    with tempfile.TemporaryDirectory() as name:
        texts = Path(name) / "texts"
        dedup_corpus.write(truth.texts, texts, file_bytes=1 << 40)
        for tool in [*OURS, *(PEERS if options.peers else [])]:
            judge(tool, truth, texts, options.peers)
    s_curve(truth, 17, 7)


if __name__ == "__main__":
    main()
