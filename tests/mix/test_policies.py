"""Policies and schedules: published arithmetic from raw numbers, checkpoints, and limits on a whole run."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.errors import UsageError
from corpuskit.mix import rounds as iterated
from corpuskit.mix.ado import ADO, ado_preference, fit_power_law
from corpuskit.mix.aioli import Aioli, aioli_law, aioli_step
from corpuskit.mix.phases import Interpolated, Phase, Phased
from corpuskit.mix.policies import (
    DoGE,
    GroupDRO,
    Policy,
    SkillIt,
    Static,
    Statistics,
    clipped_excess,
    needed,
    tilt,
    uniform,
)
from corpuskit.mix.problem import Bucket, Constraints, Infeasible, Mixture

ABC = ["a", "b", "c"]
DELTA = [[0.03, 0.01, 0], [0.005, 0.02, 0.01], [0, -0.005, 0.04]]


def mixture(*weights, names="abcdefgh"):
    return Mixture(dict(zip(names, weights, strict=False)))


def values(found):
    return list(found.weights.values())


def losses(*numbers):
    return {name: Statistics(loss=number) for name, number in zip(ABC, numbers, strict=True)}


def pile(shared, name):
    path = shared / "mixing" / "doremi" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"needs {path}")
    return json.loads(path.read_text())["train_domain_weights"]


# -- DoReMi ------------------------------------------------------------------------------------------------------------


def test_doremi_clips_each_token_and_an_absent_source_keeps_its_score():
    policy = GroupDRO(mixture(0.5, 0.3, 0.2))
    policy.load(policy.state() | {"scores": {"a": 9.0, "b": 9.0, "c": 0.3}})
    excess = {"a": clipped_excess([2.4, 1.8], [2, 2]), "b": clipped_excess([3, 2, 1], [2, 2, 2])}
    policy.observe(1000, {name: Statistics(excess=value) for name, value in excess.items()})
    assert values(policy.loss_weights) == pytest.approx([0.46986614, 0.32223492, 0.20789893], abs=5e-9)


def test_doremi_refuses_an_excess_that_was_averaged_before_it_was_clipped():
    with pytest.raises(UsageError, match=r"excess of `b` at 7 tokens is below 0.*\n.*clipped_excess"):
        GroupDRO(uniform(ABC)).observe(7, {"b": Statistics(excess=-0.1)})


def test_doremi_draws_uniformly_and_its_result_is_the_mean_over_steps():
    policy, seen = GroupDRO(mixture(0.5, 0.3, 0.2)), []
    for step in range(5):
        policy.observe(step, {"a": Statistics(excess=0.1 * step), "c": Statistics(excess=0.4)})
        seen.append(values(policy.loss_weights))
        assert values(policy.mixture(step)) == pytest.approx([1 / 3] * 3, abs=1e-15)
    assert values(policy.result) == pytest.approx(np.mean(seen, axis=0), abs=1e-14)
    assert seen[-1] != pytest.approx(values(policy.result), abs=1e-3)


@given(st.lists(st.tuples(*[st.floats(0, 8)] * 3), min_size=1, max_size=6))
def test_doremi_never_starves_a_source(steps):
    policy = GroupDRO(uniform(ABC))
    for step in steps:
        policy.observe(0, {name: Statistics(excess=value) for name, value in zip(ABC, step, strict=True)})
        assert min(values(policy.loss_weights)) >= 1e-3 / 3 * (1 - 1e-12)


def test_rounds_of_doremi_hand_on_what_they_find_and_end_when_no_weight_moves_by_a_thousandth():
    found = [mixture(0.5, 0.5), mixture(0.502, 0.498), mixture(0.5029, 0.4971), mixture(1, 0)]
    drawn, answers = [], iter(found)

    def proxy(reference):
        drawn.append(reference)
        return next(answers)

    first = mixture(0.9, 0.1)
    made = list(iterated.rounds(proxy, first, 10))
    assert [each.mixture for each in made] == found[:3]
    assert [each.change for each in made] == pytest.approx([0.4, 0.002, 0.0009])
    assert [each.settled for each in made] == [False, False, True]
    assert drawn == [first, *found[:2]]
    answers = iter(found)
    assert len(list(iterated.rounds(proxy, first, 2))) == 2


def test_rounds_of_doremi_are_algorithm_1_of_the_paper_repeated():
    """By hand from losses of tokens: those of a reference are the lower, the more it saw of a domain."""
    draw = np.random.default_rng(0)
    proxy_losses = [draw.gamma(4, 0.8, (3, 7)) - 0.02 * step for step in range(30)]

    def reference_losses(weights):
        return 2.5 + 0.1 * np.arange(3)[:, None] - 0.6 * np.array(weights)[:, None]

    def by_hand(weights):
        alpha, total = np.full(3, 1 / 3), np.zeros(3)
        for losses in proxy_losses:
            excess = np.maximum(losses - reference_losses(weights), 0).mean(1)
            alpha = alpha * np.exp(excess)
            alpha = (1 - 1e-3) * alpha / alpha.sum() + 1e-3 / 3
            total += alpha
        return total / 30

    def proxy(reference):
        policy, losses_of_reference = GroupDRO(uniform(ABC)), reference_losses(values(reference))
        for losses in proxy_losses:
            each = zip(ABC, losses, losses_of_reference, strict=True)
            policy.observe(0, {name: Statistics(excess=clipped_excess(a, b)) for name, a, b in each})
        return policy.result

    made = list(iterated.rounds(proxy, mixture(0.2, 0.3, 0.5), 20))
    weights = [0.2, 0.3, 0.5]
    for each in made:
        found = by_hand(weights)
        assert values(each.mixture) == pytest.approx(found, abs=1e-12)
        assert each.change == pytest.approx(np.abs(found - weights).max(), abs=1e-12)
        weights = found
    assert 2 < len(made) < 20
    assert [each.settled for each in made] == [False] * (len(made) - 1) + [True]
    assert made[-1].change < 1e-3 <= made[-2].change


def test_distances_of_the_published_doremi_weights(shared):
    raw = {name: pile(shared, name) for name in ("pile_baseline_256kvocab", "pile_doremi_280M_256kvocab_paper")}
    baseline, paper = (Mixture(table) for table in raw.values())
    assert baseline.largest_change(paper) == pytest.approx(0.6057 - 0.1121, abs=2e-4)  # Pile-CC; tables are rounded
    moved = sum(
        max(raw["pile_doremi_280M_256kvocab_paper"][n] - raw["pile_baseline_256kvocab"][n], 0) for n in paper.weights
    )
    assert baseline.distance(paper) == pytest.approx(moved, abs=5e-4)
    rerun = Mixture(pile(shared, "pile_doremi_r1_120M"))
    assert max(rerun.weights, key=lambda name: rerun.weights[name]) == "OpenWebText2"
    assert rerun.largest_change(paper) == pytest.approx(0.6057 - 0.1378871, abs=2e-4)
    assert paper.largest_change(paper) == 0


def test_the_rounded_baselines_are_mixtures(shared):
    for name in (
        "rp_uniform",
        "rp_baseline",
        "pile_uniform",
        "pile_baseline_50kvocab",
        "pile_baseline_50kvocab_nopack",
    ):
        assert sum(values(Mixture(pile(shared, name)))) == pytest.approx(1)
    assert values(Mixture(pile(shared, "rp_uniform"))) == pytest.approx([1 / 7] * 7)


# -- Aioli -------------------------------------------------------------------------------------------------------------


def test_aioli_solves_for_its_law_normalizes_it_once_and_tilts():
    found = aioli_step(uniform(ABC).weights, aioli_law(np.array(DELTA), focus=0.625), eta=0.2)
    assert list(found.values()) == pytest.approx([0.332574, 0.328232, 0.339195], abs=5e-7)


def test_aioli_probes_every_source_then_steps_then_draws_what_it_learned():
    policy, loss, probed = Aioli(uniform(ABC), stretches=2), [3.0, 2.0, 1.0], []
    assert values(policy.mixture(0)) == pytest.approx([1 / 3] * 3)
    policy.observe(0, losses(*loss))
    for _ in ABC:
        probed.append(policy.probe)
        shares = policy.mixture(0).weights
        assert [shares[n] for n in ABC] == pytest.approx([0.625 if n == policy.probe else 0.1875 for n in ABC])
        loss = [value - row[ABC.index(policy.probe)] for value, row in zip(loss, DELTA, strict=True)]
        policy.observe(0, losses(*loss))
    assert sorted(probed) == ABC
    assert policy.probe is None
    assert values(policy.mixture(0)) == pytest.approx([0.332574, 0.328232, 0.339195], abs=5e-7)
    policy.observe(0, losses(*loss))
    assert policy.probe is None
    policy.observe(0, losses(*loss))
    assert policy.probe is not None  # the next round


def test_aioli_averages_the_drops_of_its_sweeps():
    policy, loss = Aioli(uniform(ABC), stretches=1, sweeps=4), [9.0, 9.0, 9.0]
    policy.observe(0, losses(*loss))
    counts = dict.fromkeys(ABC, 0)
    while policy.probe:
        scale = (0.4, 1.6)[counts[policy.probe] % 2]  # differs by sweep, 1 on average
        counts[policy.probe] += 1
        loss = [v - scale * row[ABC.index(policy.probe)] for v, row in zip(loss, DELTA, strict=True)]
        policy.observe(0, losses(*loss))
    assert counts == dict.fromkeys(ABC, 4)
    assert np.array(policy.drops) == pytest.approx(np.array(DELTA), abs=1e-12)


def rounds(policy, tables):
    """Go through a round for each table of drops; the weights after each."""
    loss, found = [9.0, 9.0, 9.0], []
    for drops in tables:
        policy.observe(0, losses(*loss))
        while policy.probe:
            loss = [v - row[ABC.index(policy.probe)] for v, row in zip(loss, drops, strict=True)]
            policy.observe(0, losses(*loss))
        found.append(values(policy.mixture(0)))
        while policy.place:
            policy.observe(0, losses(*loss))
    return found


def test_aioli_tilts_its_last_weights_or_averages_its_laws_and_tilts_the_uniform_mixture():
    tables = [np.array(DELTA), np.array(DELTA)[::-1], np.array(DELTA).T]
    laws = []
    for table in tables:
        law = table @ np.linalg.inv(np.full((3, 3), 0.25) + 0.25 * np.eye(3)).T
        law -= min(law.min(), 0)
        laws.append(law / law.sum())
    weights, mean, tilted, averaged = np.ones(3) / 3, laws[0], [], []
    for law in laws:
        weights = weights * np.exp(0.1 * law.sum(axis=0))
        tilted.append(weights / weights.sum())
        mean = 0.5 * law + 0.5 * mean
        averaged.append(np.exp(0.1 * mean.sum(axis=0)) / np.exp(0.1 * mean.sum(axis=0)).sum())
    plain = rounds(Aioli(uniform(ABC), eta=0.1, focus=0.5, stretches=2), tables)
    mild = rounds(Aioli(uniform(ABC), eta=0.1, focus=0.5, average=0.5, stretches=2), tables)
    np.testing.assert_allclose(plain, tilted, atol=1e-12)
    np.testing.assert_allclose(mild, averaged, atol=1e-12)
    with pytest.raises(UsageError, match="`average` is 1"):
        Aioli(uniform(ABC), stretches=1, average=1)


def test_aioli_learns_nothing_where_no_loss_moves():
    found = aioli_step({"a": 0.7, "b": 0.3}, aioli_law(np.zeros((2, 2)), focus=0.75), eta=0.2)
    assert list(found.values()) == pytest.approx([0.7, 0.3])


def test_aioli_names_the_source_without_a_validation_loss():
    with pytest.raises(UsageError, match="Aioli needs `loss` of every source; at 5 tokens `b`, `c` has none"):
        Aioli(uniform(ABC), stretches=1).observe(5, {"a": Statistics(loss=1.0)})


def test_the_swarms_of_aioli_are_mixtures(shared):
    path = shared / "mixing" / "aioli" / "k_3_n_9_seed_0.txt"
    if not path.exists():
        pytest.skip(f"needs {path}")
    for row in np.loadtxt(path, delimiter=","):
        assert values(mixture(*row.tolist())) == pytest.approx(row, abs=2e-6)


# -- DoGE, Skill-It, ADO -----------------------------------------------------------------------------------------------


def test_doge_divides_by_the_mean_norm_clips_and_takes_a_softmax():
    policy, rate, mu = DoGE(mixture(0.5, 0.3, 0.2), mu=0.05), 0.01, 0.05
    dots, norms = [0.6, -2.0, 90.0], [2.0, 1.0, 3.0]
    policy.observe(
        0, {n: Statistics(alignment=d, norm=g, learning_rate=rate) for n, d, g in zip(ABC, dots, norms, strict=True)}
    )
    scores = np.array([rate * 0.3, 0.0, 5 * rate])  # the second is clipped at 0, the third at 5 lr
    expected = np.array([0.5, 0.3, 0.2]) * np.exp(scores / mu)
    assert values(policy.mixture(0)) == pytest.approx(expected / expected.sum(), abs=1e-14)


def test_doge_counts_an_absent_source_as_one_without_a_gradient():
    policy = DoGE(uniform(["a", "b"]), mu=0.1)
    policy.observe(0, {"a": Statistics(alignment=1.0, norm=4.0, learning_rate=0.1)})
    expected = math.exp(0.1 * (1 / 2) / 0.1)  # the mean norm is over both
    assert values(policy.mixture(0)) == pytest.approx([expected / (1 + expected), 1 / (1 + expected)])
    assert values(policy.result) == pytest.approx(values(policy.mixture(0)))


def test_skillit_follows_the_sum_of_the_losses_in_its_window(shared):
    folder = shared / "mixing" / "aioli"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    graph = np.load(folder / "slimpj_arxiv_book_stackexchange_normalized_seed_0.npy")
    table = {name: dict(zip(ABC, row, strict=True)) for name, row in zip(ABC, graph.tolist(), strict=True)}
    policy = SkillIt(table, eta=0.2)
    first = np.exp(0.2 * graph @ np.ones(3))
    assert values(policy.mixture(0)) == pytest.approx(first / first.sum(), abs=1e-14)
    history = np.array([[9, 9, 9], [3, 2, 1], [2.5, 1.9, 1], [2.4, 1.7, 0.9]])
    for row in history.tolist():
        policy.observe(0, losses(*row))
    expected = np.exp(0.2 * graph @ history[-3:].sum(axis=0))
    assert values(policy.mixture(0)) == pytest.approx(expected / expected.sum(), abs=1e-14)


def test_skillit_reads_the_graph_from_what_is_trained_on_to_what_is_helped():
    policy = SkillIt({"a": {"b": 1.0}, "b": {}}, eta=1)
    policy.observe(0, {"a": Statistics(loss=0.0), "b": Statistics(loss=2.0)})
    assert values(policy.mixture(0)) == pytest.approx([math.exp(2) / (1 + math.exp(2)), 1 / (1 + math.exp(2))])


@settings(max_examples=15)
@given(st.floats(0.1, 2.5), st.floats(-0.5, 1), st.floats(0.1, 0.6))
def test_a_power_law_is_found_again(a, eps, alpha):
    seen = np.linspace(50, 5000, 60).astype(int)
    curve = np.exp(eps) + np.exp(a) * seen**-alpha
    found = fit_power_law(seen.tolist(), curve.tolist())
    # parameters of nearly flat curves are not identifiable; predictions and slopes are
    assert np.exp(found[1]) + np.exp(found[0]) * seen ** -found[2] == pytest.approx(curve, rel=2e-3)


def test_a_power_law_does_not_depend_on_what_n_counts():
    batches = np.arange(1, 80)
    noise = np.random.default_rng(0).normal(0, 0.003, len(batches))
    curve = (1.4 + 3 * batches**-0.5 + noise).tolist()
    for tokens in (1, 10**3, 10**6, 10**9):
        a, eps, alpha = fit_power_law((batches * tokens).tolist(), curve)
        assert math.exp(eps) == pytest.approx(1.4, abs=0.03)
        assert alpha == pytest.approx(0.5, abs=0.03)
        assert math.exp(a) * tokens**-alpha == pytest.approx(3, abs=0.05)


def test_ado_prefers_by_prior_credit_and_slope():
    laws = {"a": [1.0, 0.5, 0.3], "b": [2.0, 0.1, 0.01]}
    prior, history = {"a": 0.25, "b": 0.75}, {"a": 0.64, "b": 0.36}
    n = 1000
    curves = {k: (math.exp(e) + math.exp(a) * n**-al, math.exp(e), max(al, 0.05)) for k, (a, e, al) in laws.items()}
    expected = {k: prior[k] * history[k] ** 0.5 * al * (loss - e) / n for k, (loss, e, al) in curves.items()}
    found = ado_preference(prior, history, laws, n)
    assert found == pytest.approx({k: v / sum(expected.values()) for k, v in expected.items()}, rel=1e-12)


def test_ado_keeps_its_prior_until_it_has_a_law_then_follows_the_steeper_source():
    policy = ADO(mixture(0.5, 0.5), start=5, every=4)
    for step in range(1, 30):
        n = 1000 * step
        policy.observe(
            n,
            {"a": Statistics(tokens=500, loss=1 + 20 * n**-0.4), "b": Statistics(tokens=500, loss=2 + 0.1 * n**-0.4)},
        )
        if step < 5:
            assert values(policy.mixture(n)) == [0.5, 0.5]
    assert policy.mixture(0).weights["a"] > 0.9
    assert policy.mixture(0).weights["b"] >= 0.0099


def test_ado_mixes_its_average_over_time_with_what_it_prefers_now_and_drops_no_source():
    policy = ADO(mixture(0.5, 0.5), start=4, every=100)
    laws = {"a": [2.0, 0.5, 0.4], "b": [-9.0, 0.5, 0.4]}  # nearly all preference is for a
    policy.load(policy.state() | {"seen": [1, 2, 3, 4], "losses": [[2.0, 2.0]] * 4, "laws": laws})
    policy.observe(0, {"a": Statistics(tokens=10, loss=2.0), "b": Statistics(tokens=10, loss=2.0)})
    ratio = math.exp(-9.0) / math.exp(2.0)
    floor = np.array([1 / (1 + ratio), 0.01])
    wanted = floor / floor.sum()
    assert values(policy.mixture(0)) == pytest.approx(0.9 * 0.5 + 0.1 * wanted, abs=1e-12)
    assert list(policy.average.values()) == pytest.approx((1 - 1 / 6) * 0.5 + 1 / 6 * wanted, abs=1e-12)


def test_ado_imputes_the_last_loss_of_an_absent_source():
    policy = ADO(mixture(0.5, 0.5), start=9)
    policy.observe(1, {"a": Statistics(tokens=10, loss=4.0)})
    policy.observe(2, {"a": Statistics(tokens=10, loss=3.0), "b": Statistics(tokens=30, loss=2.0)})
    policy.observe(3, {"a": Statistics(tokens=10, loss=2.5)})
    assert policy.losses == [[4.0, 4.0], [3.0, 2.0], [2.5, 2.0]]
    assert policy.seen == [10, 50, 60]
    assert policy.history["b"] == pytest.approx(((0.5 * 0.9) * 0.9 + 0.1 * 0.75) * 0.9)


@pytest.mark.parametrize("loss", [0.0, -1.0])
def test_ado_refuses_a_loss_without_a_logarithm_and_names_its_source(loss):
    policy = ADO(mixture(0.5, 0.5), start=4)
    with pytest.raises(UsageError, match=r"that of `b` at 1,000 tokens is "):
        policy.observe(1000, {"a": Statistics(tokens=10, loss=2.0), "b": Statistics(tokens=10, loss=loss)})
    assert policy.seen == policy.losses == []
    with pytest.raises(UsageError, match="the loss at 20 tokens is "):
        fit_power_law([10, 20, 30, 40], [2.0, loss, 1.5, 1.4])


# -- what all policies promise -----------------------------------------------------------------------------------------

GRAPH = {name: {to: 0.3 + 0.2 * (name == to) for to in ABC} for name in ABC}
POLICIES = {
    "static": lambda: Static(mixture(0.5, 0.3, 0.2)),
    "doremi": lambda: GroupDRO(mixture(0.5, 0.3, 0.2)),
    "aioli": lambda: Aioli(mixture(0.5, 0.3, 0.2), stretches=2),
    "aioli, averaged": lambda: Aioli(mixture(0.5, 0.3, 0.2), stretches=2, average=0.1),
    "doge": lambda: DoGE(uniform(ABC), mu=0.05),
    "skillit": lambda: SkillIt(GRAPH, eta=0.2),
    "ado": lambda: ADO(mixture(0.5, 0.3, 0.2), start=4, every=9),
}
CALM = st.floats(0.5, 4)


@st.composite
def recordings(draw):
    numbers = draw(st.lists(st.tuples(*[CALM] * 6), min_size=3, max_size=7, unique=True)) * 3
    return [
        {n: Statistics(10, row[k], row[k], row[k + 3] - 2, row[k + 3], 1e-3) for k, n in enumerate(ABC)}
        for row in numbers
    ]


@pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES)
@settings(max_examples=10)
@given(data=st.data())
def test_a_run_that_was_interrupted_goes_on_bit_for_bit(make, data):
    run = data.draw(recordings())
    stop = data.draw(st.integers(len(run) // 2, len(run) - 1))
    whole, again = make(), make()
    for t, statistics in enumerate(run):
        if t == stop:
            again.load(json.loads(json.dumps(whole.state())))
        whole.observe(t, statistics)
        if t >= stop:
            again.observe(t, statistics)
            assert again.mixture(t).weights == whole.mixture(t).weights
    assert again.state() == whole.state()


@pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES)
def test_a_state_is_not_changed_by_what_is_observed_later(make):
    policy = make()
    run = {n: Statistics(10, 2.0, 2.0, 1.0, 1.0, 1e-3) for n in ABC}
    policy.observe(0, run)
    state = policy.state()
    kept = json.dumps(state)
    for t in range(1, 6):
        policy.observe(t, run)
    assert json.dumps(state) == kept


def test_a_state_of_another_policy_or_of_other_sources_is_refused():
    with pytest.raises(UsageError, match="the checkpoint's policy is Static, the recipe's is GroupDRO"):
        GroupDRO(uniform(ABC)).load(Static(uniform(ABC)).state())
    with pytest.raises(UsageError, match="sources"):
        GroupDRO(uniform(ABC)).load(GroupDRO(uniform(["a", "b"])).state())


@pytest.mark.parametrize(
    ("statistics", "said"),
    [
        ({"gitub": Statistics(loss=1.0)}, r"of `gitub`, which SkillIt does not mix\n.*github"),
        ({"github": Statistics(loss=math.nan)}, "`loss` of `github` at 4,096 tokens is nan"),
    ],
)
def test_statistics_that_cannot_be_used_are_named(statistics, said):
    with pytest.raises(UsageError, match=said):
        SkillIt({"github": {}, "web": {}}, eta=1).observe(4096, statistics)


def test_a_method_of_ones_own_is_a_few_lines():
    class Losses(Policy):
        remembers = ("weights",)

        def __init__(self, prior):
            super().__init__(prior.weights)
            self.weights = dict(prior.weights)

        def mixture(self, t):
            return Mixture(self.weights)

        def update(self, t, statistics):
            self.weights = tilt(self.weights, needed(self, t, statistics, "loss"))

    policy, other = Losses(uniform(ABC)), Losses(uniform(ABC))
    policy.observe(0, losses(0, math.log(2), math.log(3)))
    other.load(policy.state())
    assert values(other.mixture(0)) == pytest.approx([1 / 6, 1 / 3, 1 / 2])


# -- schedules ---------------------------------------------------------------------------------------------------------


def test_upsampling_at_the_end_gives_the_published_whole_run_shares():
    base, end = mixture(0.3435, 0.3670, 0.0717, 0.2178), mixture(0, 0.30, 0.35, 0.35)
    schedule = Phased([Phase(800, base), Phase(1000, end)])
    assert values(schedule.shares()) == pytest.approx([0.2748, 0.3536, 0.1274, 0.2442], abs=5e-5)
    assert schedule.mixture(799) is base
    assert schedule.mixture(800) is end


def test_prolong_is_two_phases_with_their_sequence_lengths(shared):
    path = shared / "mixing" / "prolong" / "mixes.json"
    if not path.exists():
        pytest.skip(f"needs {path}")
    mixes = json.loads(path.read_text())
    first, second = Mixture(mixes["64K"]), Mixture(mixes["512K"])
    schedule = Phased([Phase(20 * 10**9, first, 65_536), Phase(40 * 10**9, second, 524_288)])
    assert schedule.phase(20 * 10**9 - 1).seq_len == 65_536
    assert schedule.phase(20 * 10**9).seq_len == 524_288
    whole = schedule.shares().weights
    assert whole["book-65536"] == pytest.approx(0.275)
    assert whole["book-524288"] == pytest.approx(0.025)
    assert whole["thestackv1_concat_by_repo-65536"] == pytest.approx(0.225)
    assert whole["arxiv"] == pytest.approx(0.03)


def test_short_sequences_first_are_phases_of_one_mixture():
    one = mixture(0.6, 0.4)
    schedule = Phased([Phase(500, one, 128), Phase(1000, one, 3072)])
    assert [schedule.phase(t).seq_len for t in (0, 499, 500, 999)] == [128, 128, 3072, 3072]
    assert schedule.shares() == one


def test_caps_hold_on_the_whole_schedule_and_not_in_each_phase():
    buckets = [Bucket("a", 1000, 1), Bucket("b", 100, 1)]
    schedule = Phased([Phase(900, mixture(1, 0)), Phase(1000, mixture(0, 1))])
    limits, whole = Constraints(max_epochs=1), schedule.shares()
    limits.check(whole, buckets, schedule.budget)  # the last phase alone draws only b
    assert whole.epochs(buckets, schedule.budget) == {"a": 0.9, "b": 1.0}
    assert values(whole) == [0.9, 0.1]
    again = Phased([Phase(450, mixture(0.9, 0.1)), Phase(1001, mixture(0.9, 0.1))])
    with pytest.raises(Infeasible, match=r"b \(1.001 epochs of 100 tokens\)\n.*largest feasible budget is 1,000"):
        limits.check(again.shares(), buckets, again.budget)


def test_bounds_hold_on_the_whole_schedule():
    schedule = Phased([Phase(900, mixture(1, 0)), Phase(1000, mixture(0, 1))])
    buckets = [Bucket("a", 1000, 1), Bucket("b", 1000, 1)]
    with pytest.raises(Infeasible, match=r"weight of `b` is 0\.1, below its lower bound 0\.2"):
        Constraints(lower={"b": 0.2}).check(schedule.shares(), buckets, schedule.budget)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.data())
def test_whole_run_shares_are_the_mean_of_the_mixtures(lengths, data):
    weights = [data.draw(st.integers(0, 10)) / 10 for _ in range(len(lengths) + 1)]
    ends = np.cumsum(lengths).tolist()
    points = [mixture(w, 1 - w) for w in weights]
    phased = Phased([Phase(end, point) for end, point in zip(ends, points, strict=False)])
    total = sum(phased.mixture(t).exact("a") for t in range(phased.budget))
    assert phased.shares().exact("a") == total / phased.budget
    line = Interpolated(list(zip([0, *ends], points, strict=True)))
    # the mean of a line over [t, t + 1] is the mean of its ends
    total = (
        sum(line.mixture(t).exact("a") for t in range(line.budget)) + (points[-1].exact("a") - points[0].exact("a")) / 2
    )
    assert line.shares().exact("a") == total / line.budget


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Phased([]), "without phases"),
        (lambda: Phased([Phase(5, mixture(1)), Phase(5, mixture(1))]), "phase 2 ends at 5 tokens, and begins at 5"),
        (lambda: Phased([Phase(5, mixture(1), 0)]), "`seq_len` of phase 1 is 0"),
        (lambda: Phased([Phase(5, mixture(1))]).mixture(5), "ends at 5 tokens and says nothing of 5"),
        (lambda: Interpolated([(1, mixture(1)), (5, mixture(1))]), "the first at 0"),
        (lambda: Interpolated([(0, mixture(1)), (5, mixture(1))]).mixture(-1), "says nothing of -1"),
    ],
)
def test_schedules_that_cannot_be_are_refused(make, said):
    with pytest.raises(UsageError, match=said):
        make()
