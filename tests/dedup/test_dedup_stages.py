"""The five stages against brute force: what is removed, by which witness, and that nothing else decides it."""

import hashlib

import pytest
from dedup_harness import Corpus, Harness, generator, oracle, parameters, promises, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpuskit.dedup import bands, examine

WORDS = [f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "Ёж", "日", "été", "x") for b in ("ra", "so", "ti", "9", "ß", "_")]


def make(draws, sources=2, units=2):
    """Documents spread over sources and units; ids are shuffled against the order of the files."""
    made = {f"s{i}": (f"d{i}", [[] for _ in range(units)]) for i in range(sources)}
    for i, (text, source) in enumerate(draws):
        _, held = made[f"s{source % sources}"]
        held[i % units].append(((i * 2654435761 + 97) % 2**64, text))
    return Corpus(made)


@st.composite
def corpora(draw):
    """Families of edited copies (so that a~b~c with a!~c occurs), exact copies, templates and hostile small texts."""
    random = generator(draw(st.integers(0, 2**32)))
    draws = []
    for _ in range(draw(st.integers(1, 4))):
        base = list(random.choice(WORDS, draw(st.sampled_from([3, 12, 40, 80]))))
        for _ in range(draw(st.integers(1, 12))):
            text = " ".join(base)
            draws.append(
                (
                    draw(st.sampled_from([text, text.upper() + " !", " " + text, text.replace("_", "")])),
                    draw(st.integers(0, 2)),
                )
            )
            for _ in range(draw(st.integers(0, 4))):
                base[random.integers(len(base))] = random.choice(WORDS)
    odd = st.sampled_from(["", " ", "...", "a", "A.", "Σ", "ας", "ΑΣ", "日本", "can't", "cant", "_ _", "one"])
    draws += draw(st.lists(st.tuples(odd, st.integers(0, 2)), max_size=8))
    return make(draws, draw(st.integers(1, 3)), draw(st.integers(1, 3)))


recipes = st.builds(
    parameters,
    shingle=st.sampled_from(
        [{"unit": "char", "n": 5}, {"unit": "char", "n": 13}, {"unit": "word", "n": 2}, {"unit": "word", "n": 13}]
    ),
    threshold=st.sampled_from([0.3, 0.5, 0.8, 1.0]),
    permutations=st.sampled_from([16, 128]),
    scope=st.sampled_from(["global", "domain"]),
    keep=st.sampled_from([[], ["d1"], ["d2", "d0"]]),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    corpora(),
    recipes,
    st.sampled_from([2, 3, 128]),
    st.sampled_from([0, 1024]),
    st.sampled_from([0, 2, 1024]),
    st.sampled_from([1, 128]),
)
def test_brute_force_agrees(tmp_path, corpus, params, all_pairs, star, scan, representatives):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands, "ALL_PAIRS", all_pairs)
        patch.setattr(bands, "STAR", star)
        patch.setattr(bands, "REPRESENTATIVES", representatives)
        patch.setattr(examine, "SCAN", scan)
        rows, facts = run(tmp_path / "run", corpus, params)
    assert rows == oracle(corpus, params)
    promises(corpus, params, rows)
    counted = sum(entry["exact"] + entry["near"] for entry in facts["by_domain"])
    assert counted == len(rows) == sum((c["size"] - 1) * c["clusters"] for c in facts["clusters"])
    assert facts["candidates"] == facts["ruled_out"] + facts["compared"]


def chain():
    """a ~ b ~ c with a !~ c, and b longest only under the domain order."""
    words = [f"w{i}" for i in range(100)]
    a, b, c = words[:90], words[5:95], words[10:100]
    return Corpus({"x": ("x", [[(1, " ".join(a)), (3, " ".join(c))]]), "y": ("y", [[(2, " ".join(b))]])})


def test_a_chain_keeps_both_ends_unless_the_middle_has_priority(tmp_path):
    shape = {"shingle": {"unit": "word", "n": 1}, "threshold": 0.85, "bands": 64, "rows": 2}
    rows, _ = run(tmp_path / "ends", chain(), parameters(**shape, keep=["x"]))
    assert [(row["doc"], row["kept_doc"]) for row in rows] == [(2, 3)]
    rows, _ = run(tmp_path / "middle", chain(), parameters(**shape, keep=["y"]))
    assert [(row["doc"], row["kept_doc"]) for row in rows] == [(1, 2), (3, 2)]


