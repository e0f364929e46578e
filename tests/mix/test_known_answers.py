"""Published numbers that come out of our code from the raw input: rows of papers and repositories beside the main ones.

Numbers are facts with their source beside them; the runs of RegMix and of the data-constrained paper are read from the
development data.
"""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from corpuskit.mix.held_out import rank_correlation
from corpuskit.mix.laws import LightGBM, Linear, LogLinear
from corpuskit.mix.problem import Infeasible, Mixture
from corpuskit.mix.regmix import simulate
from corpuskit.mix.runs import read_runs
from corpuskit.mix.scaling import DataConstrainedLaw
from corpuskit.mix.swarm import halving_swarm

# -- RegMix (Liu et al. 2024, arXiv:2407.01492; repository sail-sg/regmix) ---------------------------------------------

NOTEBOOK = {
    "arxiv": 99.6,
    "freelaw": 99.71,
    "pubmed_central": 99.08,
    "wikipedia_en": 99.45,
    "dm_mathematics": 97.2,
    "github": 99.77,
    "stackexchange": 99.73,
    "gutenberg_pg_19": 99.18,
    "pile_cc": 98.92,
    "ubuntu_irc": 96.87,
    "hackernews": 98.51,
    "pubmed_abstracts": 99.19,
    "uspto_backgrounds": 99.12,
}
"""Spearman, in percent, of LightGBM fitted to 512 runs of 1M with 256 others (regression.ipynb)."""

OPTIMUM = {
    "arxiv": (0.11328527, 4.66329544e-03),
    "freelaw": (0.07960865, 3.94374644e-03),
    "nih_exporter": (0.00391349, 4.83724817e-07),
    "pubmed_central": (0.1853759, 5.81013210e-03),
    "wikipedia_en": (0.05108136, 7.25528969e-03),
    "dm_mathematics": (0.01596293, 6.89717990e-04),
    "github": (0.10175077, 1.13732015e-03),
    "philpapers": (0.00370752, 1.25776313e-04),
    "stackexchange": (0.06652935, 1.11175820e-03),
    "enron_emails": (0.00175077, 2.56605336e-03),
    "gutenberg_pg_19": (0.02708548, 3.72214513e-03),
    "pile_cc": (0.23686921, 8.90924344e-01),
    "ubuntu_irc": (0.01184346, 6.14285142e-02),
    "europarl": (0.00792997, 3.44762896e-04),
    "hackernews": (0.00803296, 2.49409048e-03),
    "pubmed_abstracts": (0.03882595, 1.23006293e-02),
    "uspto_backgrounds": (0.04644696, 1.48194075e-03),
}
"""Of each domain, its share of the Pile, and its weight in the mixture that is best for Pile-CC (regression.ipynb)."""


def swarm(shared, part, size):
    folder = shared / "mixing" / "regmix"
    tables = folder / f"{part}_mixture_{size}.csv", folder / f"{part}_pile_loss_{size}.csv"
    if not all(path.is_file() for path in tables):
        pytest.skip(f"needs {' and '.join(map(str, tables))}")
    return read_runs(*tables)


def losses_of(runs, domain):
    return runs.losses[:, runs.metrics.index(f"metric/the_pile_{domain}_val_loss")]


def judged(law, train, test, domain):
    """Rank correlation in percent, and the mean absolute error, with runs that the law was not fitted to."""
    fitted = law.fit(train.ratios.values, losses_of(train, domain))
    predicted, observed = fitted.predict(test.ratios.values), losses_of(test, domain)
    return 100 * rank_correlation(predicted, observed), float(np.abs(predicted - observed).mean())


def test_boosted_trees_rank_the_losses_of_every_domain_as_published(shared):
    train, test = swarm(shared, "train", "1m"), swarm(shared, "test", "1m")
    found = {domain: judged(LightGBM(), train, test, domain)[0] for domain in NOTEBOOK}
    assert found == pytest.approx(NOTEBOOK, abs=0.35)  # the notebook stops early on the runs that judge


@pytest.mark.parametrize(
    ("law", "size", "published", "within"),
    [
        # table 2 of the paper: fitted to runs of 1M, judged on Pile-CC at another size
        (Linear(), "1m", 90.08, 0.2),
        (Linear(), "60m", 89.26, 0.2),
        (Linear(), "1B", 88.01, 0.3),
        (LightGBM(), "1m", 98.45, 0.7),
        (LightGBM(), "60m", 98.64, 0.2),
        (LightGBM(), "1B", 97.12, 1.0),  # 64 runs; 97.0 at 500 trees, 96.2 at all 1,000
    ],
)
def test_laws_of_small_models_rank_the_mixtures_of_large_ones(shared, law, size, published, within):
    train, test = swarm(shared, "train", "1m"), swarm(shared, "test", size)
    assert judged(law, train, test, "pile_cc")[0] == pytest.approx(published, abs=within)


