"""Shingles, their hashes and signatures agree with plain Python; estimates follow the Jaccard similarity."""

import numpy as np
import pyarrow as pa
import pytest
from hostile import texts
from hypothesis import example, given
from hypothesis import strategies as st
from kernel_twins import jaccard, normalized_hash, shingle_hashes, signature, words

from corpuskit.kernels.minhash import sketch
from corpuskit.kernels.shingle import shingle_sets

units = st.sampled_from(["char", "word"])
lengths = st.sampled_from([1, 2, 3, 5, 7, 8, 13, 16, 17, 40])


def column(values):
    return pa.array(values, pa.large_string())


@given(st.lists(texts, max_size=5), units, lengths)
@example(["_ _ _ _", "a_b", "★★★", "İİ İ", "aΣ bΣ.c"], "word", 2)
@example(["", " ", "x", "日本", "twelve chars", "13 characters"], "char", 13)
def test_sets_equal_python(values, unit, n):
    hashes, offsets = shingle_sets(column(values), unit, n)
    assert hashes.dtype == np.uint64
    assert offsets.tolist()[0] == 0
    for i, value in enumerate(values):
        assert hashes[offsets[i] : offsets[i + 1]].tolist() == sorted(set(shingle_hashes(value, unit, n)))


@given(st.lists(texts, min_size=1, max_size=4), units, lengths, st.sampled_from([0, 1, 2, 5, 100, 128]))
def test_signatures_equal_python(values, unit, n, permutations):
    made = sketch(column(values), unit, n, permutations)
    assert made.signature.tolist() == [signature(value, unit, n, permutations) for value in values]
    assert made.shingles.tolist() == [len(shingle_hashes(value, unit, n)) for value in values]


@given(st.lists(texts, max_size=4), st.integers(0, 2**64 - 1))
def test_the_hash_by_character_is_that_of_the_normalized_text(values, seed):
    assert sketch(column(values), "char", 13, 1, seed).hash.tolist() == [normalized_hash(v, seed) for v in values]


@given(st.lists(texts, min_size=2, max_size=8), units, lengths)
@example(["can't a-b", "cant ab", "CANT, AB"], "word", 1)
def test_equal_hashes_mean_equal_shingle_sets(values, unit, n):
    made = sketch(column(values), unit, n, 4)
    for i, one in enumerate(values):
        for j, two in enumerate(values):
            if (made.hash[i] == made.hash[j]).all():
                assert set(shingle_hashes(one, unit, n)) == set(shingle_hashes(two, unit, n))


def test_every_code_point_of_three_bytes_is_in_a_word_where_python_says_so():
    codes = [code for code in range(0x800, 0x10000) if not 0xD800 <= code < 0xE000]
    values = ["".join(f"a{chr(code)}b{chr(code)}" for code in codes[at : at + 64]) for at in range(0, len(codes), 64)]
    hashes, offsets = shingle_sets(column(values), "word", 1)
    for i, value in enumerate(values):
        assert hashes[offsets[i] : offsets[i + 1]].tolist() == sorted(set(shingle_hashes(value, "word", 1)))


def test_words_of_other_scripts_follow_python():
    values = ["Ωμέγα ΤΈΛΟΣ, τέλος", "हिन्दी में", "日本語のテキスト", "naïve café", "x_y ١٢ ² Ⅷ", "İstanbul"]
    for value in values:
        hashes, _ = shingle_sets(column([value]), "word", 1)
        assert len(hashes) == len(set(words(value)))


@pytest.mark.parametrize(("unit", "n"), [("char", 13), ("word", 13), ("word", 5)])
def test_a_document_longer_than_a_block_of_shingles(unit, n):
    text = " ".join(f"w{i * i % 7919}" for i in range(20_000))
    values = [text, text + " é", "é " + text.replace("w4", "ж")]
    assert sketch(column(values), unit, n, 3).signature.tolist() == [signature(value, unit, n, 3) for value in values]


def test_a_signature_is_of_the_set_of_shingles():
    """Documents of one, two and many distinct shingles that go over several blocks, and once: all bins alike."""
    cases = [("a " * 30_000, "a " * 13), ("ab" * 40_000, "ab" * 7), ("xyz 9 " * 9_000, "xyz 9 " * 4)]
    for many, once in cases:
        made = sketch(column([many, once]), "char", 13, 128).signature
        assert set(shingle_hashes(many, "char", 13)) == set(shingle_hashes(once, "char", 13))
        assert made[0].tolist() == made[1].tolist() == signature(once, "char", 13, 128)


