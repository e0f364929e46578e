"""Theory of the bands, the parameters' errors, and the external sort."""

from fractions import Fraction
from math import comb

import numpy as np
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpuskit.dedup.files import ArrayFile, ArrayWriter, Scatter
from corpuskit.dedup.sort import Sorter
from corpuskit.errors import UsageError
from corpuskit.kernels import radix
from corpuskit.steps.lsh import choose_bands, least_matches, s_curve
from corpuskit.steps.minhash import minhash


def test_default_bands_are_those_of_the_documentation():
    assert choose_bands(128, 0.8, 0.98) == (17, 7)
    at_threshold, at_half = s_curve(17, 7, [0.8, 0.5])
    assert round(at_threshold, 3) == 0.982
    assert round(at_half, 3) == 0.125


@given(st.integers(1, 200), st.floats(0.3, 0.99), st.floats(0.5, 0.99))
def test_bands_are_the_most_rows_and_fewest_bands_that_reach_recall(permutations, threshold, recall):
    reach = [
        (rows, -bands)
        for rows in range(1, permutations + 1)
        for bands in range(1, permutations // rows + 1)
        if s_curve(bands, rows, [threshold])[0] >= recall
    ]
    if not reach:
        with pytest.raises(UsageError, match="no bands of"):
            choose_bands(permutations, threshold, recall)
    else:
        bands, rows = choose_bands(permutations, threshold, recall)
        assert (rows, -bands) == max(reach)


@pytest.mark.parametrize(("permutations", "threshold"), [(128, 0.8), (128, 0.5), (16, 0.8), (256, 0.95), (4, 0.2)])
def test_the_sketch_filter_misses_less_than_one_pair_in_a_million(permutations, threshold):
    j = Fraction(threshold)
    term = [comb(permutations, k) * j**k * (1 - j) ** (permutations - k) for k in range(permutations + 1)]
    least = least_matches(permutations, threshold)
    assert sum(term[:least]) < Fraction(1, 10**6) <= sum(term[: least + 1])


def test_the_sketch_filter_at_threshold_one_asks_for_all():
    assert least_matches(128, 1.0) == 128


def test_the_step_settles_its_bands():
    made = minhash(**minhash.validate({}))
    assert (made["unit"], made["n"], made["bands"], made["rows"]) == ("char", 13, 17, 7)
    fixed = minhash(**minhash.validate({"bands": 9, "rows": 13, "shingle": {"unit": "word", "n": 5}}))
    assert (fixed["unit"], fixed["n"], fixed["bands"], fixed["rows"]) == ("word", 5, 9, 13)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"verify": "maybe"}, "'exact'"),
        ({"shingle": {"unit": "line"}}, "'char' or 'word'"),
        ({"shingle": {"n": 0}}, "greater than or equal to 1"),
        ({"threshold": 0}, "greater than 0"),
        ({"keep": ["a", "b", "a"]}, "named twice: a"),
        ({"tresh": 1}, "Extra inputs"),
    ],
)
def test_values_that_cannot_be_are_refused(params, says):
    with pytest.raises(pydantic.ValidationError, match=says):
        minhash.validate(params)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"bands": 9}, "given together"),
        ({"rows": 9}, "given together"),
        ({"bands": 20, "rows": 7}, "need 140 permutations"),
        ({"permutations": 2, "recall": 0.99}, "raise `permutations`"),
    ],
)
def test_bands_that_cannot_be_are_refused(params, says):
    with pytest.raises(UsageError, match=says):
        minhash(**minhash.validate(params))


values = st.lists(st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 50)), max_size=300)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(values, max_size=8), st.sampled_from([0, 1 << 30]))
def test_sorting_in_little_memory_is_sorting(tmp_path_factory, blocks, memory):
    folder = tmp_path_factory.mktemp("sort")
    sorter = Sorter(folder / "runs", memory)
    for block in blocks:
        sorter.add(np.array(block, np.uint64))
    path = folder / "out.npy"
    everything = sorted({value for block in blocks for value in block})
    assert sorter.save(path) == len(everything)
    assert ArrayFile(path).read().tolist() == everything


def test_many_runs_merge(tmp_path):
    random = np.random.default_rng(3)
    sorter = Sorter(tmp_path / "runs", 0)
    blocks = [random.integers(0, 5000, 1100).astype(np.uint64) << np.uint64(50) for _ in range(40)]
    for block in blocks:
        sorter.add(block)
    assert sorter.save(tmp_path / "out.npy") == len(np.unique(np.concatenate(blocks)))
    assert (np.diff(ArrayFile(tmp_path / "out.npy").read().astype(np.float64)) > 0).all()


def test_an_appended_array_is_a_plain_npy_file(tmp_path):
    with ArrayWriter(tmp_path / "a.npy", np.float64) as writer:
        for i in range(100):
            writer.write(np.arange(i, dtype=np.float64))
    expected = np.concatenate([np.arange(i, dtype=np.float64) for i in range(100)])
    assert (np.load(tmp_path / "a.npy") == expected).all()
    np.save(tmp_path / "b.npy", expected)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values, st.lists(st.integers(0, 299), max_size=40))
def test_a_file_gives_the_rows_and_finds_the_values_that_it_holds(tmp_path, held, wanted):
    array = np.unique(np.array(held, np.uint64))
    np.save(tmp_path / "a.npy", array)
    file = ArrayFile(tmp_path / "a.npy")
    rows = np.array([row for row in wanted if row < len(array)], np.int64)
    assert file.gather(rows).tolist() == array[rows].tolist()
    assert file.read(3, 7).tolist() == array[3:7].tolist()
    assert [file.search(value) for value in (0, 25, 2**64)] == [sum(array < bound) for bound in (0, 25, 2**64)]
    sought = np.unique(np.concatenate([array[::2], np.arange(60, dtype=np.uint64)]))
    for block in (1, 7, 1 << 18):
        assert file.find(sought, block).tolist() == [
            int(np.flatnonzero(array == value)[0]) if value in array else -1 for value in sought
        ]


def test_sparse_rows_of_a_large_file_are_those_of_the_array(tmp_path):
    array = np.arange(3_000_000, dtype=np.uint64).reshape(-1, 4)
    np.save(tmp_path / "a.npy", array)
    rows = np.random.default_rng(2).permutation(len(array))[:500]
    for some in (rows, np.sort(rows), rows % 1000, rows[:0]):
        assert (ArrayFile(tmp_path / "a.npy").gather(some) == array[some]).all()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(list(range(50))), st.integers(1, 50))
def test_scattered_values_land_where_they_belong(tmp_path, places, step):
    with Scatter(tmp_path / "a.npy", np.uint32, 50) as scatter:
        for at in range(0, 50, step):
            some = np.array(places[at : at + step], np.int64)
            scatter.put(some, some * 3)
    assert np.load(tmp_path / "a.npy").tolist() == [place * 3 for place in range(50)]


@given(values)
def test_radix_sort_is_sort(held):
    array = np.array(held, np.uint64)
    many = np.concatenate([array] * (1 + radix.SMALL // max(1, len(array)))) if len(array) else array
    for each in (array, many):
        assert radix.radix_sort(each).tolist() == sorted(each.tolist())
        found, place = radix.radix_sort_with(each, np.arange(len(each), dtype=np.uint32))
        assert place.tolist() == np.argsort(each, kind="stable").tolist()
        assert found.tolist() == each[place].tolist()