def test_the_errors_that_the_paper_calls_squared_are_absolute(shared):
    train, test = swarm(shared, "train", "1m"), swarm(shared, "test", "1m")
    assert judged(Linear(), train, test, "pile_cc")[1] == pytest.approx(0.13, abs=0.01)
    assert judged(LightGBM(), train, test, "pile_cc")[1] == pytest.approx(0.04, abs=0.005)


def test_the_mixture_that_is_best_for_pile_cc_is_the_published_one(shared):
    train = swarm(shared, "train", "1m")
    law = LightGBM().fit(train.ratios.values, losses_of(train, "pile_cc"))
    prior, published = (
        Mixture({f"train_the_pile_{name}": row[column] for name, row in OPTIMUM.items()}) for column in (0, 1)
    )
    found = simulate([law], prior)
    assert found.distance(published) < 0.04 < 0.6 < found.distance(prior)


# -- Scaling Data-Constrained Language Models (Muennighoff et al. 2023; repository huggingface/datablations) -----------

LAW = DataConstrainedLaw()


def test_the_optimal_allocation_is_that_of_the_published_grid_search():
    # README, `optimal_allocation(10**22, 25e9)`: 500 points, so that the search ends beside the optimum
    params, tokens = LAW.optimal(1e22, 25e9)
    assert (params, tokens) == (pytest.approx(7022364735.879969, rel=1e-3), pytest.approx(237336955477.55075, rel=1e-3))
    assert LAW.loss(params, tokens, 25e9) <= LAW.loss(7022364735.879969, 237336955477.55075, 25e9)


def test_the_allocation_of_the_first_figure_comes_from_the_fit_that_was_made_before():
    # return_alloc.ipynb: exponents of their own for N and D. The run is named 6.34B, its place in the figure 6.4B
    before = DataConstrainedLaw(
        a=math.exp(6.6229553),
        b=math.exp(7.5856404),
        e=math.exp(0.604038),
        alpha=0.3724021,
        beta=0.36468068,
        repeats=16.257626,
        excess=4.9642363,
    )
    compute = 6 * 8.67e9 * 86_914_062 * 2048  # printed as 9.2595...e21
    params, tokens = before.optimal(compute, 25e9)
    assert tokens == pytest.approx(117_910_413 * 2048, rel=1e-3)
    assert params == pytest.approx(6.4e9, rel=2e-3)
    assert [round(value / 1e9, 1) for value in before.optimal(9.3e21, 25e9)] == [6.4, 242.1]  # 9.3e21 and 242B in print


@pytest.mark.parametrize(
    ("law", "params", "tokens"),
    [
        (LAW, 69962173313.52132, 1372170066384.2363),
        (
            replace(
                LAW,
                a=math.exp(5.9577184),
                b=math.exp(7.9145365),
                e=math.exp(0.63032365),
                alpha=0.33480313,
                beta=0.38289225,
            ),
            99030049618.41035,
            969402725434.4951,
        ),
    ],
    ids=["exponents tied", "exponents free"],
)
def test_the_optimum_for_the_compute_of_gopher_without_scarcity(law, params, tokens):
    # parametric_fit.ipynb, 5.76e23 operations
    assert law.params_for(tokens) == pytest.approx(params, rel=1e-12)
    assert law.optimal(5.76e23, 1e15) == (pytest.approx(params, rel=1e-6), pytest.approx(tokens, rel=1e-6))


def test_the_published_fit_is_as_far_from_its_runs_as_published(shared):
    with (shared / "mixing" / "datablations" / "datablations_182_runs.csv").open() as stream:
        rows = [
            [float(row[k]) for k in ("params", "tokens", "unique_tokens", "val_loss")] for row in csv.DictReader(stream)
        ]
    apart = np.array([abs(math.log(LAW.loss(n, d, u)) - math.log(loss)) for n, d, u, loss in rows])
    huber = np.where(apart < 1e-3, apart**2 / 2, 1e-3 * (apart - 5e-4)).sum()
    assert huber == pytest.approx(0.015825936570763588, rel=1e-5)  # parametric_fit.ipynb, "Min Loss"


# -- Data Mixing Laws (Ye et al. 2024, arXiv:2403.16952; repository yegcjs/mixinglaws) ---------------------------------

SHARES = np.array([0.25, 0.375, 0.5, 0.625, 0.75])
"""Of the domain whose validation loss is measured, in a mixture of GitHub and Pile-CC."""

