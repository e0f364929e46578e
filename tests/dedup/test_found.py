"""Faults that a review found, each as the promise that it breaks."""

import itertools
import json
import resource
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from dedup_harness import Corpus, Harness, bucket_keys, generator, parameters, run, shingles

from corpuskit.cli import main
from corpuskit.dedup import examine
from corpuskit.dedup.files import ArrayFile
from corpuskit.dedup.sort import Sorter, merge

SPARE = 128
"""Files that a test lets a process open besides those it has open."""


def template(count, seed):
    """Texts of one template: pairs of one family are similar at 0.8, those of different ones are not."""
    random = generator(seed)
    fixed = [f"fixed{i}" for i in range(40)]
    return [
        " ".join([*fixed, *(f"family{i % 20}x{k}" for k in range(12)), f"own{random.integers(10**6)}"])
        for i in range(count)
    ]


def recipe(folder, texts, steps):
    folder.mkdir()
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (folder / f"{folder.name}.jsonl").write_text(lines)
    path = folder / "recipe.yaml"
    path.write_text(f"name: {folder.name}\nsources:\n  web: {{read: jsonl, path: '{folder}/*.jsonl'}}\nsteps:\n{steps}")
    return path


def build(path, root):
    assert main(["run", str(path), "--root", str(root), "--engine", "inline"]) == 0


def test_finished_documents_are_never_removed_where_a_bucket_keeps_very_many(tmp_path, monkeypatch):
    """The prefix filter pairs finished documents with each other: one is removed, and its new copy stays."""
    old, new = tmp_path / "old", tmp_path / "new"
    build(recipe(old, template(60, 1), "  - clean_chars: {}\n"), old / "root")
    shape = "shingle: {unit: word, n: 1}, threshold: 0.8, bands: 8, rows: 1"
    monkeypatch.setattr(examine, "SCAN", 2)
    build(recipe(new, template(60, 2), f"  - minhash: {{{shape}, against: ['{old}/root']}}\n"), new / "root")
    finished = set(pq.read_table(old / "root" / "corpus")["doc"].to_pylist())
    mine = set(pq.read_table(new / "root" / "files.parquet")["blocks"].combine_chunks().flatten().to_pylist())
    rows = pq.read_table(new / "root" / "duplicates").to_pylist()
    assert rows
    assert not [row for row in rows if row["doc"] in finished], "finished documents were removed"
    assert {row["doc"] >> 20 << 20 for row in rows} <= mine
    assert all(row["kept_root"] for row in rows), "each new text is like a finished one"


def test_components_are_those_of_all_pairs_whatever_the_size_of_a_bucket(tmp_path):
    """Two families in one bucket of 50: beyond `ALL_PAIRS` the second is never compared within itself."""
    fixed = [f"fixed{i}" for i in range(40)]
    texts = [" ".join([*fixed, *(f"c{i // 25}w{k}" for k in range(40)), f"x{i // 25}n{i % 25}"]) for i in range(50)]
    corpus = Corpus({"a": ("a", [list(enumerate(texts, start=1))])})
    params = parameters(
        shingle={"unit": "word", "n": 1}, threshold=0.8, permutations=64, bands=2, rows=1, choose="component"
    )
    keys = bucket_keys(corpus, params)
    assert set.intersection(*keys), "no bucket holds all: this corpus does not test what it should"
    sets = [set(shingles(text, "word", 1)) for text in texts]
    root = list(range(len(texts)))
    for i, j in itertools.combinations(range(len(texts)), 2):
        if keys[i] & keys[j] and len(sets[i] & sets[j]) / len(sets[i] | sets[j]) >= 0.8:
            root = [root[i] if one == root[j] else one for one in root]
    rows, _ = run(tmp_path / "run", corpus, params)
    assert len(rows) == len(texts) - len(set(root))


def with_few_files(body):
    """Run `body` in a process that may open `SPARE` files more than it has."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + SPARE, limits[1]))
    try:
        body()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_files_held_open_do_not_grow_with_the_partitions(tmp_path):
    """`choose` opens two files for each unit of `verify`: 1 TiB of raw files makes 512 units, a process has 1,024."""
    corpus = Corpus({"a": ("a", [list(enumerate(template(20, 3), start=1))])})
    params = parameters(shingle={"unit": "word", "n": 1}, threshold=0.8)
    with_few_files(lambda: Harness(tmp_path / "run", partitions=SPARE, verifiers=SPARE).run(corpus, params))


def test_files_held_open_do_not_grow_with_what_is_sorted(tmp_path):
    values = generator(5).integers(0, 2**63, (SPARE, 1024)).astype(np.uint64)
    found = []

    def sort():
        sorter = Sorter(tmp_path / "sort", 1, np.float64)
        for run_of in values:
            sorter.add(run_of, run_of.astype(np.float64))
        found.extend(block for block, _ in sorter.blocks())

    with_few_files(sort)
    assert (np.concatenate(found) == np.unique(values)).all()


def test_merged_blocks_are_not_crumbs(tmp_path):
    """Each block is worth a look at signatures and files: on average at least an eighth of the room."""
    runs, room = 64, 1 << 14
    for i in range(runs):
        np.save(tmp_path / f"{i}.npy", np.sort(generator(i).integers(0, 2**63, 4096).astype(np.uint64)))
    sizes = [len(block) for block, _ in merge([(ArrayFile(tmp_path / f"{i}.npy"), None) for i in range(runs)], room)]
    assert sum(sizes) == runs * 4096
    assert len(sizes) <= 8 * sum(sizes) // room, f"{len(sizes)} blocks, half of them below {np.median(sizes):.0f}"


def test_the_signatures_are_in_the_index(tmp_path):
    folder = tmp_path / "one"
    build(recipe(folder, template(20, 4), "  - minhash: {}\n"), folder / "root")
    names = [path.stem.partition("-")[2] for path in (folder / "root" / "index" / "signatures").glob("*.npy")]
    assert "signature" in names, sorted(names)
