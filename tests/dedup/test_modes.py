"""What `verify`, `choose`, `scope` and the presets mean, and the step `exact`: all against plain Python."""

import json

import pyarrow.parquet as pq
import pytest
from dedup_harness import Corpus, generator, oracle, parameters, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_twins import normalize

from corpuskit.cli import main
from corpuskit.dedup import bands, examine

WORDS = [f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "Ёж", "日", "été", "x") for b in ("ra", "so", "ti", "9", "ß", "_")]


def families(seed, count=4, size=10, words=30):
    """Families in which each text is an edit of the one before it, upper-case copies, and texts of nothing."""
    random = generator(seed)
    units = {f"s{i}": [[], []] for i in range(3)}
    number = 0
    for _ in range(count):
        base = list(random.choice(WORDS, words))
        for _ in range(size):
            text = " ".join(base)
            for copy in (text, text.upper() + " !")[: 1 + (random.random() < 0.2)]:
                units[f"s{random.integers(3)}"][random.integers(2)].append(((number * 2654435761 + 97) % 2**64, copy))
                number += 1
            for _ in range(random.integers(0, 5)):
                base[random.integers(words)] = random.choice(WORDS)
    units["s0"][0] += [(2**63, ""), (2**63 + 1, " .")]
    return Corpus({name: (f"d{name[1]}", held) for name, held in units.items()})


def small_limits(patch, all_pairs, star, scan, representatives):
    """Limits beyond which buckets are large, so low that these small corpora reach them."""
    patch.setattr(bands, "ALL_PAIRS", all_pairs)
    patch.setattr(bands, "STAR", star)
    patch.setattr(bands, "REPRESENTATIVES", representatives)
    patch.setattr(examine, "SCAN", scan)


shapes = {
    "shingle": st.sampled_from([{"unit": "char", "n": 5}, {"unit": "word", "n": 1}, {"unit": "word", "n": 3}]),
    "threshold": st.sampled_from([0.4, 0.7, 0.9]),
    "permutations": st.sampled_from([24, 64]),
    "scope": st.sampled_from(["global", "domain"]),
    "keep": st.sampled_from([[], ["d1"], ["d2", "d0"]]),
}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    params=st.builds(parameters, **shapes, verify=st.sampled_from(["none", "sketch", "exact"])),
    all_pairs=st.sampled_from([2, 5, 32]),
    star=st.sampled_from([0, 8, 1024]),
    scan=st.sampled_from([0, 2, 1024]),
    representatives=st.sampled_from([1, 128]),
)
def test_by_priority_every_way_to_verify_is_as_if_all_pairs_were_compared(
    tmp_path, seed, params, all_pairs, star, scan, representatives
):
    corpus = families(seed)
    with pytest.MonkeyPatch.context() as patch:
        small_limits(patch, all_pairs, star, scan, representatives)
        rows, facts = run(tmp_path / "run", corpus, params)
    assert rows == oracle(corpus, params)
    assert facts["candidates"] == facts["ruled_out"] + facts["compared"]
    if params["verify"] == "none":
        assert facts["precision"] in (1, None)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    params=st.builds(
        parameters, **shapes, verify=st.sampled_from(["none", "sketch", "exact"]), choose=st.just("component")
    ),
    all_pairs=st.sampled_from([2, 5, 32]),
    star=st.sampled_from([0, 8, 1024]),
    representatives=st.sampled_from([1, 128]),
)
def test_components_are_those_of_all_pairs_however_large_the_buckets(
    tmp_path, seed, params, all_pairs, star, representatives
):
    corpus = families(seed)
    with pytest.MonkeyPatch.context() as patch:
        small_limits(patch, all_pairs, star, 1024, representatives)
        rows, facts = run(tmp_path / "run", corpus, params)
    assert rows == oracle(corpus, params)
    assert facts["rounds"] == 1


@pytest.mark.parametrize("preset", ["slimpajama", "fineweb", "high_recall"])
@pytest.mark.parametrize("hash_", ["corpuskit", "datasketch"])
def test_the_presets_remove_what_their_bands_and_threshold_say(tmp_path, preset, hash_):
    corpus = families(11, words=60)
    params = parameters(preset=preset, hash=hash_)
    rows, facts = run(tmp_path / "run", corpus, params)
    assert rows == oracle(corpus, params)
    assert {row["kind"] for row in rows} == {"near", "exact"}
    assert (facts["bands"], facts["rows"]) == (params["bands"], params["rows"])


def test_a_chain_goes_as_a_whole_by_component_alone(tmp_path):
    """a ~ b ~ c, a !~ c, and a is the first: c goes only where chains count, and nobody ever compared it with a."""
    words = [f"w{i}" for i in range(100)]
    texts = [(1, " ".join(words[:92])), (2, " ".join(words[6:95])), (3, " ".join(words[14:100]))]
    corpus = Corpus({"x": ("x", [texts])})
    shape = {"shingle": {"unit": "word", "n": 1}, "threshold": 0.85, "bands": 64, "rows": 2}
    rows, _ = run(tmp_path / "priority", corpus, parameters(**shape))
    assert [(row["doc"], row["kept_doc"]) for row in rows] == [(2, 1)]
    rows, _ = run(tmp_path / "component", corpus, parameters(**shape, choose="component"))
    assert [(row["doc"], row["kept_doc"], row["jaccard"]) for row in rows] == [(2, 1, 86 / 95), (3, 1, None)]


# -- the step `exact` ----------------------------------------------------------------------------------------------

RECIPE = """\
name: {name}
sources:
  web:   {{read: jsonl, path: "{raw}/web.jsonl"}}
  books: {{read: jsonl, path: "{raw}/books.jsonl"}}
"""


