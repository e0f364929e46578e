"""Mixtures: what is accepted, what is refused, and what the refusal says."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuskit.errors import UsageError
from corpuskit.mix.presets import SLIMPAJAMA_DC, check_weights, resolve_weights
from corpuskit.mix.problem import Bucket, Constraints, Infeasible, Mixture, largest_budget

DOMAINS = ["commoncrawl", "c4", "github", "books", "arxiv", "wikipedia", "stackexchange"]
BUCKETS = [Bucket(name, 1000 * (k + 1), 10) for k, name in enumerate(DOMAINS)]


def test_presets_are_the_published_table(shared):
    published = json.loads((shared / "mixing" / "slimpajama_dc.json").read_text())
    table = {name.lower(): row for name, row in published.items() if name.startswith("DC-")}
    ours = {name.removeprefix("slimpajama-"): dict(row) for name, row in SLIMPAJAMA_DC.items()}
    assert ours == {name: {k.lower(): v for k, v in row.items()} for name, row in table.items()}


@pytest.mark.parametrize("number", range(1, 7))
def test_presets_resolve_to_weights_that_sum_to_one(number):
    mixture = resolve_weights(f"slimpajama-dc-{number}", BUCKETS)
    assert math.isclose(sum(mixture.weights.values()), 1, abs_tol=1e-12)


def test_rounding_of_a_published_table_is_divided_out():
    assert resolve_weights("slimpajama-dc-5", BUCKETS).weights["commoncrawl"] == pytest.approx(75.8 / 100.1)


def test_a_preset_over_a_corpus_that_lacks_a_domain_names_it():
    with pytest.raises(UsageError, match=r"slimpajama-dc-7` needs the domain `refinedweb`.*\n.*its domains: arxiv"):
        resolve_weights("slimpajama-dc-7", BUCKETS)
    with pytest.raises(UsageError, match="needs the domains `books`, `wikipedia`"):
        check_weights("slimpajama-dc-5", ["commoncrawl", "github"])


def test_a_domain_without_documents_is_an_error_not_a_redistribution():
    buckets = [Bucket("web", 100, 2), Bucket("books", 0, 0)]
    with pytest.raises(Infeasible, match="`books`, but the corpus kept no document"):
        resolve_weights({"web": 0.5, "books": 0.5}, buckets)
    assert resolve_weights({"web": 1, "books": 0}, buckets).weights["web"] == 1
    assert dict(resolve_weights("proportional", buckets).weights) == {"books": 0, "web": 1}


def test_an_unknown_preset_or_domain_says_what_is_near():
    with pytest.raises(UsageError, match="did you mean `slimpajama-dc-6`"):
        check_weights("slimpajama-dc6", DOMAINS)
    with pytest.raises(UsageError, match=r"needs the domain `wikpedia`.*\n.*did you mean `wikipedia`"):
        check_weights({"wikpedia": 1}, DOMAINS)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"web": 3, "books": 1}, r"sum to 4, not to 1.*\n.*\{books: 0.25, web: 0.75\}"),
        ({"web": 0.5, "books": 0.4}, "sum to 0.9"),
        ({"web": 0, "books": 0}, "sum to 0"),
        ({"web": -0.5, "books": 1.5}, "`web` is -0.5"),
        ({"web": math.nan}, "`web` is nan"),
        ({"web": "half"}, "`web` is 'half', not a number"),
        ({"web": True}, "not a number"),
        ({}, "sum to 0"),
    ],
)
def test_what_is_no_mixture_is_refused(weights, message):
    with pytest.raises(UsageError, match=message):
        Mixture(weights)


@pytest.mark.parametrize("scale", [1, 100, 0.9951, 1.0049, 100.4])
def test_fractions_and_percents_are_accepted_within_rounding(scale):
    assert Mixture({"web": 0.75 * scale, "books": 0.25 * scale}).weights["web"] == pytest.approx(0.75)


@given(st.floats(0.01, 0.99))
def test_floats_of_numpy_are_the_numbers_they_are(share):
    plain, numpy = (Mixture({"a": kind(share), "b": kind(1 - share)}) for kind in (float, np.float64))
    assert plain.exact("a") == numpy.exact("a")
    Constraints(max_epochs=np.float64(4), upper={"a": np.float64(1)}).check(
        numpy, [Bucket("a", 9, 1), Bucket("b", 9, 1)], 9
    )


def test_a_mixture_cannot_be_changed():
    with pytest.raises(TypeError):
        Mixture({"web": 1}).weights["web"] = 0.5


def test_epochs_of_a_budget():
    buckets = [Bucket("web", 1000, 1), Bucket("books", 100, 1)]
    assert Mixture({"web": 0.5, "books": 0.5}).epochs(buckets, 400) == {"web": 0.2, "books": 2.0}


def test_too_large_a_budget_names_the_buckets_and_the_largest_that_fits():
    buckets = [Bucket("web", 1000, 1), Bucket("books", 100, 1)]
    mixture = Mixture({"web": 0.5, "books": 0.5})
    with pytest.raises(Infeasible) as caught:
        Constraints(4).check(mixture, buckets, 801)
    assert "801 tokens" in str(caught.value)
    assert "books (" in str(caught.value)
    assert "web" not in str(caught.value)
    assert "largest feasible budget is 800 tokens" in str(caught.value)
    Constraints(4).check(mixture, buckets, 800)


def test_bounds_of_weights_hold():
    buckets, mixture = [Bucket("web", 1000, 1), Bucket("books", 1000, 1)], Mixture({"web": 0.7, "books": 0.3})
    Constraints(lower={"web": 0.7}, upper={"books": 0.3}).check(mixture, buckets, 10)
    with pytest.raises(Infeasible, match=r"`books` is 0.3, below its lower bound 0.4"):
        Constraints(lower={"books": 0.4}).check(mixture, buckets, 10)
    with pytest.raises(Infeasible, match=r"`web` is 0.7, above its upper bound 0.6"):
        Constraints(upper={"web": 0.6}).check(mixture, buckets, 10)
    with pytest.raises(UsageError, match="max_epochs is 0"):
        Constraints(0)


@given(st.lists(st.tuples(st.integers(1, 10**12), st.integers(1, 1000)), min_size=1, max_size=8), st.floats(0.1, 50))
def test_the_largest_budget_fits_and_one_more_token_does_not(sizes, epochs):
    total = sum(weight for _, weight in sizes)
    buckets = [Bucket(f"d{k}", tokens, 1) for k, (tokens, _) in enumerate(sizes)]
    mixture = Mixture({f"d{k}": weight / total for k, (_, weight) in enumerate(sizes)})
    largest = largest_budget(mixture, buckets, epochs)
    limits = Constraints(epochs)
    limits.check(mixture, buckets, largest)
    limits.check(mixture, buckets, math.floor(largest))
    with pytest.raises(Infeasible):
        limits.check(mixture, buckets, math.floor(largest) + 1)
    ratios = [Fraction(repr(epochs)) * b.tokens / (mixture.exact(b.name) * largest) for b in buckets]
    assert min(ratios) == 1


def test_proportional_reads_every_domain_equally_often():
    buckets = [Bucket("web", 1003, 1), Bucket("books", 77, 1), Bucket("code", 501, 1)]
    mixture = resolve_weights("proportional", buckets)
    assert largest_budget(mixture, buckets, 4) == 4 * (1003 + 77 + 501)
