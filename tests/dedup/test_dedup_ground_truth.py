"""Texts with known pairs, planted and real: similarities are theirs, pairs are found at the rate of the S-curve."""

import json
import math

import numpy as np
import planted
import polars as pl
import pyarrow as pa
import pytest
import zstandard
from dedup_harness import Corpus, Harness, parameters

from corpuskit.dedup.files import ArrayFile
from corpuskit.dedup.sort import lower, upper
from corpuskit.kernels.minhash import sketch
from corpuskit.kernels.shingle import shingle_sets
from corpuskit.steps.lsh import s_curve


def texts_of(shared, domain):
    path = shared / "ground_truth" / f"texts_{domain}.jsonl.zst"
    with zstandard.open(path, "rt", encoding="utf-8") as lines:
        return {(row["file"], row["doc"]): row["text"] for row in map(json.loads, lines)}


def pairs_of(shared, domain, texts):
    pairs = pl.read_parquet(shared / "ground_truth" / f"pairs_{domain}.parquet").to_dicts()
    keyed = [((p["file_a"], str(p["doc_a"])), (p["file_b"], str(p["doc_b"])), p) for p in pairs]
    return [(a, b, p) for a, b, p in keyed if a in texts and b in texts]


PLANTED = "planted"


@pytest.fixture(scope="module")
def known(request):
    """Texts by name and all their pairs, of the domains that a test asks for."""
    if request.param == (PLANTED,):
        texts = planted.texts()
        return texts, planted.pairs(texts)
    shared = request.getfixturevalue("shared")
    texts, pairs = {}, []
    for domain in request.param:
        some = texts_of(shared, domain)
        texts |= some
        pairs += pairs_of(shared, domain, some)
    return texts, pairs


@pytest.mark.parametrize("known", [(PLANTED,), ("c4",), ("stackexchange",)], indirect=True)
def test_exact_similarities_are_those_of_the_ground_truth(known):
    texts, pairs = known
    assert len(pairs) > 5
    names = sorted({name for a, b, _ in pairs for name in (a, b)})
    hashes, offsets = shingle_sets(pa.array([texts[name] for name in names], pa.large_string()), "word", 13)
    sets = {name: hashes[offsets[i] : offsets[i + 1]] for i, name in enumerate(names)}
    for a, b, pair in pairs:
        assert (len(sets[a]), len(sets[b])) == (pair["n_a"], pair["n_b"])
        common = len(np.intersect1d(sets[a], sets[b], assume_unique=True))
        assert (common, len(sets[a]) + len(sets[b]) - common) == (pair["intersection"], pair["union"])


@pytest.mark.parametrize("known", [(PLANTED,), ("c4",)], indirect=True)
def test_no_pair_of_the_ground_truth_survives_that_became_a_candidate(known, tmp_path):
    texts, pairs = known
    names = sorted(texts)
    units = [[(i, texts[names[i]]) for i in range(u, len(names), 4)] for u in range(4)]
    params = parameters(shingle={"unit": "word", "n": 13}, threshold=0.8)
    harness = Harness(tmp_path)
    rows, facts = harness.run(Corpus({"c4": ("c4", units)}), params)
    number = {name: i for i, name in enumerate(names)}
    truth = {(number[a], number[b]): p["jaccard"] for a, b, p in pairs}
    truth |= {(b, a): jaccard for (a, b), jaccard in truth.items()}
    for row in rows:
        if (row["doc"], row["kept_doc"]) in truth:  # too short for 13 words: not in the ground truth
            assert row["jaccard"] == truth[row["doc"], row["kept_doc"]]
        else:
            assert row["kind"] == "exact"
    numbered = np.concatenate([np.load(r.parts["doc"].local()) for r in harness.receipts["signatures:c4"]])
    docs = numbered[np.load(harness.part("rank", "number"))]
    for receipt in harness.receipts["verify"]:
        edges, jaccard = (ArrayFile(receipt.parts[name].local()).read() for name in ("pair", "jaccard"))
        for one, two, j in zip(docs[upper(edges)].tolist(), docs[lower(edges)].tolist(), jaccard.tolist(), strict=True):
            assert truth.get((one, two), 0.0) == j or j < 0.5, (names[one], names[two], j)
    removed = {row["doc"] for row in rows}
    missed = sum(j >= 0.8 and a not in removed and b not in removed for (a, b), j in truth.items()) // 2
    assert missed <= 2, missed
    similar = {doc for (doc, _), j in truth.items() if j >= 0.8}
    assert len(similar) > 100
    assert len(removed & similar) > 40
    assert facts["bands"] * facts["rows"] == 119


@pytest.mark.parametrize("known", [(PLANTED,), ("c4", "stackexchange")], indirect=True)
def test_pairs_become_candidates_at_the_rate_of_the_s_curve(known):
    """Sixteen disjoint groups of permutations, each with its own bands, for pairs in five ranges of similarity."""
    texts, pairs = known
    bands, rows, groups = 4, 7, 16
    one_each = {}  # one pair of a similarity and size: pairs of one cluster are not independent
    for a, b, pair in pairs:
        one_each.setdefault((pair["intersection"], pair["union"]), (a, b, pair["jaccard"]))
    chosen = [entry for entry in one_each.values() if entry[2] < 0.98]
    names = sorted({name for a, b, _ in chosen for name in (a, b)})
    made = sketch(pa.array([texts[name] for name in names], pa.large_string()), "word", 13, bands * rows * groups)
    cut = made.signature.reshape(len(names), groups, bands, rows)
    place = {name: i for i, name in enumerate(names)}
    for low in (0.5, 0.6, 0.7, 0.8, 0.9):
        some = [(place[a], place[b], j) for a, b, j in chosen if low <= j < low + 0.1]
        assert len(some) > 5
        found = sum(int((cut[a] == cut[b]).all(axis=2).any(axis=1).sum()) for a, b, _ in some)
        expected = np.repeat(s_curve(bands, rows, [j for *_, j in some]), groups)
        deviation = math.sqrt((expected * (1 - expected)).sum())
        assert abs(found - expected.sum()) <= 3 * deviation, (low, found, expected.sum(), deviation)
