"""Mixing laws: published fits come out of the raw runs, known laws are recovered, and bad fits are named as such."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.errors import UsageError
from corpuskit.mix.frozen import Frozen
from corpuskit.mix.held_out import complaint, fit_laws, rank_correlation, report, require_better_than_mean
from corpuskit.mix.laws import LAWS, LightGBM, Linear, LogLinear, enough_runs, mean_loss
from corpuskit.mix.nested import PowerLaw, at_target
from corpuskit.mix.problem import Bucket, Constraints, Infeasible, Mixture
from corpuskit.mix.regmix import simulate
from corpuskit.mix.runs import Ratios, Runs, read_runs
from corpuskit.mix.solve import solve

PILE = {
    "arxiv": 0.113285273,
    "freelaw": 0.079608651,
    "nih_exporter": 0.003913491,
    "pubmed_central": 0.185375901,
    "wikipedia_en": 0.051081359,
    "dm_mathematics": 0.015962925,
    "github": 0.101750772,
    "philpapers": 0.003707518,
    "stackexchange": 0.066529351,
    "enron_emails": 0.001750772,
    "gutenberg_pg_19": 0.027085479,
    "pile_cc": 0.236869207,
    "ubuntu_irc": 0.01184346,
    "europarl": 0.007929969,
    "hackernews": 0.008032956,
    "pubmed_abstracts": 0.038825953,
    "uspto_backgrounds": 0.046446962,
}
"""RegMix's shares of tokens in the Pile."""


def mixtures(n, domains, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(domains), n)


def metric(domain):
    return f"metric/the_pile_{domain}_val_loss"


@pytest.fixture(scope="module")
def pile(shared):
    """RegMix's 1M runs: 512 to fit, 256 to judge."""
    folder = shared / "mixing" / "regmix"
    if not folder.is_dir():
        pytest.skip(f"needs RegMix's runs at {folder}")
    return {
        part: read_runs(folder / f"{part}_mixture_1m.csv", folder / f"{part}_pile_loss_1m.csv")
        for part in ("train", "test")
    }


def judged(law, pile, domain):
    """Rank correlation, in percent, of a law fitted to the 512 runs with the 256 others."""
    train, test = pile["train"], pile["test"]
    column = train.metrics.index(metric(domain))
    fitted = law.fit(train.ratios.values, train.losses[:, column])
    return 100 * rank_correlation(fitted.predict(test.ratios.values), test.losses[:, column])


@pytest.mark.parametrize(("domain", "published"), [("pile_cc", 98.9), ("ubuntu_irc", 96.9), ("github", 99.8)])
def test_lightgbm_ranks_the_runs_of_regmix_as_published(pile, domain, published):
    assert judged(LightGBM(), pile, domain) == pytest.approx(published, abs=0.7)


def test_the_published_order_of_laws_comes_out_of_the_runs(pile):
    assert judged(Linear(), pile, "pile_cc") == pytest.approx(90.08, abs=0.7)
    assert judged(Linear(), pile, "pile_cc") < judged(LogLinear(), pile, "pile_cc") < 98.2


def test_simulation_finds_the_published_optimum_for_pile_cc(pile):
    train = pile["train"]
    law = LightGBM().fit(train.ratios.values, train.losses[:, train.metrics.index(metric("pile_cc"))])
    prior = Mixture({f"train_the_pile_{name}": share for name, share in PILE.items()})
    found = simulate([law], prior, samples=100_000).weights
    # the notebook's draws give .891, the weights of the 1B run .870; both put Ubuntu second
    assert found["train_the_pile_pile_cc"] == pytest.approx(0.88, abs=0.02)
    assert found["train_the_pile_ubuntu_irc"] == pytest.approx(0.062, abs=0.01)


@settings(max_examples=15)
@given(st.integers(2, 6), st.floats(0.5, 4.0), st.integers(0, 2**31))
def test_a_log_linear_law_is_recovered_whatever_it_is(domains, floor, seed):
    generator = np.random.default_rng(seed)
    exponents = generator.uniform(-3, 0.5, (1, domains))
    truth = LogLinear(floor=floor, exponents=exponents)
    seen, unseen = mixtures(40, domains, seed), mixtures(20, domains, seed + 1)
    found = LogLinear().fit(seen, truth.predict(seen))
    np.testing.assert_allclose(found.predict(unseen), truth.predict(unseen), atol=2e-4)