MEASURED = {
    # model and domain, 30,000 steps: losses of data/2Mix; floor, slope and offset of mix_2_domains.ipynb
    "70M GitHub": (
        [1.4443359375, 1.3859675480769231, 1.3278245192307692, 1.2935973873987854, 1.2567707015435223],
        (1.10958, -1.6405, -0.6819),
    ),
    "70M Pile-CC": (
        [3.7032881603194103, 3.6268907401719903, 3.5669533169533167, 3.531590717137592, 3.498733108108108],
        (3.41818, -2.5189, -0.6257),
    ),
    "160M GitHub": (
        [1.2130171432186234, 1.1553268123734817, 1.1066311361336032, 1.0762252498734817, 1.0411717959261133],
        (0.90464, -1.6139, -0.7760),
    ),
    "160M Pile-CC": (
        [3.3660309812653564, 3.293578201781327, 3.2300224585380835, 3.1921404714373462, 3.163433852886978],
        (3.09377, -2.7239, -0.6131),
    ),
}


@pytest.mark.parametrize("name", MEASURED)
def test_the_published_laws_of_two_domains_come_out_of_the_measured_losses(name):
    losses, (floor, slope, offset) = np.array(MEASURED[name][0]), MEASURED[name][1]
    ratios = np.column_stack([SHARES, 1 - SHARES])
    law = LogLinear().fit(ratios, losses)
    first, second = law.exponents[0]
    if name == "70M GitHub":  # the others lie in a longer valley: curves agree and parameters less
        assert (law.floor, first - second, second) == pytest.approx((floor, slope, offset), abs=3e-3)
    published = floor + np.exp(slope * SHARES + offset)
    assert law.predict(ratios) == pytest.approx(published, abs=2e-3)
    # the published search takes its floor from a grid of 1,000; ours is at least as near to the losses
    assert ((law.predict(ratios) - losses) ** 2).sum() <= ((published - losses) ** 2).sum()


def test_the_swarm_of_halvings_holds_the_mixtures_that_were_published_and_no_others():
    # pipeline/find_opt.py: largest shares of the seven domains of RedPajama, a grid of 1/16; its search visits 854
    largest = dict(zip("abcdefg", (1, 1, 0.5857, 0.2588, 0.2254, 0.1779, 0.1727), strict=True))
    rows = halving_swarm(largest, 854, grid=1 / 16).values.tolist()
    assert len({tuple(row) for row in rows}) == 854
    with pytest.raises(Infeasible, match="holds 854 mixtures"):
        halving_swarm(largest, 855, grid=1 / 16)
    assert [0.125, 0.25, 0.140625, 0.25, 0.09375, 0.125, 0.015625] in rows  # what the paper found best for 1B
    assert [0.0625, 0.125, 0.28125, 0.0625, 0.1875, 0.125, 0.15625] in rows  # the first of its proxy runs


def test_a_smaller_huber_bound_leaves_less_weight_to_a_ruined_run():
    truth = LogLinear(floor=1.0, exponents=np.array([[-1.0, 0.2, -2.0]]))
    ratios = np.random.default_rng(0).dirichlet(np.ones(3), 40)
    losses = truth.predict(ratios)
    losses[:3] += 0.5
    strict, loose = (
        np.abs(LogLinear(huber=d).fit(ratios, losses).predict(ratios[3:]) - losses[3:]).max() for d in (1e-3, 1)
    )
    assert strict < loose / 10


# -- DoReMi (Xie et al. 2023, arXiv:2305.10429; repository sangmichaelxie/doremi) --------------------------------------

PUBLISHED = "pile_doremi_280M_256kvocab_paper"


@pytest.mark.parametrize(
    ("other", "distance", "change"),
    [
        ("pile_baseline_256kvocab", 0.58074, 0.49355),
        ("pile_baseline_50kvocab", 0.59481, 0.51089),
        ("pile_uniform", 0.64580, 0.56018),
        ("pile_doremi_r1_120M", 0.53731, 0.46775),
    ],
)
def test_how_far_the_published_weights_are_from_others(shared, other, distance, change):
    found = {}
    for name in (PUBLISHED, other):
        path = shared / "mixing" / "doremi" / f"{name}.json"
        if not path.exists():
            pytest.skip(f"needs {path}")
        found[name] = json.loads(path.read_text())["train_domain_weights"]
    paper, beside = Mixture(found[PUBLISHED]), Mixture(found[other])
    assert paper.distance(beside) == beside.distance(paper) == pytest.approx(distance, abs=1e-5)
    assert paper.largest_change(beside) == pytest.approx(change, abs=1e-5)
    raw = [np.array([table[name] for name in sorted(found[PUBLISHED])]) for table in found.values()]
    shares = [table / table.sum() for table in raw]  # printed with four digits: they sum to 1.0001
    assert paper.distance(beside) == pytest.approx(np.abs(shares[0] - shares[1]).sum() / 2, abs=1e-12)


def test_mixtures_over_other_domains_are_told_apart():
    one, other = Mixture({"a": 0.5, "b": 0.5}), Mixture({"b": 0.25, "c": 0.75})
    assert (one.distance(other), one.largest_change(other)) == (0.75, 0.75)
    assert one.distance(one) == one.largest_change(one) == 0