def template_corpus(count):
    """A template with a variable part: one bucket of almost all, which falls into several clusters."""
    random = generator(7)
    fixed = [f"fixed{i}" for i in range(60)]
    draws = []
    for i in range(count):
        # a slow drift: neighbours are similar, far ones are not
        own = [f"drift{(i // 4 + k) % 150}" for k in range(30)] + [
            f"own{random.integers(40)}" for _ in range(random.integers(1, 9))
        ]
        draws.append((" ".join(fixed + own), i % 3))
    return make(draws, 3, 2)


def test_buckets_larger_than_the_cap_are_as_if_all_pairs_were_compared(tmp_path):
    corpus = template_corpus(420)
    # few permutations: estimates are rough, so that the walk errs and rounds have to correct it
    params = parameters(shingle={"unit": "word", "n": 1}, threshold=0.8, permutations=24, keep=["d2"])
    rows, facts = run(tmp_path / "run", corpus, params)
    harness = Harness(tmp_path / "again")
    harness.run(corpus, params)
    assert max(receipt.facts["largest"] for receipt in harness.receipts["bands"]) > bands.ALL_PAIRS
    assert facts["rounds"] > 1
    assert rows == oracle(corpus, params)
    promises(corpus, params, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examine, "SCAN", 3)
        by_prefix, prefix_facts = run(tmp_path / "prefix", corpus, params)
    assert by_prefix == rows
    assert prefix_facts["rounds"] > 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands, "ALL_PAIRS", 10_000)
        everything, all_facts = run(tmp_path / "all", corpus, params)
    assert everything == rows
    assert all_facts["rounds"] == 1
    assert facts["candidates"] < all_facts["candidates"]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_partitions_memory_and_batches_change_no_byte(tmp_path):
    corpus, params = template_corpus(200), parameters(shingle={"unit": "word", "n": 2}, threshold=0.6)
    results, parts = set(), {}
    ways = [(1, 1, 1 << 30), (8, 4, 1 << 26), (8, 4, 1 << 14)]
    for i, (partitions, verifiers, memory) in enumerate(ways):
        harness = Harness(tmp_path / str(i), partitions, verifiers, memory, 1 << (10 + i))
        _, facts = harness.run(corpus, params)
        results.add((digest(harness.part("choose", "removed")), str(facts)))
        for stage in ("signatures:s0", "exact", "bands", "verify"):
            written = [digest(part.local()) for r in harness.receipts[stage] for part in r.parts.values()]
            parts.setdefault((stage, partitions), []).append(written)
    assert len(results) == 1
    for (stage, partitions), written in parts.items():
        if partitions == 8:
            assert written[0] == written[1], f"{stage}: other bytes with less memory"


def test_the_order_of_units_and_sources_changes_nothing(tmp_path):
    corpus, params = template_corpus(240), parameters(shingle={"unit": "word", "n": 1}, keep=["d1"])
    turned = Corpus({name: (domain, units[::-1]) for name, (domain, units) in reversed(corpus.sources.items())})
    assert run(tmp_path / "a", corpus, params)[0] == run(tmp_path / "b", turned, params)[0]


def test_several_sources_may_share_a_domain(tmp_path):
    text = " ".join(f"w{i}" for i in range(50))
    corpus = Corpus({"a": ("web", [[(5, text)]]), "b": ("web", [[(4, text + " end")]]), "c": ("books", [[(3, text)]])})
    rows, facts = run(tmp_path / "run", corpus, parameters(scope="domain"))
    assert [(row["doc"], row["kept_doc"], row["domain"]) for row in rows] == [(5, 4, "web")]
    assert facts["by_domain"] == [{"domain": "web", "kept_domain": "web", "exact": 0, "near": 1}]


def test_a_copy_of_a_removed_document_gets_its_witness(tmp_path):
    words = [f"word{i}" for i in range(100)]
    corpus = Corpus(
        {"a": ("a", [[(1, " ".join(words)), (2, " ".join(words[:99])), (3, " ".join(words[:99]).upper())]])}
    )
    rows, facts = run(tmp_path / "run", corpus, parameters())
    assert [(row["doc"], row["kept_doc"], row["kind"]) for row in rows] == [(2, 1, "near"), (3, 1, "exact")]
    assert rows[0]["jaccard"] == rows[1]["jaccard"] < 1
    assert facts["clusters"] == [{"size": 3, "clusters": 1}]


def test_nothing_at_all_and_units_without_documents(tmp_path):
    rows, facts = run(tmp_path / "none", Corpus({"a": ("a", [])}), parameters())
    assert (rows, facts["candidates"], facts["precision"]) == ([], 0, None)
    rows, _ = run(tmp_path / "empty", Corpus({"a": ("a", [[], [(1, ""), (2, "")], []])}), parameters())
    assert rows == []