def test_more_bins_than_shingles():
    values = ["one", "two words", "x" * 40, " ".join(f"{i:x}" for i in range(600)), "日本語 " * 30]
    for bins in (1, 7, 1000, 4096):
        made = sketch(column(values), "char", 13, bins).signature.tolist()
        for value, row in zip(values, made, strict=True):
            assert row == signature(value, "char", 13, bins), (value[:20], bins)


def test_a_long_document_whose_bins_are_many():
    """Over a block of distinct shingles leave bins empty: the set of them grows past its first size."""
    text = " ".join(f"{i * 2654435761 % 2**32:08x}" for i in range(1000))
    assert sketch(column([text]), "char", 13, 4096).signature[0].tolist() == signature(text, "char", 13, 4096)


def pairs(a, b, common, trials):
    """Texts of one-letter shingles: pairs of sets of a and b letters, `common` of them shared, all drawn anew."""
    random = np.random.default_rng(a * 1000 + b * 10 + common)
    letters = np.concatenate([np.arange(0x4E00, 0x9FA0), np.arange(0xAC00, 0xD7A4)])
    texts_ = []
    for _ in range(trials):
        drawn = random.choice(letters, a + b - common, replace=False)
        texts_ += ["".join(map(chr, drawn[:a])), "".join(map(chr, drawn[a - common :]))]
    return column(texts_)


def matches(a, b, common, trials, bins):
    """Which places agree: bool[trials, bins]."""
    made = sketch(pairs(a, b, common, trials), "char", 1, bins).signature
    return made[::2] == made[1::2]


SETS = [(1, 1, 1), (1, 2, 1), (5, 5, 4), (5, 10, 5), (40, 40, 32), (40, 60, 40), (200, 200, 160), (200, 1500, 200),
        (200, 200, 190), (1500, 1500, 1000), (1500, 1500, 1400)]  # fmt: skip


@pytest.mark.parametrize(("a", "b", "common"), SETS)
def test_matches_estimate_the_similarity_at_least_as_well_as_permutations(a, b, common):
    trials, bins = 600, 128
    j = common / (a + b - common)
    found = matches(a, b, common, trials, bins).mean(axis=1)
    assert abs(found.mean() - j) <= 4 * found.std(ddof=1) / trials**0.5 + 1e-12, (found.mean(), j)
    binomial = j * (1 - j) / bins
    assert found.var(ddof=1) <= binomial * (1 + 4 * (2 / trials) ** 0.5), (found.var(ddof=1), binomial)


@pytest.mark.parametrize(("bands", "rows"), [(17, 7), (9, 13)])
@pytest.mark.parametrize(("a", "b", "common"), [(40, 40, 36), (200, 200, 178), (200, 200, 160), (1500, 1500, 1333)])
def test_bands_catch_what_theory_says(a, b, common, bands, rows):
    trials = 1000
    j = common / (a + b - common)
    equal = matches(a, b, common, trials, 128)[:, : bands * rows]
    found = equal.reshape(trials, bands, rows).all(axis=2).any(axis=1).mean()
    theory = 1 - (1 - j**rows) ** bands
    # small sets are drawn without replacement within a round, which shifts the curve by some hundredths
    slack = 0.05 if a < 1000 else 0.01
    assert abs(found - theory) <= slack + 4 * (theory * (1 - theory) / trials) ** 0.5, (found, theory)


def test_sets_without_a_common_shingle_do_not_match():
    """Bins that one filled in the first round and the other in a late one included."""
    for a, b in ((1, 1), (1, 1500), (5, 200), (1500, 1500)):
        assert not matches(a, b, 0, 300, 128).any()


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


def test_bin_and_value_of_a_shingle_hash_are_even_and_independent():
    text = " ".join(f"{i * 2654435761 % 2**32:08x}" for i in range(120_000))
    hashes, _ = shingle_sets(column([text]), "char", 13)
    for bit in range(64):
        ones = int(((hashes >> np.uint64(bit)) & np.uint64(1)).sum())
        assert abs(ones - len(hashes) / 2) < 5 * (len(hashes) / 4) ** 0.5, bit
    bins = ((hashes & np.uint64(2**32 - 1)) * np.uint64(128)) >> np.uint64(32)
    cells = np.bincount((bins * np.uint64(64) + (hashes >> np.uint64(58))).astype(np.int64), minlength=128 * 64)
    expected = len(hashes) / len(cells)
    chi_square = ((cells - expected) ** 2 / expected).sum()
    assert abs(chi_square - len(cells)) < 5 * (2 * len(cells)) ** 0.5
