"""Parameters of `minhash` and `exact`: presets, what wins over them, what contradicts itself."""

import itertools
import re
from fractions import Fraction
from math import comb

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuskit.errors import UsageError
from corpuskit.steps.exact import exact
from corpuskit.steps.lsh import Minhash, caught, least_matches, sure_matches
from corpuskit.steps.minhash import minhash


def settled(**params):
    return minhash(**minhash.validate(params))


def banding(**params):
    made = settled(**params)
    return made["permutations"], made["bands"], made["rows"]


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("slimpajama", ("char", 13, 128, 0.8, 17, 7)),
        ("fineweb", ("word", 5, 112, 0.75, 14, 8)),
        ("high_recall", ("char", 13, 256, 0.8, 30, 7)),
    ],
)
def test_a_preset_gives_what_is_left_out(preset, expected):
    made = settled(preset=preset)
    assert tuple(made[name] for name in ("unit", "n", "permutations", "threshold", "bands", "rows")) == expected


def test_without_a_preset_it_is_that_of_slimpajama():
    assert settled() == settled(preset="slimpajama")


def test_the_presets_catch_and_collide_as_their_descriptions_say():
    assert caught(14, 8, 0.75) == pytest.approx(0.77, abs=0.005)
    assert caught(9, 13, 0.8) == pytest.approx(0.40, abs=0.005)
    assert caught(30, 7, 0.8) >= 0.999
    assert caught(30, 7, 0.5) == pytest.approx(0.21, abs=0.005)
    assert caught(17, 7, 0.5) == pytest.approx(0.125, abs=0.005)


def test_a_given_parameter_wins_over_the_preset_and_leaves_the_others():
    made = settled(preset="fineweb", threshold=0.8, shingle={"n": 7})
    assert (made["unit"], made["n"], made["threshold"], made["bands"], made["rows"]) == ("word", 7, 0.8, 14, 8)
    assert settled(preset="fineweb", shingle={"unit": "char"})["n"] == 5
    assert banding(preset="fineweb", permutations=128) == (128, 14, 8)
    assert banding(preset="fineweb", recall=0.98, permutations=256) == (256, 28, 7)
    assert banding(preset="fineweb", bands=9, rows=12) == (112, 9, 12)
    assert banding(preset="high_recall", bands=20, rows=6) == (256, 20, 6)
    assert banding(preset="high_recall", recall=0.98) == banding(permutations=256)


@pytest.mark.parametrize(
    ("params", "says", "hint"),
    [
        ({"recall": 0.9, "bands": 9, "rows": 13}, "`bands` and `rows` fix what `recall` would settle", "leave out"),
        ({"preset": "fineweb", "bands": 9}, "given together", "`recall` settles them"),
        ({"preset": "fineweb", "permutations": 64}, "preset `fineweb` has 14 bands of 8 rows", "`permutations: 112`"),
        ({"bands": 20, "rows": 7}, "need 140 permutations; there are 128", "`permutations: 140`"),
        ({"permutations": 2, "recall": 0.99}, "no bands of 2 permutations", "raise `permutations`"),
        (
            {"preset": "high_recall", "permutations": 4, "threshold": 0.5},
            "no bands of 4 permutations",
            "at most 0.9375",
        ),
    ],
)
def test_what_contradicts_itself_says_so_and_what_to_do(params, says, hint):
    with pytest.raises(UsageError, match=says) as raised:
        settled(**params)
    assert hint in raised.value.hint


@given(st.integers(1, 6), st.floats(0.05, 0.6))
def test_the_recall_that_an_error_offers_can_be_had(permutations, threshold):
    with pytest.raises(UsageError) as raised:
        settled(permutations=permutations, threshold=threshold, recall=0.9999)
    offered = float(re.search(r"at most (\S+)", raised.value.hint)[1])
    assert banding(permutations=permutations, threshold=threshold, recall=offered) == (permutations, permutations, 1)


@pytest.mark.parametrize("params", [{"verify": "maybe"}, {"choose": "first"}, {"hash": "xxhash"}, {"preset": "c4"}])
def test_values_that_cannot_be_are_refused(params):
    with pytest.raises(pydantic.ValidationError, match=next(iter(params))):
        minhash.validate(params)


def test_all_ways_to_hash_verify_and_choose_go_together_and_are_read_back():
    ways = itertools.product(
        ("corpuskit", "datasketch"), ("exact", "sketch", "none"), ("priority", "component"), ("global", "domain")
    )
    for hash_, verify, choose, scope in ways:
        made = settled(hash=hash_, verify=verify, choose=choose, scope=scope, permutations=200, threshold=0.6)
        params = Minhash.parse(made)
        assert (params.hash, params.verify, params.choose, params.scope) == (hash_, verify, choose, scope)
        assert Minhash.parse(params.dump()) == params
        assert {**params.dump(), "keep": [], "against": []} == made


def test_exact_is_minhash_without_signatures():
    made = exact(**exact.validate({"keep": ["books"], "scope": "domain"}))
    params = Minhash.parse(made)
    assert made["keep"] == ["books"]
    assert (params.permutations, params.bands, params.rows, params.scope) == (0, 0, 0, "domain")
    assert (params.least_matches, params.sure_matches) == (0, 0)
    with pytest.raises(pydantic.ValidationError, match="named twice: a"):
        exact.validate({"keep": ["a", "a"]})


@given(st.integers(1, 4096), st.integers(1, 1000))
def test_sure_matches_are_the_fewest_that_estimate_the_threshold(permutations, thousandths):
    threshold = thousandths / 1000
    matches = sure_matches(permutations, threshold)
    assert matches / permutations >= threshold
    assert (matches - 1) / permutations < threshold
    assert abs(Fraction(matches, permutations) - Fraction(thousandths, 1000)) <= Fraction(1, permutations)


@pytest.mark.parametrize(("permutations", "threshold"), [(4096, 0.5), (1500, 0.8), (1200, 0.999), (1, 1.0)])
def test_the_sketch_filter_is_exact_for_many_permutations(permutations, threshold):
    """In whole numbers: a pair at the threshold has fewer matches with a probability below a millionth."""
    ours, whole = threshold.as_integer_ratio()
    least = least_matches(permutations, threshold)
    ways = [comb(permutations, k) * ours**k * (whole - ours) ** (permutations - k) for k in range(least + 1)]
    assert sum(ways[:least]) * 10**6 < whole**permutations <= sum(ways) * 10**6


def test_the_sketch_filter_takes_the_most_permutations_at_any_threshold():
    for threshold in (1e-6, 0.001, 0.5, 0.8, 0.999, 1.0):
        assert 0 <= least_matches(4096, threshold) <= sure_matches(4096, threshold)
