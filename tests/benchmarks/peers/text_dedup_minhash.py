"""MinHash deduplication by text-dedup's own command, JSONL.zst in and the Arrow files out that it writes.

python text_dedup_minhash.py IN OUT [--clusters]

Thirteen words, threshold 0.8, 128 permutations, one process; its bands are those that its optimum gives.
`--clusters` also writes OUT/clusters.json: the document kept of each document's cluster.
"""

import argparse
import json
import pickle
import subprocess
import sys
from pathlib import Path

from reading import documents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clusters", action="store_true")
    options = parser.parse_args()
    words = ["--path", "json", "--data_files", str(options.texts / "*.jsonl.zst"), "--split", "train"]
    words += ["--cache_dir", str(options.out / "cache"), "--output", str(options.out / "kept"), "--column", "text"]
    words += ["--ngram", "13", "--min_length", "0", "--threshold", "0.8", "--num_perm", "128", "--num_proc", "1"]
    words += ["--debug"] if options.clusters else []
    subprocess.run([sys.executable, "-m", "text_dedup.minhash", *words], check=True)
    if options.clusters:
        joined = pickle.loads((options.out / "kept" / "uf.pkl").read_bytes())
        names = [name for name, _ in documents(options.texts)]
        found = {name: names[joined.find(number)] for number, name in enumerate(names)}
        (options.out / "clusters.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
