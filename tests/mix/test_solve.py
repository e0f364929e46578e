"""The one solver: closed forms, exact limits, and random problems against an independent solver."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.errors import UsageError
from corpuskit.mix.problem import Bucket, Constraints, Infeasible, Mixture
from corpuskit.mix.solve import solve

NAMES = ["a", "b", "c", "d"]


def mixture(*weights):
    return Mixture(dict(zip(NAMES, weights, strict=False)))


def values(found):
    return list(found.weights.values())


def test_without_limits_a_linear_objective_tilts_the_prior_by_its_exponential():
    prior, gradient = np.array([0.5, 0.3, 0.2]), np.array([1.0, -0.5, 0.25])
    expected = prior * np.exp(-gradient / 0.7)
    found = solve(dict(zip(NAMES, gradient, strict=False)), mixture(*prior.tolist()), kl=0.7)
    assert values(found) == pytest.approx(expected / expected.sum(), abs=1e-15)


def test_a_step_of_multiplicative_weights_is_an_instance():
    # DoReMi's update before smoothing: alpha * exp(eta * score), with the scores of MIXING.md's example
    score = {"a": 0.2, "b": 1 / 3, "c": 0.3}
    found = solve({name: -value for name, value in score.items()}, mixture(0.5, 0.3, 0.2), kl=1)
    smoothed = [0.999 * weight + 0.001 / 3 for weight in values(found)]
    assert smoothed == pytest.approx([0.46986614, 0.32223492, 0.20789893], abs=5e-9)


def test_greedy_fill_takes_the_best_first_and_the_boundary_takes_the_rest():
    estimate, upper = (1, -0.4, -1, -0.8), (0.4, 0.5, 0.3, 0.6)
    limits = Constraints(upper=dict(zip(NAMES, upper, strict=True)))
    objective = dict(zip(NAMES, [-value for value in estimate], strict=True))
    assert values(solve(objective, mixture(*[0.25] * 4), kl=0, constraints=limits)) == [0.4, 0.5, 0, 0.1]


def test_greedy_fill_is_the_limit_of_a_small_divergence():
    limits = Constraints(lower={"d": 0.05}, upper={"a": 0.3, "b": 0.4})
    prior, objective = mixture(0.1, 0.2, 0.3, 0.4), {"a": -2.0, "b": -1.0, "c": -1.0, "d": 5.0}
    greedy = solve(objective, prior, kl=0, constraints=limits)
    assert values(solve(objective, prior, kl=1e-7, constraints=limits)) == pytest.approx(values(greedy), abs=1e-8)
    assert greedy.weights["b"] / greedy.weights["c"] == pytest.approx(2 / 3)


def test_the_nearest_mixture_keeps_proportions_among_those_that_no_limit_holds():
    buckets = [Bucket("a", 10, 1), Bucket("b", 1000, 1), Bucket("c", 1000, 1)]
    found = solve(None, mixture(0.5, 0.3, 0.2), constraints=Constraints(2), buckets=buckets, budget=100)
    assert [found.exact(name) for name in "abc"] == [Fraction(1, 5), Fraction(12, 25), Fraction(8, 25)]


def test_what_the_prior_leaves_out_stays_out():
    assert values(solve({"a": 9.0, "b": 0.0, "c": -99.0}, mixture(0.5, 0.5, 0), kl=0)) == [0, 1, 0]


def test_an_infeasible_budget_names_the_buckets_and_the_largest_that_fits():
    buckets = [Bucket("a", 10, 1), Bucket("b", 30, 1)]
    with pytest.raises(Infeasible) as caught:
        solve(None, mixture(0.5, 0.5), constraints=Constraints(4), buckets=buckets, budget=161)
    assert "161 tokens are more than max_epochs 4 allows" in str(caught.value)
    assert "a (at most 40 tokens), b (at most 120 tokens)" in str(caught.value)
    assert "the largest feasible budget is 160 tokens" in str(caught.value)
    assert solve(None, mixture(0.5, 0.5), constraints=Constraints(4), buckets=buckets, budget=160).exact("a") == 0.25


def test_bounds_count_in_the_largest_budget():
    buckets = [Bucket("a", 10, 1), Bucket("b", 1000, 1)]
    with pytest.raises(Infeasible, match=r"a \(at most 40 tokens\)(?s:.*)largest feasible budget is 80 tokens"):
        solve(None, mixture(0.5, 0.5), constraints=Constraints(4, {"a": 0.5}), buckets=buckets, budget=100)
    with pytest.raises(Infeasible, match=r"largest feasible budget is 100 tokens"):
        solve(None, mixture(0.5, 0.5), constraints=Constraints(4, {}, {"b": 0.6}), buckets=buckets, budget=101)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Constraints(lower={"a": 0.7, "b": 0.6}), r"lower bounds sum to 1.3, more than 1: a 0.7, b 0.6"),
        (Constraints(upper={"a": 0.3, "b": 0.6}), r"upper bounds sum to 0.9, less than 1: a 0.3, b 0.6"),
        (Constraints(lower={"a": 0.5}, upper={"a": 0.4}), "lower bound 0.5 of `a` is above its upper bound 0.4"),
    ],
)
def test_bounds_that_no_mixture_keeps_are_named(limits, message):
    with pytest.raises(Infeasible, match=message):
        solve(None, mixture(0.5, 0.5), constraints=limits)


def test_wrong_arguments_are_refused():
    with pytest.raises(UsageError, match="kl is -1"):
        solve(None, mixture(0.5, 0.5), kl=-1)
    with pytest.raises(UsageError, match="the objective is of `z`, which is no bucket"):
        solve({"z": 1.0}, mixture(0.5, 0.5))
    with pytest.raises(UsageError, match="not finite for `b`"):
        solve(lambda w: (0.0, np.array([1.0, math.nan])), mixture(0.5, 0.5))
    with pytest.raises(UsageError, match=r"shape \(3,\), not \(2,\)"):
        solve(lambda w: (0.0, np.zeros(3)), mixture(0.5, 0.5))
    with pytest.raises(UsageError, match="budget is 0"):
        solve(None, mixture(0.5, 0.5), budget=0)


def problem(seed):
    """A random feasible problem: prior, limits, buckets, budget, and the box as arrays."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 25))
    names = [f"d{k:02}" for k in range(size)]
    prior = Mixture(dict(zip(names, (rng.dirichlet(np.full(size, 0.7)) * 0.99 + 0.01 / size).tolist(), strict=True)))
    tokens, epochs = rng.integers(1, 1000, size), float(rng.uniform(0.5, 6))
    budget = max(1, int(tokens.sum() * epochs * rng.uniform(0.1, 0.99)))
    high = np.minimum(epochs * tokens / budget, 1)
    low = np.minimum(rng.dirichlet(np.ones(size)) * 0.3 * (rng.random(size) < 0.4), high * 0.5)
    limits = Constraints(epochs, dict(zip(names, low.tolist(), strict=True)))
    buckets = [Bucket(name, int(count), 1) for name, count in zip(names, tokens, strict=True)]
    return rng, prior, limits, buckets, budget, low, high


