"""MinHash deduplication by datatrove's four stages, JSONL.zst in and Parquet out, in one process.

python datatrove_minhash.py IN OUT [--shingle WORDS] [--bands B] [--rows R] [--clusters]

The defaults are datatrove's: five words as its tokenizer for English makes them (spaCy), 14 buckets of 8 hashes.
`--clusters` also writes OUT/clusters.json: the document kept of each document's cluster.
"""

import argparse
import json
from pathlib import Path

import pyarrow.parquet as pq
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import ParquetWriter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shingle", type=int, default=5)
    parser.add_argument("--bands", type=int, default=14)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--clusters", action="store_true")
    options = parser.parse_args()
    config = MinhashConfig(n_grams=options.shingle, num_buckets=options.bands, hashes_per_bucket=options.rows)
    out = {name: str(options.out / name) for name in ("signatures", "buckets", "removed", "kept", "dropped")}

    def read() -> JsonlReader:
        return JsonlReader(str(options.texts), glob_pattern="*.jsonl.zst")

    def run(name: str, tasks: int, *steps: object) -> None:
        logs = str(options.out / "logs" / name)
        LocalPipelineExecutor(list(steps), tasks=tasks, workers=1, logging_dir=logs).run()

    run("signatures", 1, read(), MinhashDedupSignature(out["signatures"], config=config))
    run("buckets", config.num_buckets, MinhashDedupBuckets(out["signatures"], out["buckets"], config=config))
    cluster = MinhashDedupCluster(out["buckets"], out["removed"], config=config, save_cluster_id=options.clusters)
    run("cluster", 1, cluster)
    dropped = ParquetWriter(out["dropped"]) if options.clusters else None
    keep = MinhashDedupFilter(out["removed"], exclusion_writer=dropped, load_cluster_ids=options.clusters)
    run("filter", 1, read(), keep, ParquetWriter(out["kept"]))
    if options.clusters:
        kept, dropped_rows = rows(options.out / "kept"), rows(options.out / "dropped")
        first = {cluster: name for name, cluster in kept if cluster != -1}
        found = {name: name for name, _ in kept} | {name: first[cluster] for name, cluster in dropped_rows}
        (options.out / "clusters.json").write_text(json.dumps(found))


def rows(folder: Path) -> list[tuple[str, int]]:
    """(id, cluster) of the documents of a folder; -1 where there is no other in the cluster."""
    tables = [pq.ParquetFile(path).read(["id", "metadata"]).to_pylist() for path in folder.glob("*.parquet")]
    return [(row["id"], row["metadata"]["minhash_cluster_id"]) for table in tables for row in table]


if __name__ == "__main__":
    main()