def test_a_few_ruined_runs_do_not_move_the_law():
    truth = LogLinear(floor=2.0, exponents=np.array([[-1.0, 0.2, -2.0]]))
    ratios = mixtures(60, 3)
    losses = truth.predict(ratios)
    ruined = losses.copy()
    ruined[::20] += 3.0
    robust = np.abs(LogLinear().fit(ratios, ruined).predict(ratios) - losses).max()
    squares = np.abs(Linear().fit(ratios, ruined).predict(ratios) - Linear().fit(ratios, losses).predict(ratios)).max()
    assert robust < 0.02 < squares


def test_several_terms_fit_a_validation_set_of_several_domains():
    first = LogLinear(floor=0.0, exponents=np.array([[-4.0, 0.0, 0.5]]))
    second = LogLinear(floor=1.0, exponents=np.array([[0.5, -4.0, 0.0]]))
    seen, unseen = mixtures(80, 3), mixtures(40, 3, seed=1)
    losses = first.predict(seen) + second.predict(seen)
    truth = first.predict(unseen) + second.predict(unseen)
    one, two = (np.abs(LogLinear(terms=k).fit(seen, losses).predict(unseen) - truth).max() for k in (1, 2))
    assert two < 0.01 < one


@pytest.mark.parametrize("law", [Linear(), LogLinear(), LogLinear(terms=2)])
def test_gradients_are_the_slopes_of_predictions(law):
    ratios = mixtures(50, 4)
    fitted = law.fit(ratios, 1 + np.exp(-ratios @ [1.0, 0.5, 2.0, 0.1]))
    objective, at, step = mean_loss([fitted, fitted]), mixtures(1, 4, seed=5)[0], 1e-6
    value, gradient = objective(at)
    assert value == pytest.approx(fitted.predict(at[None])[0])
    numeric = [(objective(at + step * unit)[0] - objective(at - step * unit)[0]) / (2 * step) for unit in np.eye(4)]
    np.testing.assert_allclose(gradient, numeric, atol=1e-7)


def test_the_mean_of_laws_is_minimized_within_caps_near_the_prior():
    # OLMix: mean of c + exp(A . p) + 0.05 KL(p || natural), p_j <= 4 N_j / R; compared with a fine grid
    laws = [
        LogLinear(floor=1.0, exponents=np.array([[-3.0, 0.0, 0.1]])),
        LogLinear(floor=2.0, exponents=np.array([[0.0, -2.0, 0.1]])),
    ]
    buckets = [Bucket("a", 100, 1), Bucket("b", 300, 1), Bucket("c", 600, 1)]
    natural = Mixture({"a": 0.1, "b": 0.3, "c": 0.6})
    limits = Constraints(max_epochs=4)
    found = solve(mean_loss(laws), natural, kl=0.05, constraints=limits, buckets=buckets, budget=2000)
    grid = np.array([(a, b, 1 - a - b) for a in np.arange(0.002, 0.2005, 0.002) for b in np.arange(0.002, 0.6, 0.002)])
    grid = grid[grid[:, 2] > 0]
    cost = np.mean([law.predict(grid) for law in laws], axis=0)
    cost += 0.05 * (grid * np.log(grid / [0.1, 0.3, 0.6])).sum(axis=1)
    np.testing.assert_allclose(list(found.weights.values()), grid[cost.argmin()], atol=2e-3)
    assert found.weights["a"] == pytest.approx(0.2)


def test_a_frozen_ratio_is_expanded_again():
    frozen = Frozen("old", Mixture({"a": 0.25, "b": 0.25, "c": 0.5}))
    expanded = frozen.expand(Mixture({"old": 0.4, "new": 0.6}))
    assert dict(expanded.weights) == {"a": 0.1, "b": 0.1, "c": 0.2, "new": 0.6}


