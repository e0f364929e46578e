"""Counts and sums of hashed words and pairs agree with plain Python, whatever the text."""

import re
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hostile import PIECES, texts
from hypothesis import example, given
from hypothesis import strategies as st
from kernel_twins import BASE, K1, K2, M, fold, hash_piece

from corpuskit.kernels.ngrams import BUCKETS, ROOM, gram_counts, gram_sums


def buckets(text):
    """The buckets of all words, then those of all pairs."""
    words = [hash_piece(word.encode()) for word in re.findall(r"\w+|[^\w\s]+", text.lower())]
    pairs = [fold((one * BASE + two) % M ^ K1, K2 ^ 2) for one, two in pairwise(words)]
    return np.array([*words, *pairs], np.uint64).astype(object) % BUCKETS if words else np.array([], object)


def counts(texts):
    found = [bucket for text in texts if text for bucket in buckets(text)]
    return np.bincount(np.array(found, np.int64), minlength=BUCKETS)


def column(values, kind=pa.large_string()):  # noqa: B008
    return pa.array(values, kind)


@given(st.lists(texts | st.none(), max_size=5))
@example(
    ["don't STOP -- now!?", "ΟΔΟΣ, Σ'Σ ΑΣ\u0301.", "İİ İ_", "日本語、テキスト", "a" * 63 + "É" + "." * 130, "", None]
)
@example(["".join(PIECES), " ".join(PIECES), "_a_1²Ⅷ\u0661", "é.é.é.é", "x\u0345y\u0307z", "\x1ca\x85b\u2028c"])
def test_counts_equal_python(values):
    assert (gram_counts(column(values)) == counts(values)).all()
    assert (gram_counts(column(values, pa.string())) == counts(values)).all()


@given(st.lists(texts | st.none(), max_size=5), st.integers(0, 9))
def test_sums_are_over_the_counts_of_each_row(values, seed):
    weights = np.random.default_rng(seed).normal(0, 5, BUCKETS)
    sums = gram_sums(column(values), weights)
    for value, found in zip(values, sums, strict=True):
        expected = counts([value])
        if expected.sum():
            assert found == pytest.approx(expected @ weights, rel=1e-9, abs=1e-9)
        else:
            assert np.isnan(found)


@given(st.lists(texts | st.none(), max_size=8), st.integers(0, 8))
def test_rows_do_not_touch_one_another(values, cut):
    whole, parts = column(values), [column(values[:cut]), column(values[cut:])]
    assert (gram_counts(whole) == sum(gram_counts(part) for part in parts)).all()
    weights = np.linspace(-3, 7, BUCKETS)
    together = np.concatenate([gram_sums(part, weights) for part in parts])
    assert gram_sums(whole, weights).tobytes() == together.tobytes()
    assert gram_sums(whole.slice(cut), weights).tobytes() == gram_sums(parts[1], weights).tobytes()


@pytest.mark.parametrize("piece", ["a.", "é.", "İ", "word ", "日 ", "a" * 50 + "Σ "])
@pytest.mark.parametrize("extra", [0, 1, 2])
def test_a_document_of_more_words_than_there_is_room_for(piece, extra):
    values = [piece * (ROOM + extra), "next", (piece + "x ") * (3 * ROOM // 2 + extra)]
    assert (gram_counts(column(values)) == counts(values)).all()
    weights = np.arange(BUCKETS, dtype=np.float64)  # sums of whole numbers are exact
    assert gram_sums(column(values), weights).tolist() == [counts([value]) @ weights for value in values]


def test_a_word_longer_than_many_blocks():
    values = ["A" * 100_000 + " b", "é" * 100_000, "-" * 777 + "Z" * 777]
    assert (gram_counts(column(values)) == counts(values)).all()


def test_buckets_are_even():
    grams = gram_counts(column([" ".join(f"w{number}" for number in range(200_000))]))
    assert grams.sum() == 399_999
    # chi-squared of 10,000 buckets: 9,999 give or take 141
    assert abs(((grams - 40) ** 2 / 40).sum() - 9_999) < 6 * 141
