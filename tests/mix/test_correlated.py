"""Mixing and labelling by correlations with benchmarks: known answers, the published table, and tables with faults."""

import csv
from fractions import Fraction

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from corpuskit.errors import UsageError
from corpuskit.mix.correlations import concordant_pairs, included, least_predictive, predictive
from corpuskit.mix.model_tables import read_model_losses
from corpuskit.mix.presets import resolve_weights
from corpuskit.mix.problem import Bucket, Constraints, Infeasible
from corpuskit.recipe import RecipeError, load
from corpuskit.step import File

ORDERS = {"a": [1, 2, 3, 4], "b": [3, 4, 1, 2], "c": [4, 3, 2, 1], "d": [4, 2, 3, 1]}
"""Bits per byte whose correlations with the errors of four models are 1, -0.6, -1 and -0.8."""


def write(path, corner, columns, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([[corner, *columns], *([name, *row] for name, row in rows.items())])
    return File(path)


def tables(folder, bits, errors, benchmark="sciq"):
    """The parameters of the method; the two tables have the models in another order."""
    models = [f"m{number}" for number in range(len(errors))]
    return {
        "method": "perplexity_correlations",
        "bits": write(folder / "bits.csv", "domain", models, bits),
        "errors": write(folder / "errors.csv", "benchmark", models[::-1], {benchmark: errors[::-1]}),
        "benchmark": "sciq",
    }


def buckets(**tokens):
    return [Bucket(name, count, 1) for name, count in tokens.items()]


def weights(mixture):
    return {name: float(weight) for name, weight in mixture.weights.items()}


# -- the method --------------------------------------------------------------------------------------------------------


def test_domains_are_filled_in_the_order_of_their_correlations(tmp_path):
    # caps (.4, .5, .3, .6): the best is filled, then the next; the boundary takes what is left
    params = tables(tmp_path, ORDERS, [0.2, 0.4, 0.6, 0.8])
    sizes = buckets(a=400, b=500, c=300, d=600)
    assert weights(resolve_weights(params, sizes, 1000, Constraints(1))) == {"a": 0.4, "b": 0.5, "c": 0, "d": 0.1}
    assert weights(resolve_weights(params, sizes, 100, Constraints(1))) == {"a": 1, "b": 0, "c": 0, "d": 0}
    # twice as often, twice as much of the best
    assert weights(resolve_weights(params, sizes, 1000, Constraints(2))) == {"a": 0.8, "b": 0.2, "c": 0, "d": 0}


def test_limits_of_the_recipe_hold(tmp_path):
    params = tables(tmp_path, ORDERS, [0.2, 0.4, 0.6, 0.8])
    limits = Constraints(1, lower={"c": 0.2}, upper={"a": 0.3})
    found = weights(resolve_weights(params, buckets(a=400, b=500, c=300, d=600), 1000, limits))
    assert found == pytest.approx({"a": 0.3, "b": 0.5, "c": 0.2, "d": 0})


def test_an_empty_domain_gets_nothing_and_equals_share_by_size(tmp_path):
    bits = {"a": [1, 2, 3, 4], "b": [1, 2, 3, 4], "c": [1, 2, 3, 4], "d": [4, 3, 2, 1]}
    params = tables(tmp_path, bits, [0.2, 0.4, 0.6, 0.8])
    found = resolve_weights(params, buckets(a=0, b=300, c=100, d=900), 200, Constraints(1))
    assert weights(found) == {"a": 0, "b": 0.75, "c": 0.25, "d": 0}
    with pytest.raises(Infeasible, match="holds no document"):
        resolve_weights(params, buckets(a=0, b=0, c=0, d=0), 200, Constraints(1))


def test_the_published_table_as_domains_against_linear_programming(shared, tmp_path):
    from scipy.optimize import linprog
    from scipy.stats import spearmanr

    folder = shared / "mixing" / "perplexity_correlations"
    if not folder.exists():
        pytest.skip(f"needs {folder}")
    bits, errors = folder / "chunked_synthetic_sample_bpb_id.csv", folder / "error.csv"
    generator = np.random.default_rng(5)
    for benchmark in ("arc_easy", "sciq", "lambada_openai_mt_de"):
        table = read_model_losses(bits, errors, benchmark)
        assert table.losses.shape == (263, 90)
        estimates = np.array([spearmanr(row, table.errors).statistic for row in table.losses])
        tokens = generator.integers(1000, 9000, 263)
        sizes = [Bucket(row, int(size), 1) for row, size in zip(table.rows, tokens, strict=True)]
        budget = int(tokens.sum() // 5)
        params = {"method": "perplexity_correlations", "bits": File(bits), "errors": File(errors)}
        found = resolve_weights({**params, "benchmark": benchmark}, sizes, budget, Constraints(1))
        given_ = np.array([found.weights[row] for row in table.rows])
        best = linprog(-estimates, A_eq=np.ones((1, 263)), b_eq=[1], bounds=[(0, cap) for cap in tokens / budget])
        assert given_ @ estimates == pytest.approx(-best.fun, abs=1e-9)
        assert (given_ <= tokens / budget + 1e-12).all()


def test_columns_are_joined_by_name(shared):
    folder = shared / "mixing" / "perplexity_correlations"
    if not folder.exists():
        pytest.skip(f"needs {folder}")
    table = read_model_losses(folder / "chunked_synthetic_sample_bpb_id.csv", folder / "error.csv", "piqa")
    by_name = dict(zip(table.models, table.errors, strict=True))
    assert by_name["('beespoke', 'BEE-spoke-data/smol_llama-101M-GQA')"] == pytest.approx(0.4091403699673558)
    assert by_name["('stabilityai', 'stabilityai/stablelm-2-1_6b')"] == pytest.approx(0.236670293797606)


def test_the_key_holds_the_tables_and_not_their_paths(tmp_path):
    from corpuskit.mix.methods import identity

    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        found.append(identity(tables(tmp_path / name, ORDERS, [0.2, 0.4, 0.6, 0.8])))
    assert found[0] == found[1]
    assert identity(tables(tmp_path / "two", ORDERS, [0.2, 0.4, 0.6, 0.9])) != found[0]


# -- in a recipe -------------------------------------------------------------------------------------------------------


def recipe(folder, **mix):
    names = {"bits": "bits.csv", "errors": "errors.csv", "benchmark": "sciq", "method": "perplexity_correlations"}
    sources = {name: {"read": "jsonl", "path": f"{name}/*"} for name in "abcd"}
    given_ = {"weights": names, "tokens": "1M", "max_epochs": 1, "tokenizer": {"train": {"vocab_size": 300}}, **mix}
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"name": "r", "sources": sources, "mix": given_}))
    return folder / "recipe.yaml"


