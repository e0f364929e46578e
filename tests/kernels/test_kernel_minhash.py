"""Shingles, their hashes and signatures agree with plain Python; estimates follow the Jaccard similarity."""

import numpy as np
import pyarrow as pa
import pytest
from hostile import compiled, texts
from hypothesis import example, given
from hypothesis import strategies as st
from kernel_twins import jaccard, normalized_hash, shingle_hashes, signature, words

from corpuskit.kernels.minhash import permutation_parameters, sketch
from corpuskit.kernels.shingle import shingle_sets

units = st.sampled_from(["char", "word"])
lengths = st.sampled_from([1, 2, 3, 5, 7, 8, 13, 16, 17, 40])


def column(values):
    return pa.array(values, pa.large_string())


@compiled
@given(st.lists(texts, max_size=5), units, lengths)
@example(["_ _ _ _", "a_b", "★★★", "İİ İ", "aΣ bΣ.c"], "word", 2)
@example(["", " ", "x", "日本", "twelve chars", "13 characters"], "char", 13)
def test_sets_equal_python(values, unit, n):
    hashes, offsets = shingle_sets(column(values), unit, n)
    assert hashes.dtype == np.uint64
    assert offsets.tolist()[0] == 0
    for i, value in enumerate(values):
        assert hashes[offsets[i] : offsets[i + 1]].tolist() == sorted(set(shingle_hashes(value, unit, n)))


@compiled
@given(st.lists(texts, min_size=1, max_size=4), units, lengths, st.sampled_from([1, 5, 128]))
def test_signatures_equal_python(values, unit, n, permutations):
    made = sketch(column(values), unit, n, permutations)
    parameters = permutation_parameters(permutations)
    assert made.signature.tolist() == [signature(value, unit, n, parameters) for value in values]
    assert made.shingles.tolist() == [len(shingle_hashes(value, unit, n)) for value in values]


@compiled
@given(st.lists(texts, max_size=4), st.integers(0, 2**64 - 1))
def test_the_hash_by_character_is_that_of_the_normalized_text(values, seed):
    assert sketch(column(values), "char", 13, 1, seed).hash.tolist() == [normalized_hash(v, seed) for v in values]


@compiled
@given(st.lists(texts, min_size=2, max_size=8), units, lengths)
@example(["can't a-b", "cant ab", "CANT, AB"], "word", 1)
def test_equal_hashes_mean_equal_shingle_sets(values, unit, n):
    made = sketch(column(values), unit, n, 4)
    for i, one in enumerate(values):
        for j, two in enumerate(values):
            if (made.hash[i] == made.hash[j]).all():
                assert set(shingle_hashes(one, unit, n)) == set(shingle_hashes(two, unit, n))


def test_words_of_other_scripts_follow_python():
    values = ["Ωμέγα ΤΈΛΟΣ, τέλος", "हिन्दी में", "日本語のテキスト", "naïve café", "x_y ١٢ ² Ⅷ", "İstanbul"]
    for value in values:
        hashes, _ = shingle_sets(column([value]), "word", 1)
        assert len(hashes) == len(set(words(value)))


def test_a_document_longer_than_a_block_of_shingles():
    text = " ".join(f"w{i * i % 7919}" for i in range(20_000))
    for unit, n in (("char", 13), ("word", 13), ("word", 5)):
        made = sketch(column([text, text + " é"]), unit, n, 3)
        parameters = permutation_parameters(3)
        assert made.signature[0].tolist() == signature(text, unit, n, parameters)
        assert made.signature[1].tolist() == signature(text + " é", unit, n, parameters)


@pytest.mark.parametrize("unit", ["char", "word"])
def test_estimates_are_within_binomial_error(unit):
    words_ = [f"word{i}" for i in range(900)]
    values, exact = [" ".join(words_)], []
    for cut in (20, 60, 120, 300):
        values.append(" ".join(words_[cut:] + [f"other{i}" for i in range(cut)]))
        exact.append(jaccard(values[0], values[-1], unit, 13))
    signatures = sketch(column(values), unit, 13, 1024).signature
    for i, j in enumerate(exact, 1):
        estimate = (signatures[0] == signatures[i]).mean()
        assert abs(estimate - j) < 5 * (j * (1 - j) / 1024) ** 0.5, (estimate, j)


def test_no_collision_of_shingle_hashes_in_a_million():
    text = " ".join(f"{i * 2654435761 % 2**32:08x}" for i in range(120_000))
    hashes, _ = shingle_sets(column([text]), "char", 13)
    assert len(hashes) == len({text[i : i + 13] for i in range(len(text) - 12)})
