"""`hash: datasketch` against datasketch itself: its signatures, and what a plain pipeline over them removes."""

import collections
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from datasketch import MinHash, MinHashLSH
from datasketch.hashfunc import sha1_hash32
from hypothesis import given
from hypothesis import strategies as st

import corpuskit
from corpuskit.cli import main
from corpuskit.dedup import reference

sys.path.insert(0, str(Path(__file__).parents[1] / "kernels"))
from hostile import texts
from kernel_twins import shingles, words

UNITS = [("char", 13), ("char", 1), ("char", 3), ("word", 1), ("word", 2), ("word", 13)]

LANGUAGES = [
    "Ὀδυσσεὺς πολύτροπος ΣΟΦΟΣ, ΣΟΦΌΣ. " * 3,
    "Съешь же ещё этих мягких французских булок, да выпей чаю! " * 3,
    "日本語の文章では、単語の間に空白がない。" * 5,
    "हिन्दी में लिखा हुआ एक छोटा सा वाक्य, और उसके बाद दूसरा। " * 3,
    "نص عربي قصير مع تشكيل: بِسْمِ اللَّهِ " * 3,
    "ภาษาไทยไม่มีช่องว่างระหว่างคำ " * 4,
    "İSTANBUL'da ILIK bir gün; DİYARBAKIR'da değil. " * 3,
    "Straße, ẞ, ﬁne ligatures, Ǆ and ǅ, \U00010400 and \U0001e900 " * 3,
    "👩‍👩‍👧 😀😀😀 " * 9,
]


def as_bytes(shingle):
    return (shingle if isinstance(shingle, str) else " ".join(shingle)).encode()


def datasketch_of(text, unit, n, permutations):
    made = MinHash(num_perm=permutations, seed=1, scheme="legacy")
    made.update_batch(sorted({as_bytes(shingle) for shingle in shingles(text, unit, n)}))
    return made


def compare(rows, unit, n, permutations):
    ours = reference.signatures(pa.array(rows, pa.large_string()), unit, n, permutations)
    assert (ours.shape, ours.dtype) == ((len(rows), permutations), np.uint32)
    for row, signature in zip(rows, ours, strict=True):
        theirs = datasketch_of(row, unit, n, permutations).hashvalues
        assert (theirs <= np.iinfo(np.uint32).max).all()
        assert signature.tolist() == theirs.tolist(), (row[:200], unit, n)


@given(st.lists(texts, max_size=4), st.sampled_from(UNITS), st.sampled_from([1, 16, 128]))
def test_signatures_of_hostile_texts_are_those_of_datasketch(rows, kind, permutations):
    compare(rows, *kind, permutations)


@pytest.mark.parametrize(("unit", "n"), [*UNITS, ("char", 200), ("word", 30)])
def test_signatures_in_many_scripts_are_those_of_datasketch(unit, n):
    compare([*LANGUAGES, " ".join(LANGUAGES)], unit, n, 64)


