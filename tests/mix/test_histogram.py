"""Histograms of scores: exact while they can be, the same however parts are merged, and never larger than allowed."""

import contextlib
import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.mix import histogram
from corpuskit.mix.histogram import Histogram

SCORES = st.lists(
    st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.0, 5e-324, -5e-324])
)


def of(scores, weights=None):
    values = np.array(scores, np.float64)
    return Histogram.of(values, np.ones(len(values), np.int64) if weights is None else np.array(weights, np.int64))


def plain(found):
    return found.scores.tobytes(), found.weights.tolist(), found.dropped


@contextlib.contextmanager
def at_most(bins):
    limit, histogram.BINS = histogram.BINS, bins
    try:
        yield
    finally:
        histogram.BINS = limit


def test_few_scores_are_kept_as_they_are():
    found = of([2.0, -0.0, 1 / 3, 0.0, 2.0, -5.5], [1, 2, 3, 4, 5, 6])
    assert found.scores.tolist() == [-5.5, 0.0, 1 / 3, 2.0]
    assert found.weights.tolist() == [6, 6, 3, 6]
    assert found.dropped == 0


@settings(max_examples=200)
@given(SCORES, SCORES, SCORES)
def test_the_order_of_merging_changes_no_bit(one, two, three):
    for bins in (8, histogram.BINS):
        with at_most(bins):
            parts = [of(one), of(two), of(three)]
            whole = plain(of([*one, *two, *three]))
            for first, second, third in itertools.permutations(parts):
                assert plain(first.merge(second).merge(third)) == whole
                assert plain(first.merge(second.merge(third))) == whole


@settings(max_examples=200)
@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.integers(0, 1000)), min_size=1, max_size=60))
def test_bins_are_few_hold_all_weight_and_keep_the_order(rows):
    with at_most(8):
        found = of(*zip(*rows, strict=True))
    assert len(found.scores) <= 8
    assert found.weights.sum() == sum(weight for _, weight in rows)
    assert (np.diff(found.scores) > 0).all()
    scores = np.array([score for score, _ in rows])
    bins = found.binned(scores)
    assert set(bins) == set(found.scores)
    assert (np.diff(bins[np.argsort(scores, kind="stable")]) >= 0).all()
    for score, weight in zip(found.scores, found.weights, strict=True):
        assert weight == sum(given for place, (_, given) in zip(bins, rows, strict=True) if place == score)
    if found.dropped < 52:
        assert (np.abs(bins - scores) <= np.abs(scores) * 2.0 ** (found.dropped - 52) + 1e-300).all()


def test_the_finest_bins_that_fit_are_taken():
    scores = np.arange(8.0, 17.0)  # nine: one too many, and the last bit of 9, 11, 13 and 15 is what goes first
    with at_most(8):
        assert of(scores).scores.tolist() == [8.0, 10.0, 12.0, 14.0, 16.0]
        assert of(scores[:8]).scores.tolist() == scores[:8].tolist()


def test_probabilities_that_crowd_below_one_are_told_apart():
    scores = 1 - np.random.default_rng(0).random(600_000) * 1e-6
    found = of(scores[:300_000]).merge(of(scores[300_000:]))
    assert len(found.scores) <= histogram.BINS
    assert found.weights.sum() == 600_000
    assert found.weights.max() < 60  # of 600,000: the share of a threshold is met to 1 in 10,000