def test_the_caps_of_a_frozen_ratio_are_those_of_what_is_inside():
    frozen = Frozen("old", Mixture({"a": 0.25, "b": 0.75}))
    buckets = [Bucket("a", 100, 1), Bucket("b", 150, 2), Bucket("new", 1000, 3)]
    new, old = frozen.collapse(buckets)
    assert (new, old) == (Bucket("new", 1000, 3), Bucket("old", 200, 3))
    budget = 2000
    most = Mixture({"old": 4 * old.tokens / budget, "new": 1 - 4 * old.tokens / budget})
    Constraints(max_epochs=4).check(frozen.expand(most), buckets, budget)
    with pytest.raises(Infeasible, match="b \\("):
        Constraints(max_epochs=3.99).check(frozen.expand(most), buckets, budget)


def test_a_ratio_cannot_be_frozen_over_buckets_that_are_not_there():
    frozen = Frozen("old", Mixture({"a": 0.5, "b": 0.5}))
    with pytest.raises(UsageError, match="`b` is no bucket"):
        frozen.collapse([Bucket("a", 1, 1)])
    with pytest.raises(UsageError, match="that name is another bucket's"):
        frozen.collapse([Bucket("a", 1, 1), Bucket("b", 1, 1), Bucket("old", 1, 1)])
    with pytest.raises(UsageError, match="not in the mixture"):
        frozen.expand(Mixture({"new": 1}))
    with pytest.raises(UsageError, match="`a` is frozen inside"):
        frozen.expand(Mixture({"old": 0.5, "a": 0.5}))


@settings(max_examples=20)
@given(st.floats(0.1, 1.5), st.integers(0, 2**31))
def test_power_laws_that_share_an_exponent_are_recovered(exponent, seed):
    generator = np.random.default_rng(seed)
    floors, scales = generator.uniform(1, 3, 4), generator.uniform(0.5, 2, 4)
    steps = np.array([10_000.0, 14_000, 20_000, 24_000, 30_000])
    losses = floors[:, None] + scales[:, None] * (steps / 1e4) ** -exponent
    found = PowerLaw.fit(steps, losses)
    assert found.exponent == pytest.approx(exponent, rel=1e-3)
    np.testing.assert_allclose(found.predict(1e5), floors + scales * 10**-exponent, atol=1e-4)


def test_nested_laws_carry_a_swarm_to_the_target_where_its_mixing_law_is_found():
    steps, sizes = np.array([1e4, 1.5e4, 2e4, 3e4]), np.array([7e7, 1.6e8, 3e8, 4.1e8])
    target = LogLinear(floor=2.0, exponents=np.array([[-2.0, 0.3, -0.5]]))
    ratios = mixtures(30, 3)
    left = (steps / 1e5) ** -0.6 - 1, (sizes / 1e9) ** -0.4 - 1  # both 0 at the target
    losses = target.predict(ratios)[:, None, None] + 0.2 * left[1][None, :, None] + 0.1 * left[0][None, None, :]
    at = at_target(steps, sizes, losses, target_steps=1e5, target_size=1e9)
    np.testing.assert_allclose(at, target.predict(ratios), atol=1e-4)
    law = LogLinear().fit(ratios, at)
    np.testing.assert_allclose(law.predict(mixtures(9, 3, 2)), target.predict(mixtures(9, 3, 2)), atol=1e-3)


def test_a_power_law_needs_three_points():
    with pytest.raises(UsageError, match="2 points do not determine it"):
        PowerLaw.fit(np.array([1.0, 2.0]), np.array([[3.0, 2.0]]))


def runs_of(losses, ratios):
    names = tuple(str(run) for run in range(len(ratios)))
    return Runs(Ratios(names, ("a", "b", "c"), ratios), ("books",), losses[:, None])


def test_a_law_that_predicts_held_out_runs_is_reported_as_it_is():
    ratios = mixtures(40, 3)
    (fit,) = fit_laws(LogLinear(), runs_of(1 + np.exp(ratios @ [-2.0, 0.0, 1.0]), ratios))
    assert fit.spearman == pytest.approx(1, abs=1e-3)
    assert fit.error < 1e-3 < fit.mean_error
    require_better_than_mean([fit])
    assert "warning" not in report([fit], 40, 3)
    assert "40 runs for 17 domains; 54 or more are advised" in report([fit], 40, 17)