@pytest.mark.parametrize("domain", ["c4", "wikipedia"])
@pytest.mark.parametrize(("unit", "n"), [("char", 13), ("word", 5)])
def test_signatures_of_real_texts_are_those_of_datasketch(shared, domain, unit, n):
    with zstandard.open(shared / "ground_truth" / f"texts_{domain}.jsonl.zst", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line)["text"][:2000] for line in lines]
    compare(rows[:: max(1, len(rows) // 100)], unit, n, 128)


def test_a_text_longer_than_a_block_of_shingles_has_the_signature_of_all_of_them():
    random = np.random.default_rng(5)
    for size in (reference.BLOCK + 12, reference.BLOCK + 13, 3 * reference.BLOCK):
        compare(["".join(random.choice(list("abc déf"), size))], "char", 13, 16)
    compare([" ".join(map(str, random.integers(0, 10**6, 2 * reference.BLOCK)))], "word", 2, 16)


@given(texts, st.integers(1, 7))
def test_words_are_found_whatever_the_pieces_of_the_text(text, piece):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "PIECE", piece)
        assert reference._words(text) == " ".join(words(text))


@pytest.mark.parametrize("size", [1, 54, 55, 56, 57, 63, 64, 65, 118, 119, 120, 128, 1000])
def test_the_hash_of_a_shingle_of_any_length_is_that_of_datasketch(size):
    data = np.arange(3, 3 + size).astype(np.uint8)
    found = reference._sha1(data, 0, size, np.zeros(64, np.uint8), np.zeros(80, np.uint32))
    assert found == sha1_hash32(data.tobytes())


def test_permutations_are_those_of_datasketch():
    ours = np.array(reference.permutation_parameters(300))
    assert np.array_equal(ours, MinHash(num_perm=300, seed=1, scheme="legacy").permutations)


def test_fewer_units_than_n_are_one_shingle_the_whole_normalized_text():
    made = MinHash(num_perm=8, seed=1, scheme="legacy")
    made.update(b"dont stop me now")
    ours = reference.signatures(pa.array(["  Don't stop ME   now!"]), "word", 13, 8)
    assert ours[0].tolist() == made.hashvalues.tolist()


@pytest.mark.parametrize("unit", ["char", "word"])
def test_a_text_that_normalizes_to_nothing_has_the_signature_of_nothing(unit):
    empty = reference.signatures(pa.array(["", "\t\n", "...!?", "___", None]), unit, 1, 4)
    assert empty.tolist() == [[2**32 - 1] * 4] * 5
    assert reference.signatures(pa.array([], pa.string()), unit, 1, 4).shape == (0, 4)


@pytest.mark.parametrize("unit", ["char", "word"])
def test_rows_do_not_know_their_neighbours_or_where_their_array_begins(unit):
    column = pa.chunked_array([["one two three four", None], LANGUAGES]).combine_chunks()
    whole = reference.signatures(column, unit, 3, 32)
    assert np.array_equal(reference.signatures(column.slice(3, 4), unit, 3, 32), whole[3:7])
    assert np.array_equal(reference.signatures(column.cast(pa.large_string()), unit, 3, 32), whole)


# -- the whole pipeline ------------------------------------------------------------------------------------------------

MINHASH = {"hash": "datasketch", "verify": "none", "choose": "component", "bands": 9, "rows": 13}


def built(folder, rows, steps):
    """{url: (doc, text)} of the corpus that a recipe of these steps makes of the texts, by the command line."""
    folder.mkdir()
    raw = folder.parent / "raw.jsonl"
    raw.write_text("".join(json.dumps({"text": text, "url": str(i)}) + "\n" for i, text in enumerate(rows)))
    source = {"read": "jsonl", "path": str(raw), "columns": {"url": "string"}}
    path = folder / "recipe.yaml"
    path.write_text(json.dumps({"name": "reference", "sources": {"web": source}, "steps": steps}))
    assert main(["run", str(path), "--root", str(folder / "root"), "--engine", "inline"]) == 0
    table = corpuskit.open_run(folder / "root").sql("SELECT url, doc, text FROM corpus")
    return {row["url"]: (row["doc"], row["text"]) for row in table.to_pylist()}


def removed_by_datasketch(documents, unit, n):
    """By a plain MinHashLSH and union-find; of a component the longest stays, of these the lowest document id.

    Documents without a shingle are left out: to corpuskit they are never duplicates.
    """
    lsh = MinHashLSH(num_perm=128, params=(MINHASH["bands"], MINHASH["rows"]))
    parent = {}

    def root(url):
        while parent[url] != url:
            parent[url] = url = parent[parent[url]]
        return url

    for url, (_, text) in documents.items():
        sketch = datasketch_of(text, unit, n, 128)
        if not sketch.is_empty():
            parent[url] = url
            for other in lsh.query(sketch):
                parent[root(other)] = root(url)
            lsh.insert(url, sketch)
    components = collections.defaultdict(list)
    for url in parent:
        components[root(url)].append(url)
    order = lambda url: (-len(documents[url][1].encode()), documents[url][0])  # noqa: E731
    return {url for members in components.values() for url in sorted(members, key=order)[1:]}


def compare_removed(folder, rows, unit, n):
    documents = built(folder / "all", rows, [])
    kept = built(folder / "kept", rows, [{"minhash": {**MINHASH, "shingle": {"unit": unit, "n": n}}}])
    assert all(documents[url] == row for url, row in kept.items())
    removed = removed_by_datasketch(documents, unit, n)
    assert removed
    assert documents.keys() - kept.keys() == removed


def generated():
    """Chains in which each text is a small edit of the one before, exact copies, and texts of next to nothing."""
    random = np.random.default_rng(11)
    rows = ["", "...", "!!", "a", "A.", "b", "日本", "日本。"]
    for size in (30, 80, 200, 400):
        for _ in range(8):
            words = [f"{random.choice(['ka', 'Ёж', '日', 'été', 'x'])}{random.integers(500)}" for _ in range(size)]
            for _ in range(10):
                rows += [" ".join(words)] * int(random.integers(1, 3))
                words[random.integers(size)] = "edited"
            rows.append(" ".join(words).upper() + " !")
    return [rows[i] for i in random.permutation(len(rows))]


@pytest.mark.parametrize(("unit", "n"), [("char", 13), ("word", 5)])
def test_a_generated_corpus_loses_what_datasketch_and_union_find_remove(tmp_path, unit, n):
    compare_removed(tmp_path, generated(), unit, n)


@pytest.mark.parametrize(("unit", "n"), [("char", 13), ("word", 5)])
def test_real_texts_lose_what_datasketch_and_union_find_remove(shared, tmp_path, unit, n):
    rows = []
    for name in ("c4-18f-gsa-gov", "c4-18f-gsa-gov-recrawl", "c4-digital-gov-crossposts"):
        with zstandard.open(shared / "c4" / f"{name}.jsonl.zst", "rt", encoding="utf-8") as lines:
            rows += [json.loads(line)["text"] for line in lines]
    compare_removed(tmp_path, [row for row in rows if len(row) < 4000], unit, n)