def test_a_recipe_names_the_tables_and_needs_a_budget(tmp_path):
    tables(tmp_path, ORDERS, [0.2, 0.4, 0.6, 0.8])
    assert load(recipe(tmp_path), []).mix.weights["bits"] == str(tmp_path / "bits.csv")
    with pytest.raises(RecipeError, match="weights of `perplexity_correlations` depend on"):
        load(recipe(tmp_path, tokens="max"), [])


# -- labels ------------------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(st.integers(-999, 999), st.integers(1, 99)), min_size=2, max_size=30, unique_by=lambda page: page[0]
    ),
    st.integers(1, 99),
)
def test_included_are_the_best_up_to_the_page_that_takes_the_remainder(pages, percent):
    estimates, sizes = [value for value, _ in pages], [size for _, size in pages]
    left, expected = Fraction(sum(sizes) * percent, 100), set()
    for place in sorted(range(len(pages)), key=lambda place: -estimates[place]):
        if left > 0:
            expected.add(place)
        left -= sizes[place]
    found = set(np.flatnonzero(included(estimates, sizes, percent / 100)).tolist())
    assert found == expected


@given(st.lists(st.permutations(range(4)), min_size=1, max_size=20))
def test_negative_pages_are_the_worst_and_as_many_as_the_positive(rows):
    losses, errors = np.array(rows, float), [0.4, 0.3, 0.2, 0.1]
    good, bad, pairs = predictive(losses, errors), least_predictive(losses, errors), concordant_pairs(losses, errors)
    assert not (good & bad).any()
    assert bad.sum() == min(good.sum(), (~good).sum())
    rest = ~good & ~bad
    if bad.any() and rest.any():
        assert pairs[bad].max() <= pairs[rest].min()


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("bits.csv", ("b,3", "b,nan"), r"bits\.csv:3: `m0` of `b` is `nan`, not a finite number"),
        ("bits.csv", ("b,3", "b,"), r"bits\.csv:3: `m0` of `b` is empty"),
        ("bits.csv", ("b,3,", "b,"), r"bits\.csv:3: 4 values for the 5 columns of the header"),
        ("bits.csv", ("b,3", "a,3"), r"bits\.csv:3: `a` stands twice, first in line 2"),
        ("bits.csv", ("b,3", "e,3"), r"bits\.csv: `e` is no domain of the corpus"),
        ("bits.csv", ("d,4,2,3,1\r\n", ""), r"bits\.csv: no line for the domain `d`"),
        ("bits.csv", (",m3", ",m9"), r"bits\.csv:1: the model `m9` is not in .*errors\.csv"),
        ("errors.csv", ("sciq", "piqa"), r"errors\.csv: no line for the benchmark `sciq`"),
        ("errors.csv", ("0.8", "inf"), r"errors\.csv:2: `m3` of `sciq` is `inf`"),
        ("errors.csv", ("0.8,0.6,0.4,0.2", "1,1,1,1"), "all models have the same error"),
    ],
)
def test_tables_with_faults_are_refused_with_file_and_line(tmp_path, name, change, said):
    params = tables(tmp_path, ORDERS, [0.2, 0.4, 0.6, 0.8])
    content = (tmp_path / name).read_bytes().decode()
    assert change[0] in content
    (tmp_path / name).write_bytes(content.replace(*change).encode())
    with pytest.raises(UsageError, match=said):
        resolve_weights(params, buckets(a=400, b=500, c=300, d=600), 1000, Constraints(1))


def test_two_models_and_a_table_that_is_none_are_refused(tmp_path):
    two = {name: row[:2] for name, row in ORDERS.items()}
    with pytest.raises(UsageError, match="2 models order nothing"):
        resolve_weights(tables(tmp_path, two, [0.2, 0.4]), buckets(a=1, b=1, c=1, d=1), 2, Constraints(1))
    (tmp_path / "bits.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"bits\.csv: cannot be read"):
        read_model_losses(tmp_path / "bits.csv", tmp_path / "errors.csv", "sciq")
    (tmp_path / "bits.csv").write_text("domain,m0\n")
    with pytest.raises(UsageError, match=r"bits\.csv: holds no values"):
        read_model_losses(tmp_path / "bits.csv", tmp_path / "errors.csv", "sciq")
    (tmp_path / "bits.csv").write_text("\ndomain\na\n")
    with pytest.raises(UsageError, match=r"bits\.csv:2: names no model"):
        read_model_losses(tmp_path / "bits.csv", tmp_path / "errors.csv", "sciq")
