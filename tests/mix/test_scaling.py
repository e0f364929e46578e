"""Scaling laws against published numbers and the published fit's own runs."""

import csv

import pytest

from corpuskit.errors import UsageError
from corpuskit.mix.problem import Bucket, Mixture
from corpuskit.mix.scaling import DataConstrainedLaw, StepLaw

LAW = DataConstrainedLaw()


def test_losses_of_the_paper_to_the_last_digit():
    assert LAW.loss(6.34e9, 242e9, 25e9) == pytest.approx(2.2256440889984477, rel=1e-15)
    assert LAW.loss(8.67e9, 178e9, 25e9) == pytest.approx(2.2269634075087867, rel=1e-15)


@pytest.mark.parametrize(
    ("epochs", "worth"),
    [(1, 1), (2, 1.96820), (4, 3.72567), (8, 6.62412), (16, 10.58246), (44, 15.44680), (100, 16.36304)],
)
def test_what_epochs_are_worth(epochs, worth):
    assert LAW.effective_tokens(epochs * 25e9, 25e9) / 25e9 == pytest.approx(worth, abs=5e-6)


def test_tokens_that_are_not_repeated_are_worth_themselves():
    assert LAW.effective_tokens(7, 10) == 7
    assert LAW.effective_tokens(0, 0) == 0
    assert LAW.effective_tokens(1e12 + 1, 1e12) - 1e12 == pytest.approx(1, rel=1e-3)
    assert LAW.loss(1e9, 5e9, 1e15) == LAW.loss(1e9, 5e9, 5e9)


def test_a_mixture_says_what_its_tokens_are_worth():
    buckets = [Bucket("books", 100, 1), Bucket("web", 1000, 1)]
    assert Mixture({"books": 0.5, "web": 0.5}).effective_tokens(buckets, 800) == {
        "books": pytest.approx(372.567, abs=1e-3),
        "web": 400,
    }


def test_the_optimum_without_scarcity_is_the_closed_form():
    compute = 6 * 8.67e9 * 178e9
    params, tokens = LAW.optimal(compute, 1e15)
    assert 6 * params * tokens == pytest.approx(compute)
    assert LAW.params_for(tokens) == pytest.approx(params, rel=1e-4)


def test_scarce_data_wants_a_smaller_model_for_more_epochs():
    compute = 6 * 6.34e9 * 242e9
    params, tokens = LAW.optimal(compute, 25e9)
    assert params < LAW.optimal(compute, 1e15)[0]
    best = LAW.loss(params, tokens, 25e9)
    assert best <= LAW.loss(6.34e9, 242e9, 25e9)
    assert all(best <= LAW.loss(params * x, tokens / x, 25e9) for x in (0.5, 0.9, 0.999, 1.001, 1.1, 2))


def test_a_refit_on_the_published_runs_lands_near_the_published_fit(shared):
    pytest.importorskip("scipy")
    path = shared / "mixing" / "datablations" / "datablations_182_runs.csv"
    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 182
    columns = [[float(row[name]) for row in rows] for name in ("params", "tokens", "unique_tokens", "val_loss")]
    found = LAW.refit(*columns, start=(15, 5))
    assert (found.repeats, found.excess) == (pytest.approx(15.372, abs=2e-3), pytest.approx(5.315, abs=1e-3))


def test_the_step_law_of_a_large_model():
    assert StepLaw().lr(7e9, 1.4e12) == pytest.approx(9.17e-4, rel=1e-3)
    assert StepLaw().batch_tokens(1.4e12) == pytest.approx(5.0e6, rel=0.01)


def test_what_no_law_can_take_is_refused():
    with pytest.raises(UsageError, match="tokens is 0"):
        LAW.loss(1e9, 0, 1)
    with pytest.raises(UsageError, match="loss is nan in row 1"):
        LAW.refit([1e9] * 2, [1e9] * 2, [1e9] * 2, [2.0, float("nan")])
    with pytest.raises(UsageError, match="not 1, 2, 1 and 1"):
        LAW.refit([1e9], [1e9] * 2, [1e9], [2.0])
