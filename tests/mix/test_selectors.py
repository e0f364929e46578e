"""Selectors, the score of DSIR, ESLM's tokens, and what correlations with benchmarks say of texts."""

import csv
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.errors import UsageError
from corpuskit.mix.correlations import concordant_pairs, greedy_fill, perplexity_correlations, predictive
from corpuskit.mix.problem import Infeasible
from corpuskit.mix.selectors import (
    Gaussian,
    GumbelTopK,
    QuantileBand,
    Selector,
    Stepwise,
    Threshold,
    Uniform,
    draws,
    value_at_risk,
)

BERTIN = (536394.99, 662247.50, 919250.87)
SCORES = st.lists(st.floats(1, 1e6), min_size=4, max_size=40, unique=True)


def distinct(scores):
    return np.array(sorted(scores)) + np.arange(len(scores))  # so that no two quartiles meet


# -- BERTIN ------------------------------------------------------------------------------------------------------------


def test_bertin_steps_by_the_width_of_the_quartile():
    found = Stepwise(BERTIN, 1.5e5).keep([5e5, 6e5, 8e5, 1e6])
    assert found == pytest.approx([0.279645, 1, 0.583650, 0.016318], abs=5e-7)
    assert 1.5e5 / (BERTIN[1] - BERTIN[0]) == pytest.approx(1.191871, abs=5e-7)  # what was clipped


def test_a_score_on_a_boundary_belongs_to_the_quartile_below():
    on, above = (Stepwise(BERTIN, 1.5e5).keep(np.array(BERTIN) + shift) for shift in (0, 1e-3))
    assert on == pytest.approx([0.279645, 1, 0.583650], abs=5e-7)
    assert above == pytest.approx([1, 0.583650, 0.016318], abs=5e-7)


def test_bertin_gaussian_around_the_median():
    first, median, third = BERTIN
    found = Gaussian(median).keep([0, first, median, third, 2 * median])
    assert found == pytest.approx([0.624575, 0.773765, 0.78, 0.754327, 0.624575], abs=5e-7)


def test_quartiles_are_those_of_the_scores():
    scores = np.arange(1.0, 102.0)
    found = Stepwise.fit(scores, keep=0.3)
    assert found.boundaries == (26.0, 51.0, 76.0)
    assert found.keep(scores).mean() == pytest.approx(0.3, abs=1e-12)
    assert Gaussian.fit(scores, keep=0.3).median == 51.0


@settings(max_examples=60)
@given(
    st.dictionaries(st.integers(50, 90), st.integers(1, 4), min_size=5),
    st.sampled_from([Stepwise, Gaussian, GumbelTopK, Threshold, QuantileBand]),
    st.integers(1, 9),
)
def test_a_score_of_weight_three_is_three_scores(counts, kind, tenths):
    scores, weights = np.array(list(counts), float), np.array(list(counts.values()))
    try:
        expected = kind.fit(np.repeat(scores, weights), keep=tenths / 10)
    except (UsageError, Infeasible) as error:
        with pytest.raises(type(error)):
            kind.fit(scores, keep=tenths / 10, weights=weights)
        return
    found = kind.fit(scores, keep=tenths / 10, weights=weights)
    assert found.keep(scores) == pytest.approx(expected.keep(scores), rel=1e-9)


def test_quartiles_that_do_not_rise_are_refused():
    with pytest.raises(UsageError, match="do not rise: many scores are equal"):
        Stepwise.fit([5.0] * 10, keep=0.5)


@pytest.mark.parametrize("kind", [Stepwise, Gaussian])
def test_scores_below_0_are_no_perplexities(kind):
    with pytest.raises(UsageError, match=r"of the scores is -\d.*; perplexities are above 0"):
        kind.fit(np.arange(-100.0, 0.0), keep=0.5)


def test_a_curve_that_has_died_out_cannot_keep_all():
    with pytest.raises(Infeasible, match=r"at most 0\.75 of the documents can be kept, not 0\.8"):
        Gaussian.fit([1.0, 1.0, 1.0, 1e6], keep=0.8)


@settings(max_examples=60)
@given(SCORES, st.floats(0.01, 1), st.data())
def test_calibrated_curves_keep_the_share_that_was_asked(scores, keep, data):
    values = distinct(scores)
    weights = np.array(data.draw(st.lists(st.integers(1, 9), min_size=len(values), max_size=len(values))), float)
    heavy = weights.max() > weights.sum() / 4  # a score that is more than a quarter of all, so that quartiles meet
    for kind in (GumbelTopK, Uniform) if heavy else (Stepwise, GumbelTopK, Uniform):
        found = kind.fit(values, keep=keep, weights=weights).keep(values)
        assert ((found >= 0) & (found <= 1)).all()
        assert np.average(found, weights=weights) == pytest.approx(keep, rel=1e-6)