@given(st.integers(0, 10**6), st.sampled_from([0, 1e-9, 0.05, 1, 1e6]), st.floats(1e-3, 1e6))
@settings(max_examples=150)
def test_what_is_solved_keeps_its_limits_exactly(seed, kl, scale):
    rng, prior, limits, buckets, budget, *_ = problem(seed)
    gradient = {bucket.name: float(rng.normal() * scale) for bucket in buckets}
    found = solve(gradient, prior, kl=kl, constraints=limits, buckets=buckets, budget=budget)
    limits.check(found, buckets, budget)
    assert sum(found.exact(bucket.name) for bucket in buckets) == 1


def objectives(rng, size):
    """Objectives of the methods: linear, and the mean of exponentials of mixing laws; for us, and for cvxpy."""
    gradient, rows = rng.normal(size=size), rng.normal(0, 2, (int(rng.integers(1, 8)), size))

    def exponentials(weights):
        risen = np.exp(rows @ weights)
        return float(risen.mean()), rows.T @ risen / len(rows)

    return [
        (dict(zip([f"d{k:02}" for k in range(size)], gradient.tolist(), strict=True)), lambda cp, x: gradient @ x),
        (lambda w: (float(gradient @ w), gradient), lambda cp, x: gradient @ x),
        (exponentials, lambda cp, x: cp.sum(cp.exp(rows @ x)) / len(rows)),
    ]


@pytest.mark.parametrize("kl", [0, 0.05, 1])
@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("seed", range(5))
def test_random_problems_agree_with_an_independent_solver(seed, kind, kl):
    cp = pytest.importorskip("cvxpy", reason="cvxpy is the oracle")
    rng, prior, limits, buckets, budget, low, high = problem(seed)
    ours, theirs = objectives(rng, len(buckets))[kind]
    found = np.array(values(solve(ours, prior, kl=kl, constraints=limits, buckets=buckets, budget=budget)))
    x = cp.Variable(len(buckets))

    def total(point):
        divergence = -cp.sum(cp.entr(point)) - np.log(values(prior)) @ point
        return theirs(cp, point) + (kl * divergence if kl else 0)

    oracle = cp.Problem(cp.Minimize(total(x)), [cp.sum(x) == 1, x >= low, x <= high])
    oracle.solve(solver=cp.CLARABEL)
    assert oracle.status == "optimal"
    best = np.clip(x.value, low, high)  # its tolerance reaches below 0, where there is no entropy
    reached, least = (float(total(cp.Constant(point)).value) for point in (found, best))
    assert reached == pytest.approx(least, abs=1e-6)
    if kl:  # strictly convex: there is one solution
        assert found == pytest.approx(x.value, abs=1e-3)


def test_a_small_problem_is_solved_to_the_digits_of_a_grid():
    def objective(weights):
        risen = np.exp(np.array([[-2.0, 1.0], [0.5, -3.0]]) @ weights)
        return float(risen.mean()), np.array([[-2.0, 1.0], [0.5, -3.0]]).T @ risen / 2

    share = np.linspace(0.3, 0.9, 600_001)
    losses = (np.exp(-2 * share + (1 - share)) + np.exp(0.5 * share - 3 * (1 - share))) / 2
    losses += 0.05 * (share * np.log(share / 0.2) + (1 - share) * np.log((1 - share) / 0.8))
    found = solve(objective, mixture(0.2, 0.8), kl=0.05, constraints=Constraints(lower={"a": 0.3}, upper={"a": 0.9}))
    assert found.weights["a"] == pytest.approx(share[losses.argmin()], abs=1e-4)