def write(raw, domain, texts):
    (raw / f"{domain}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


def build(folder, raw, steps):
    """Run a recipe of these steps over web and books in a root of its own."""
    folder.mkdir()
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(name=folder.name, raw=raw) + steps)
    assert main(["run", str(path), "--root", str(folder / "root"), "--engine", "inline"]) == 0
    return folder / "root"


def published(root, folder):
    return pq.read_table(root / folder).sort_by("doc").to_pylist()


def all_documents(folder, raw):
    """Every document with its id: what a build without any step keeps."""
    rows = published(build(folder, raw, "steps: []\n"), "corpus")
    return [(row["doc"], row["text"], row["domain"]) for row in rows]


def exact_oracle(documents, keep, scope):
    """Copy -> the document that stays."""
    place = lambda one: (keep.index(one[2]) if one[2] in keep else len(keep), -len(one[1].encode()), one[0])  # noqa: E731
    first, copies = {}, {}
    for doc, text, domain in sorted(documents, key=place):
        key = (normalize(text), domain if scope == "domain" else "")
        if key[0]:
            copies[doc] = first.setdefault(key, doc)
    return {doc: kept for doc, kept in copies.items() if doc != kept}


@pytest.fixture
def raw(tmp_path):
    """Copies within and across domains, by case and punctuation too; near copies; nothing but punctuation."""
    folder = tmp_path / "raw"
    folder.mkdir()
    random = generator(3)
    plain = [word for word in WORDS if "ß" not in word]  # its upper case is another word
    texts = [" ".join(random.choice(plain, 40)) for _ in range(30)]
    near = [text.rsplit(" ", 1)[0] + " edited and longer" for text in texts[:6]]
    write(folder, "web", [*texts[:20], *(text.upper() + "!" for text in texts[:8]), "...", "?!", *near])
    write(folder, "books", [*texts[10:], *(f"  {text} " for text in texts[2:6]), "...", texts[29]])
    return folder


@pytest.mark.parametrize(("keep", "scope"), [([], "global"), (["books"], "global"), (["web"], "domain")])
def test_exact_alone_removes_equal_normalized_texts(tmp_path, raw, keep, scope):
    documents = all_documents(tmp_path / "all", raw)
    root = build(tmp_path / "exact", raw, f"steps:\n  - exact: {{keep: {json.dumps(keep)}, scope: {scope}}}\n")
    copies = exact_oracle(documents, keep, scope)
    assert copies
    rows = published(root, "duplicates")
    assert {row["doc"]: row["kept_doc"] for row in rows} == copies
    assert {(row["kind"], row["jaccard"], row["kept_root"], row["kept_dropped_by"]) for row in rows} == {
        ("exact", 1.0, None, None)
    }
    domain = {doc: domain for doc, _, domain in documents}
    assert all((row["domain"], row["kept_domain"]) == (domain[row["doc"]], domain[row["kept_doc"]]) for row in rows)
    assert {row["doc"] for row in published(root, "corpus")} == domain.keys() - copies.keys()


def test_minhash_behind_exact_says_which_witnesses_left(tmp_path, raw):
    documents = all_documents(tmp_path / "all", raw)
    steps = (
        "steps:\n  - exact: {keep: [web], scope: domain}\n"
        "  - minhash: {shingle: {unit: word, n: 1}, threshold: 0.8, keep: [books]}\n"
    )
    root = build(tmp_path / "both", raw, steps)
    copies = exact_oracle(documents, ["web"], "domain")
    left = {domain: [] for domain in ("web", "books")}
    for doc, text, domain in documents:
        if doc not in copies:
            left[domain].append((doc, text))
    corpus = Corpus({domain: (domain, [held]) for domain, held in left.items()})
    near = oracle(corpus, parameters(shingle={"unit": "word", "n": 1}, threshold=0.8, keep=["books"]))
    gone = {row["doc"] for row in near}
    rows = published(root, "duplicates")
    assert sorted(row["doc"] for row in rows) == sorted(copies.keys() | gone)
    assert [row for row in rows if row["doc"] in gone] == [row | {"kept_dropped_by": None} for row in near]
    dropped_by = {row["doc"]: (row["kept_doc"], row["kept_dropped_by"]) for row in rows if row["doc"] in copies}
    assert dropped_by == {doc: (kept, "minhash" if kept in gone else None) for doc, kept in copies.items()}
    assert {rule for _, rule in dropped_by.values()} == {"minhash", None}
    assert {row["doc"] for row in published(root, "corpus")} == {doc for doc, *_ in documents} - copies.keys() - gone


def written(root):
    """The stages that hold documents, without their keys; the corpus, which is published, is not among them."""
    return sorted({path.parts[-3].rpartition("-")[0] for path in root.glob("stages/*/parts/*-docs.arrow")})


def test_no_document_is_written_twice_where_exact_only_decides(tmp_path, raw):
    exact = "steps:\n  - exact: {keep: [web]}\n"
    minhash = "  - minhash: {shingle: {unit: word, n: 1}, threshold: 0.8}\n  - holdout: {tokens: 100, seed: 1}\n"
    edit = "  - ../same.py:same: {}\n"  # changes no text, but might: it asks for one more writing
    (tmp_path / "same.py").write_text("from corpuskit import step\n@step.edit\ndef same(batch):\n    return batch\n")
    once = build(tmp_path / "once", raw, exact + minhash)
    twice = build(tmp_path / "twice", raw, exact + edit + minhash)
    assert written(once) == ["filter-books", "filter-web"]
    assert written(twice) == ["before-minhash-books", "before-minhash-web", "filter-books", "filter-web"]
    for folder in ("corpus", "holdout", "duplicates"):
        assert published(once, folder) == published(twice, folder)
    assert published(once, "holdout")