@settings(max_examples=60)
@given(st.lists(st.floats(100, 300), min_size=1, max_size=40), st.floats(0.01, 1))
def test_a_calibrated_gaussian_keeps_the_share_that_was_asked(scores, keep):
    assert Gaussian.fit(scores, keep=keep).keep(scores).mean() == pytest.approx(keep, rel=1e-6)


def test_calibration_bears_scores_far_out():
    scores = np.random.default_rng(0).lognormal(6, 2, 20_000)
    assert Gaussian.fit(scores, keep=0.1).keep(scores).mean() == pytest.approx(0.1, abs=1e-9)


# -- bands and thresholds ----------------------------------------------------------------------------------------------


def kept(selector, scores):
    return {int(score) for score, probability in zip(scores, selector.keep(scores), strict=True) if probability}


@pytest.mark.parametrize(
    ("band", "expected"), [("low", {1, 2, 3, 4, 5}), ("medium", {3, 4, 5, 6, 7}), ("high", {6, 7, 8, 9, 10})]
)
def test_low_medium_and_high_perplexity(band, expected):
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 11.0))
    assert kept(QuantileBand.fit(scores, keep=0.5, band=band), scores) == expected


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=40),
    st.integers(1, 20),
    st.sampled_from(["low", "medium", "high"]),
)
def test_a_band_is_where_the_empirical_distribution_says(scores, twentieths, band):
    values, r = np.array(scores, float), twentieths / 20
    low, high = {"low": (0, r), "medium": (0.5 - r / 2, 0.5 + r / 2), "high": (1 - r, 1)}[band]
    reached = np.array([(values <= value).mean() for value in values])
    expected = (reached > low + 1e-9) & (reached <= high + 1e-9)
    if not expected.any():
        with pytest.raises(Infeasible, match="no document lies in the"):
            QuantileBand.fit(values, keep=r, band=band)
        return
    assert (QuantileBand.fit(values, keep=r, band=band).keep(values) == expected).all()


def test_harmful_text_is_what_its_model_knows_well():
    harmful = np.array([3.0, 5.0, 40.0, 90.0])  # perplexities under a model of harmful text
    assert Threshold(40.0, above=True).keep(harmful).tolist() == [0, 0, 1, 1]
    assert Threshold(40.0, above=False).keep(harmful).tolist() == [1, 1, 1, 0]


def test_a_threshold_can_keep_a_share_of_characters():
    # the best document alone is 10 % of the characters, though a quarter of the documents
    scores, characters = [0.9, 0.8, 0.3, 0.1], [100, 400, 300, 200]
    assert Threshold.fit(scores, keep=0.1, weights=characters) == Threshold(0.9)
    assert Threshold.fit(scores, keep=0.5, weights=characters) == Threshold(0.8)
    assert Threshold.fit(scores, keep=0.5, weights=characters, above=False) == Threshold(0.3, above=False)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.floats(0.01, 1), st.booleans())
def test_no_other_threshold_comes_nearer(scores, keep, above):
    found = Threshold.fit(scores, keep=keep, above=above).keep(scores).mean()
    others = [Threshold(level, above).keep(scores).mean() for level in set(scores)]
    assert abs(found - keep) <= min(abs(other - keep) for other in others) + 1e-12


# -- acceptance --------------------------------------------------------------------------------------------------------


def test_draws_are_even_and_independent_of_the_ids_order():
    numbers = draws(np.arange(200_000) << 20, 0)  # ids of documents differ in their upper bits
    assert np.histogram(numbers, 20, (0, 1))[0] / 10_000 == pytest.approx(1, abs=0.05)
    assert abs(np.corrcoef(numbers, draws(np.arange(200_000) << 20, 1))[0, 1]) < 0.01


@given(st.integers(0, 50), st.integers(0, 3))
def test_the_outcome_does_not_depend_on_the_batch(cut, seed):
    scores, docs = np.linspace(3e5, 2e6, 50), np.arange(50, dtype=np.uint64) * 7919
    selector = Stepwise(BERTIN, 1.5e5)
    parts = [selector.select(scores[part], docs[part], seed=seed) for part in (slice(0, cut), slice(cut, 50))]
    assert (np.concatenate(parts) == selector.select(scores, docs, seed=seed)).all()


