"""The swarm: what is drawn keeps its limits, and tables of runs are read exactly or refused by file and line."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.errors import UsageError
from corpuskit.mix.fitted import mixing_law, olmix, regmix
from corpuskit.mix.laws import LogLinear, mean_loss
from corpuskit.mix.problem import Bucket, Constraints, Infeasible, Mixture, Problem
from corpuskit.mix.runs import read_ratios, read_runs, write_ratios
from corpuskit.mix.sizes import read_sizes
from corpuskit.mix.solve import solve
from corpuskit.mix.swarm import MINIMUM, halving_swarm, swarm

PRIOR = Mixture({"books": 0.1, "code": 0.2, "web": 0.7})


@settings(max_examples=30)
@given(st.lists(st.integers(1, 1000), min_size=2, max_size=8), st.integers(1, 40), st.floats(1.5, 20), st.integers(0))
def test_every_mixture_of_a_swarm_keeps_the_limits(sizes, n, epochs, seed):
    prior = Mixture({f"d{k}": size / sum(sizes) for k, size in enumerate(sizes)})
    table = swarm(prior, n, constraints=Constraints(max_epochs=epochs), seed=seed)
    assert table.values.shape == (n, len(sizes))
    np.testing.assert_allclose(table.values.sum(axis=1), 1)
    assert (table.values <= epochs * np.array(list(prior.weights.values())) * (1 + 1e-12)).all()
    assert ((table.values == 0) | (table.values >= MINIMUM)).all()
    assert len({row.tobytes() for row in table.values}) == n


def test_a_swarm_is_the_same_for_the_same_seed_alone():
    first, again, other = swarm(PRIOR, 8, seed=1), swarm(PRIOR, 8, seed=1), swarm(PRIOR, 8, seed=2)
    assert (first.values == again.values).all()
    assert (first.values != other.values).any()
    assert first.mixture("3").weights["web"] == pytest.approx(first.values[2, 2])


def test_a_larger_swarm_begins_with_the_smaller():
    assert (swarm(PRIOR, 700).values[:8] == swarm(PRIOR, 8).values).all()


def test_a_swarm_is_centered_at_the_tempered_prior():
    free = Constraints(max_epochs=1000)
    for temperature in (1.0, 2.0):
        center = np.array([0.1, 0.2, 0.7]) ** (1 / temperature)
        drawn = swarm(PRIOR, 4000, temperature=temperature, strength=(5, 5), constraints=free).values.mean(axis=0)
        np.testing.assert_allclose(drawn, center / center.sum(), atol=0.02)


def test_a_domain_that_the_prior_lacks_is_never_drawn():
    assert not swarm(Mixture({"a": 0, "b": 0.5, "c": 0.5}), 20).values[:, 0].any()


def test_bounds_are_kept_and_those_that_no_mixture_keeps_are_named():
    table = swarm(PRIOR, 50, constraints=Constraints(max_epochs=15, lower={"web": 0.3}, upper={"code": 0.5}))
    assert table.values[:, 2].min() >= 0.3
    assert table.values[:, 1].max() <= 0.5
    with pytest.raises(Infeasible, match="books"):
        swarm(PRIOR, 5, constraints=Constraints(lower={"books": 0.6, "web": 0.6}))
    narrow = Constraints(lower={"books": 0.1, "code": 0.2}, upper={"books": 0.1001, "code": 0.2001})
    with pytest.raises(Infeasible, match=r"only \d+ different mixtures of 256,000 drawn keep the limits: 0.1 <= books"):
        swarm(PRIOR, 5, constraints=narrow)
    with pytest.raises(UsageError, match=r"the limits name `cod`.*\n  did you mean `code`"):
        swarm(PRIOR, 5, constraints=Constraints(upper={"cod": 0.5}))
    with pytest.raises(UsageError, match="swarm\\(n=0"):
        swarm(PRIOR, 0)


def test_halved_proportions_are_those_of_the_published_grid():
    # Data Mixing Laws' limits for RedPajama on a grid of 1/16
    largest = dict(zip("abcdefg", [1, 1, 0.5857, 0.2588, 0.2254, 0.1779, 0.1727], strict=True))
    table = halving_swarm(largest, 100, grid=1 / 16)
    assert set(table.values[:, 2]) <= {0.5625, 0.28125, 0.140625, 0.0703125, 0}
    assert set(table.values[:, 3]) <= {0.25, 0.125, 0.0625, 0}
    assert set(table.values[:, 4]) <= {0.1875, 0.09375, 0}
    assert table.values[:, 6].max() <= 0.1727
    np.testing.assert_allclose(table.values.sum(axis=1), 1, atol=1e-12)
    assert len({row.tobytes() for row in table.values}) == 100
    assert (table.values == 0).any(axis=1).sum() == 25


def test_all_halved_mixtures_of_a_small_grid():
    # a 1, .5, .25, 0; b .5, .25, 0; c takes what is left, at most a quarter
    table = halving_swarm({"c": 0.25, "b": 0.5, "a": 1}, 4, grid=0.25)
    assert table.domains == ("a", "b", "c")
    whole = {(1, 0, 0), (0.5, 0.5, 0), (0.5, 0.25, 0.25), (0.25, 0.5, 0.25)}
    with pytest.raises(Infeasible, match="holds 4 mixtures, fewer than 6"):
        halving_swarm({"c": 0.25, "b": 0.5, "a": 1}, 6, grid=0.25)
    assert {tuple(row) for row in table.values} == whole


@given(st.integers(0, 10_000))
@settings(max_examples=10)
def test_a_written_swarm_is_read_as_the_same_numbers(tmp_path_factory, seed):
    path = tmp_path_factory.mktemp("swarm") / "ratios.csv"
    table = swarm(PRIOR, 6, seed=seed)
    write_ratios(path, table)
    again = read_ratios(path, ["web", "books", "code"])
    assert (again.runs, again.domains) == (table.runs, table.domains)
    assert (again.values == table.values).all()


RATIOS = "run,web,code\n1,0.5,0.5\n2,0.25,0.75\n3,1,0\n"
LOSSES = "run,loss/web,loss/code\n3,2.0,5.0\n1,3.0,2.5\n2,3.5,2.0\n"


@pytest.fixture
def tables(tmp_path):
    """Writes two tables and reads them."""

    def read(ratios=RATIOS, losses=LOSSES, **wanted):
        (tmp_path / "ratios.csv").write_text(ratios)
        (tmp_path / "metrics.csv").write_text(losses)
        return read_runs(tmp_path / "ratios.csv", tmp_path / "metrics.csv", **wanted)

    return read


def test_rows_are_joined_by_run_and_columns_sorted_by_name(tables):
    runs = tables(metrics=["loss/code"])
    assert runs.ratios.domains == ("code", "web")
    assert runs.ratios.values.tolist() == [[0.5, 0.5], [0.75, 0.25], [0, 1]]
    assert runs.losses.tolist() == [[2.5], [2.0], [5.0]]


def test_a_domain_in_no_run_is_left_out_of_what_is_learned(tables):
    runs = tables(ratios="run,web,code,books\n1,0.5,0.5,0\n2,0.25,0.75,0\n3,1,0,0\n")
    assert runs.ratios.domains == ("code", "web")
    assert runs.ratios.values.shape == (3, 2)


def test_tables_with_an_index_and_a_byte_order_mark_are_read(tables):
    assert tables(ratios="\ufeff" + RATIOS.replace("run", "index")).ratios.runs == ("1", "2", "3")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"losses": LOSSES.replace("2.5", "")}, r"metrics.csv:3: `loss/code` of run `1` is empty\n  finish run `1`"),
        ({"losses": LOSSES.replace("2.5", "nan")}, r"metrics.csv:3: .* is 'nan', not a loss: the run diverged"),
        ({"losses": LOSSES.replace("2.5", "inf")}, "is 'inf', not a loss"),
        ({"losses": LOSSES.replace("2.5", "low")}, "is 'low', not a number"),
        ({"losses": LOSSES.replace(",2.5", "")}, "metrics.csv:3: 2 values for the 3 columns of the header"),
        ({"losses": LOSSES.replace("3,2.0,5.0\n", "")}, r"metrics.csv: no line for `3`, which .*ratios.csv has"),
        ({"losses": LOSSES + "4,1,1\n5,1,1\n"}, r"ratios.csv: no line for `4`, `5`, which .*metrics.csv has"),
        ({"losses": LOSSES + "1,1,1\n"}, r"metrics.csv:5: `1` stands twice, first in line 3"),
        ({"losses": "run,loss\n"}, "metrics.csv: holds no run"),
        ({"losses": LOSSES.replace("loss/web", "loss/code")}, "`loss/code` stands twice"),
        ({"losses": LOSSES.replace("run", "name")}, r"the first column is `name`\n  it must be `run`"),
        ({"metrics": ["loss/cod"]}, r"no column `loss/cod`\n  did you mean `loss/code`"),
        ({"ratios": RATIOS.replace("0.25", "0.2")}, "ratios.csv:3: the ratios of run `2` sum to 0.95, not to 1"),
        ({"ratios": RATIOS.replace("0.25", "-0.25")}, "is '-0.25', not a fraction"),
        ({"ratios": RATIOS.replace("0.25", "nan")}, "is 'nan', not a fraction"),
        ({"ratios": "run,web,code\n\n1,60,40\n"}, r"ratios.csv:3: `web` of run `1` is '60', .*\n  .*not percent"),
        ({"ratios": RATIOS.replace("0.25", "")}, r"ratios.csv:3: `web` of run `2` is empty\n  .*fractions of tokens"),
        ({"ratios": RATIOS.replace(",", ";")}, r"ratios.csv:1: the header is one cell.*\n  cells are parted by commas"),
        ({"ratios": RATIOS.replace("2,0.25", "\n \n2,0.2")}, r"ratios.csv:5: the ratios of run `2` sum to 0.95"),
        ({"losses": LOSSES.replace("1,3.0", ",3.0")}, "metrics.csv:3: the first cell, the name of the row, is empty"),
        (
            {"domains": ["web", "books"]},
            r"ratios.csv:1: `code` is no domain of the corpus\n  the corpus has: books, web",
        ),
        ({"domains": ["web", "code", "books"]}, "no column for the domain `books`"),
    ],
)
def test_a_table_that_cannot_be_trusted_is_refused_by_file_and_line(tables, change, message):
    with pytest.raises(UsageError, match=message):
        tables(**change)


def test_a_table_that_is_not_there_says_what_writes_it(tmp_path):
    with pytest.raises(UsageError, match=r"cannot be read \(No such file.*\n.*a line for each proxy run"):
        read_ratios(tmp_path / "ratios.csv")


def test_cells_may_have_spaces_about_them_and_lines_may_be_blank(tables):
    ratios = RATIOS.replace(",", " , ").replace("\n", "\n\n") + " , ,\n"
    runs = tables(ratios=ratios, losses=LOSSES.replace("1,", " 1,"))
    assert runs.ratios.runs == ("1", "2", "3")
    assert runs.losses[:, 0].tolist() == [3.0, 3.5, 2.0]


def test_a_table_that_is_no_utf8_names_its_file(tmp_path):
    path = tmp_path / "ratios.csv"
    path.write_bytes("run,café\n1,1\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"ratios\.csv: cannot be read \(not UTF-8.*\n  save it as CSV in UTF-8"):
        read_ratios(path)
    path.write_text("domain,tokens\nwords,1\n", encoding="utf-16")
    with pytest.raises(UsageError, match=r"ratios\.csv: cannot be read \(not UTF-8"):
        read_sizes(path, ["words"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("domain;tokens\nwords;1\n", r"sizes.csv:1: the header is one cell.*\n  cells are parted by commas"),
        ("domain,tokens\n\nwords,many\n", r"sizes.csv:3: the tokens of `words` are 'many'"),
        ("domain,tokens\nwords,1\n\nwords ,2\n", "sizes.csv:4: `words` stands twice, first in line 2"),
        ("domain,tokens\nwords,1,000\n", r"sizes.csv:2: 3 values for the 2 columns .*\n  .*stands in double quotes"),
        ("", r"sizes.csv: holds no line\n  a CSV file: domain,tokens"),
    ],
)
def test_sizes_are_refused_by_file_and_line(tmp_path, content, message):
    (tmp_path / "sizes.csv").write_text(content)
    with pytest.raises(UsageError, match=message):
        read_sizes(tmp_path / "sizes.csv", ["words"])


def test_sizes_with_a_byte_order_mark_and_blank_lines_are_read(tmp_path):
    (tmp_path / "sizes.csv").write_text('\ufeffdomain , tokens\r\n\r\n words,"2.5M"\r\n')
    assert read_sizes(tmp_path / "sizes.csv", ["words"]) == [Bucket("words", 2_500_000, 1)]


@pytest.fixture
def swarm_of_laws(tmp_path):
    """Tables of a swarm of 60 runs with known laws, and the corpus they were made for."""
    buckets = [Bucket("books", 100_000, 10), Bucket("code", 200_000, 20), Bucket("web", 700_000, 70)]
    table = swarm(PRIOR, 60)
    write_ratios(tmp_path / "ratios.csv", table)
    truth = LogLinear(floor=2.0, exponents=np.array([[-2.0, 0.0, 0.4]]))
    lines = [f"{run},{loss}" for run, loss in zip(table.runs, truth.predict(table.values), strict=True)]
    (tmp_path / "metrics.csv").write_text("\n".join(["run,loss", *reversed(lines)]))
    params = {"runs": str(tmp_path / "ratios.csv"), "losses": str(tmp_path / "metrics.csv")}
    return Problem(buckets, budget=1_000_000, constraints=Constraints(max_epochs=3)), params, truth


def test_methods_that_learn_from_runs_find_the_mixture_of_the_known_law(swarm_of_laws):
    problem, params, _ = swarm_of_laws
    # the law wants books, then code, then web: caps of 3 epochs give .3 and .6 and leave .1
    best = mixing_law.solve(problem, params).weights
    assert dict(best) == pytest.approx({"books": 0.3, "code": 0.6, "web": 0.1}, abs=1e-6)
    assert 0.2 < regmix.solve(problem, params).weights["books"] <= 0.3  # trees on 60 runs: near, and within the cap


def test_olmix_keeps_near_the_sizes(swarm_of_laws):
    problem, params, truth = swarm_of_laws
    problem = replace(problem, budget=100_000)  # no cap binds
    natural = Mixture({"books": 0.1, "code": 0.2, "web": 0.7})
    limits = {"constraints": problem.constraints, "buckets": problem.buckets, "budget": problem.budget}
    known = solve(mean_loss([truth]), natural, kl=0.05, **limits)
    assert dict(olmix.solve(problem, params).weights) == pytest.approx(dict(known.weights), abs=1e-3)
    free = mixing_law.solve(problem, params).weights
    assert free["books"] > 0.998 > 0.99 > known.weights["books"]  # the largest ratio of the runs


def test_a_domain_in_no_run_gets_no_weight(swarm_of_laws, tmp_path):
    problem, params, _ = swarm_of_laws
    before = [learned.solve(problem, params) for learned in (mixing_law, regmix)]
    header, *lines = (tmp_path / "ratios.csv").read_text().splitlines()
    (tmp_path / "ratios.csv").write_text("\n".join([f"{header},new", *(f"{line},0" for line in lines)]))
    more = replace(problem, buckets=[*problem.buckets, Bucket("new", 1_000_000, 5)])
    assert [learned.solve(more, params) for learned in (mixing_law, regmix)] == before
    with pytest.raises(UsageError, match="no proxy runs to learn from"):
        regmix.solve(problem, {})


def test_a_method_refuses_tables_of_noise(swarm_of_laws, tmp_path):
    problem, params, _ = swarm_of_laws
    noise = np.random.default_rng(1).uniform(2, 3, 60)
    (tmp_path / "metrics.csv").write_text("\n".join(["run,loss", *(f"{k + 1},{v}" for k, v in enumerate(noise))]))
    with pytest.raises(UsageError, match="the law of `loss` fits worse than the mean"):
        mixing_law.solve(problem, params)