def test_a_law_of_noise_is_called_worse_than_the_mean():
    ratios = mixtures(60, 3)
    (fit,) = fit_laws(LogLinear(terms=2), runs_of(np.random.default_rng(1).uniform(2, 3, 60), ratios))
    assert fit.worse_than_mean
    assert complaint(fit) in report([fit], 60, 3)
    with pytest.raises(UsageError, match=r"law of `books` fits worse than the mean: held-out error 0\.\d+, the mean's"):
        require_better_than_mean([fit])


def test_trees_of_a_small_swarm_know_only_the_mean_and_say_so():
    ratios = mixtures(30, 3)
    (fit,) = fit_laws(LightGBM(), runs_of(1 + np.exp(ratios @ [-2.0, 0.0, 1.0]), ratios))
    assert fit.worse_than_mean


def test_ranks_with_ties_are_as_scipy_has_them():
    stats = pytest.importorskip("scipy.stats")
    first, second = np.array([1.0, 2, 2, 3, 5, 5]), np.array([2.0, 1, 4, 4, 3, 9])
    assert rank_correlation(first, second) == pytest.approx(stats.spearmanr(first, second).statistic)
    assert rank_correlation(first, np.ones(6)) == 0


@pytest.mark.parametrize("name", LAWS)
def test_a_law_refuses_what_it_cannot_be_fitted_to(name):
    law = LAWS[name]()
    with pytest.raises(UsageError, match="not fitted yet"):
        law.predict(mixtures(2, 3))
    with pytest.raises(UsageError, match=r"3 proxy runs cannot tell the effects of 3 domains apart.*\n.*at least 12"):
        law.fit(mixtures(3, 3), np.ones(3))
    with pytest.raises(UsageError, match="NaN"):
        law.fit(mixtures(9, 3), np.full(9, np.nan))
    assert law.fit(mixtures(9, 3), np.ones(9)) is not law


def test_the_log_linear_law_refuses_losses_that_are_not_above_0():
    with pytest.raises(UsageError, match="a loss is -1; the log-linear law is for losses above 0"):
        LogLinear().fit(mixtures(9, 3), np.full(9, -1.0))


def test_constant_losses_are_fitted_as_such():
    law = LogLinear().fit(mixtures(9, 3), np.full(9, 2.5))
    np.testing.assert_allclose(law.predict(mixtures(4, 3, 1)), 2.5, atol=1e-6)


def test_olmix_advises_three_runs_a_domain_and_three_more():
    assert enough_runs(17) == 54


def test_simulation_keeps_caps_and_says_when_none_of_its_draws_can():
    ratios = mixtures(30, 3)
    law = Linear().fit(ratios, ratios @ [0.0, 1.0, 2.0])
    prior = Mixture({"a": 0.2, "b": 0.3, "c": 0.5})
    buckets = [Bucket("a", 200, 1), Bucket("b", 300, 1), Bucket("c", 500, 1)]
    free = simulate([law], prior, samples=5000, best=10)
    assert free.weights["a"] > 0.98
    capped = simulate(
        [law], prior, samples=5000, best=10, constraints=Constraints(max_epochs=2), buckets=buckets, budget=1000
    )
    assert 0.35 < capped.weights["a"] <= 0.4
    narrow = Constraints(lower={"a": 0.2, "b": 0.3}, upper={"a": 0.2001, "b": 0.3001})
    with pytest.raises(Infeasible, match=r"keep the limits: 0.2 <= a <= 0.2001"):
        simulate([law], prior, samples=5000, constraints=narrow)
    with pytest.raises(UsageError, match="the limits name `d`"):
        simulate([law], prior, constraints=Constraints(lower={"d": 0.1}))
    with pytest.raises(UsageError, match="best 128 of 10 mixtures by 1 laws"):
        simulate([law], prior, samples=10)