def test_documents_are_kept_with_their_probability():
    selector, docs = Threshold(0.0), np.arange(100_000)
    assert selector.select(np.ones(100_000), docs).all()
    assert not selector.select(-np.ones(100_000), docs).any()
    half = GumbelTopK(-math.log(math.log(2)))  # 1 - exp(-exp(-at)) is one half
    assert half.select(np.zeros(100_000), docs).mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("scores", [[1.0, math.nan], [1.0, None], [[1.0]]])
def test_a_document_without_a_score_is_not_dropped_in_silence(scores):
    with pytest.raises(UsageError, match="cannot be selected by their scores"):
        Threshold(0.5).keep(scores)


@pytest.mark.parametrize("keep", [0, -0.1, 1.1, math.nan])
def test_a_share_out_of_range_is_refused(keep):
    with pytest.raises(UsageError, match="it is a share, above 0 and at most 1"):
        Threshold.fit([1.0], keep=keep)


def test_a_selector_of_ones_own_is_a_few_lines():
    class Odd(Selector):
        def keep(self, scores):
            return np.asarray(scores) % 2

        @classmethod
        def fit(cls, scores, *, keep, weights=None):
            return cls()

    assert Odd().select([1, 2, 3], [10, 11, 12]).tolist() == [True, False, True]


# -- DSIR --------------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(0, 5), st.floats(0.1, 400))
def test_gumbel_top_k_keeps_exactly_k(count, seed, spread):
    scores = np.random.default_rng(seed).normal(0, spread, 60)
    docs = np.arange(60, dtype=np.uint64)
    selector = GumbelTopK.exactly(scores, docs, count, seed=seed)
    assert selector.select(scores, docs, seed=seed).sum() == count


def test_gumbel_top_k_samples_by_weight_without_replacement():
    # the probability that a document is among 2 of 3, drawn one after the other by weights 1, 2 and 5
    weights = np.array([1.0, 2.0, 5.0])
    expected = np.zeros(3)
    for first, second in itertools.permutations(range(3), 2):
        chance = weights[first] / 8 * weights[second] / (8 - weights[first])
        expected[[first, second]] += chance
    scores, counts = np.log(weights), np.zeros(3)
    for trial in range(6000):
        docs = np.arange(3, dtype=np.uint64) + 3 * trial
        counts += GumbelTopK.exactly(scores, docs, 2).select(scores, docs)
    assert counts / 6000 == pytest.approx(expected, abs=0.02)


def test_top_k_of_a_number_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="cannot keep 3 of 2 documents"):
        GumbelTopK.exactly([0.0, 0.0], [0, 1], 3)


# -- ESLM --------------------------------------------------------------------------------------------------------------


def test_eslm_keeps_the_tokens_at_or_above_the_value_at_risk():
    risk, mean = value_at_risk([0.1, 0.2, 0.5, 1, 2, 3, 0.05, 0.7, 1.5, 4], 0.2)
    assert risk == 0.1
    assert mean == pytest.approx(1.444444, abs=5e-7)


def test_eslm_without_risk_is_the_mean():
    assert value_at_risk([1.0, 2.0, 6.0], 0)[1] == pytest.approx(3)
    with pytest.raises(UsageError, match="alpha is 1"):
        value_at_risk([1.0], 1)


# -- correlations ------------------------------------------------------------------------------------------------------


def table(path):
    if not path.exists():
        pytest.skip(f"needs {path}")
    with path.open(newline="") as lines:
        header, *rows = csv.reader(lines)
    return header[1:], [row[0] for row in rows], np.array([row[1:] for row in rows], float)


def test_perplexity_correlations_of_the_published_models(shared):
    from scipy.stats import spearmanr

    folder = shared / "mixing" / "perplexity_correlations"
    models, texts, bits = table(folder / "chunked_synthetic_sample_bpb_id.csv")
    others, benchmarks, errors = table(folder / "error.csv")
    assert bits.shape == (263, 90)
    columns = [others.index(model) for model in models]  # the two files have another order
    for benchmark, row in zip(benchmarks, errors[:, columns], strict=True):
        found = perplexity_correlations(bits, row)
        assert found == pytest.approx([spearmanr(text, row).statistic for text in bits], abs=1e-12), benchmark
        # the closed form of the reference, 1 - 6 sum d^2 / (n (n^2 - 1)), ranks ties by place and so differs a little
        ranks, order = (np.argsort(np.argsort(part, axis=-1), axis=-1) for part in (bits, row))
        closed = 1 - 6 * ((ranks - order) ** 2).sum(axis=1) / (90 * (90**2 - 1))
        assert found == pytest.approx(closed, abs=0.01), benchmark
    assert len(texts) == len(found)


def test_without_ties_the_estimate_is_the_closed_form_of_the_paper():
    generator = np.random.default_rng(3)
    bits, errors = generator.random((50, 12)), generator.random(12)
    ranks, order = (np.argsort(np.argsort(part, axis=-1), axis=-1) for part in (bits, errors))
    expected = 1 - 6 * ((ranks - order) ** 2).sum(axis=1) / (12 * 143)
    assert perplexity_correlations(bits, errors) == pytest.approx(expected, abs=1e-12)


def test_a_text_that_all_models_find_alike_says_nothing():
    assert perplexity_correlations([[1, 1, 1], [1, 2, 3], [3, 2, 1]], [0.1, 0.2, 0.3]) == pytest.approx([0, 1, -1])


def test_greedy_fill_gives_the_remainder_to_the_boundary():
    found = greedy_fill(
        dict(zip("abcd", (1, -0.4, -1, -0.8), strict=True)), dict(zip("abcd", (0.4, 0.5, 0.3, 0.6), strict=True))
    )
    assert list(found.weights.values()) == [0.4, 0.5, 0, 0.1]
    assert greedy_fill({"a": 0.1, "b": 0.2}, {"a": 1, "b": 7}).weights == {"a": 0, "b": 1}
    with pytest.raises(Infeasible, match=r"upper bounds sum to 0\.7"):
        greedy_fill({"a": 0.1, "b": 0.2}, {"a": 0.3, "b": 0.4})
    with pytest.raises(UsageError, match="`c` has an estimate or a cap"):
        greedy_fill({"a": 0.1, "b": 0.2}, {"a": 0.3, "b": 0.4, "c": 0.5})


@given(
    st.lists(st.tuples(st.integers(-999, 999), st.integers(1, 99)), min_size=3, max_size=30, unique_by=lambda p: p[0])
)
def test_greedy_fill_is_the_fill_in_descending_order(pairs):
    names = [f"page-{number:02}" for number in range(len(pairs))]
    estimates = dict(zip(names, (value / 1000 for value, _ in pairs), strict=True))
    caps = dict(zip(names, (cap / 50 for _, cap in pairs), strict=True))
    left, expected = 1.0, {}
    for name in sorted(names, key=lambda name: -estimates[name]):
        expected[name] = min(left, caps[name])
        left -= expected[name]
    if left > 1e-12:
        with pytest.raises(Infeasible):
            greedy_fill(estimates, caps)
    else:
        assert greedy_fill(estimates, caps).weights == pytest.approx(expected, abs=1e-12)


def test_preselect_counts_pairs_of_models_in_the_order_of_the_benchmark():
    errors = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    agreeing = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    swapped = [6.0, 5.0, 3.0, 4.0, 2.0, 1.0]
    opposite = agreeing[::-1]
    equal = [6.0, 5.0, 4.0, 4.0, 2.0, 1.0]
    losses = [agreeing, swapped, opposite, equal]
    assert concordant_pairs(losses, errors).tolist() == [15, 14, 0, 14]
    assert predictive(losses, errors).tolist() == [True, False, False, False]


@given(
    st.lists(st.integers(0, 3), min_size=4, max_size=4),
    st.lists(st.integers(0, 3), min_size=4, max_size=4).filter(lambda errors: len(set(errors)) > 1),
)
def test_concordant_pairs_are_what_counting_says(losses, errors):
    pairs = itertools.combinations(range(4), 2)
    expected = sum((losses[a] - losses[b]) * (errors[a] - errors[b]) > 0 for a, b in pairs)
    assert concordant_pairs([losses], errors).tolist() == [expected]


@pytest.mark.parametrize(
    ("bits", "errors", "said"),
    [
        ([[1.0, 2.0, 3.0]], [0.1, 0.2], "do not match"),
        ([[1.0, 2.0]], [0.1, 0.2], "2 models order nothing"),
        ([[1.0, 2.0, 3.0], [1.0, math.nan, 3.0]], [0.1, 0.2, 0.3], "not finite at text 1, model 1"),
        ([[1.0, 2.0, 3.0]], [0.2, 0.2, 0.2], "all models have the same error"),
    ],
)
def test_tables_that_say_nothing_are_refused(bits, errors, said):
    for function in (perplexity_correlations, concordant_pairs):
        with pytest.raises(UsageError, match=said):
            function(bits, errors)
