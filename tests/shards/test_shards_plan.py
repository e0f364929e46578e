"""The promises of the plan, for any sizes: exact counts, bijection, epochs in order, even windows, no state."""

import dataclasses
import math
from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.mix.problem import Mixture
from corpuskit.shards.plan import block_counts
from corpuskit.train.order import Permutation, Plan, _scaled

NAMES = st.lists(st.text("abcdefgh", min_size=1, max_size=4), min_size=1, max_size=9, unique=True).map(sorted)


@st.composite
def plans(draw):
    names = draw(NAMES)
    blocks = [draw(st.integers(1, 300)) for _ in names]
    counts = [draw(st.integers(0, 900)) for _ in names]
    if not sum(counts):
        counts[0] = 1
    return Plan(draw(st.integers(0, 2**31)), tuple(names), tuple(blocks), tuple(counts))


@given(st.integers(1, 3000), st.text(max_size=5))
def test_a_permutation_is_a_bijection_and_its_inverse_undoes_it(size, key):
    order = Permutation(size, key)
    image = order.forward(np.arange(size))
    assert sorted(image.tolist()) == list(range(size))
    assert (order.inverse(image) == np.arange(size)).all()


def test_permutations_of_huge_ranges_stay_inside():
    size = (1 << 40) + 12_345
    order = Permutation(size, "key")
    index = np.random.default_rng(0).integers(0, size, 10_000)
    image = order.forward(index)
    assert image.min() >= 0
    assert image.max() < size
    assert (order.inverse(image) == index).all()


@pytest.mark.parametrize("size", [2, 3, 5, 7, 16, 33])
def test_each_element_comes_to_each_place_equally_often_over_keys(size):
    keys = 4000
    images = np.stack([Permutation(size, f"{key}").forward(np.arange(size)) for key in range(keys)])
    counts = np.stack([np.bincount(images[:, place], minlength=size) for place in range(size)])
    spread = np.abs(counts - keys / size).max() / math.sqrt(keys / size)
    assert spread < 5, counts


def test_neighbours_in_order_are_unrelated_in_the_corpus():
    image = Permutation(10_000, "key").forward(np.arange(10_000)).astype(float)
    assert abs(np.corrcoef(image[:-1], image[1:])[0, 1]) < 0.05
    assert abs(np.corrcoef(np.arange(10_000), image)[0, 1]) < 0.05


@given(plans())
@settings(max_examples=60)
def test_counts_are_exact_epochs_are_in_order_and_hold_each_block_once(plan):
    domain, epoch, block = plan.locate(np.arange(len(plan)))
    for number, (count, blocks) in enumerate(zip(plan.counts, plan.blocks, strict=True)):
        mine = domain == number
        assert mine.sum() == count
        turns, numbers = epoch[mine], block[mine]
        assert (np.diff(turns) >= 0).all()
        for turn in range(-(-count // blocks)):
            inside = numbers[turns == turn]
            assert len(np.unique(inside)) == len(inside) == min(blocks, count - turn * blocks)
            assert inside.min() >= 0
            assert inside.max() < blocks


@given(plans(), st.data())
@settings(max_examples=40)
def test_any_sequences_in_any_order_are_located_without_the_others(plan, data):
    some = data.draw(st.lists(st.integers(0, len(plan) - 1), min_size=1, max_size=20))
    whole = np.stack(plan.locate(np.arange(len(plan))))
    assert (np.stack(plan.locate(np.array(some))) == whole[:, some]).all()


@given(plans(), st.integers(1, 2000))
@settings(max_examples=60)
def test_every_window_holds_each_domain_within_the_stated_bound(plan, window):
    domain, _, _ = plan.locate(np.arange(len(plan)))
    window = min(window, len(plan))
    bound = math.ceil(math.log2(len(plan.names))) + 1 if len(plan.names) > 1 else 0
    for number, count in enumerate(plan.counts):
        seen = np.cumsum(np.concatenate([[0], domain == number]))
        inside = seen[window:] - seen[:-window]
        assert np.abs(inside - window * count / len(plan)).max() <= bound


def test_shares_of_ten_thousand_sequences_are_within_half_a_point():
    sizes = np.random.default_rng(3).integers(1, 60_000, 40)
    names = tuple(sorted(f"d{k}" for k in range(40)))
    plan = Plan(1, names, (500,) * 40, tuple(int(x) for x in sizes))
    domain, _, _ = plan.locate(np.arange(len(plan)))
    for number, count in enumerate(plan.counts):
        seen = np.cumsum(np.concatenate([[0], domain == number]))
        shares = (seen[10_000:] - seen[:-10_000]) / 10_000
        assert np.abs(shares - count / len(plan)).max() <= 0.005


def test_adding_a_domain_does_not_reshuffle_the_others():
    before, after = Plan(5, ("a", "c"), (40, 60), (90, 60)), Plan(5, ("a", "b", "c"), (40, 70, 60), (90, 70, 60))
    for name in ("a", "c"):
        order = []
        for plan in (before, after):
            domain, _, block = plan.locate(np.arange(len(plan)))
            order.append(block[domain == plan.names.index(name)].tolist())
        assert order[0] == order[1]


def test_another_seed_or_epoch_gives_another_order():
    first, second = Plan(1, ("a",), (50,), (100,)), Plan(2, ("a",), (50,), (100,))
    order = first.locate(np.arange(100))[2]
    assert (order[:50] != order[50:]).any()
    assert (order != second.locate(np.arange(100))[2]).any()


def test_the_order_is_pinned():
    """A plan written today must be followed by any later version: these numbers may never change."""
    plan = Plan(42, ("books", "web"), (5, 11), (6, 14))
    domain, epoch, block = plan.locate(np.arange(20))
    assert domain.tolist() == PINNED[0]
    assert epoch.tolist() == PINNED[1]
    assert block.tolist() == PINNED[2]


PINNED = (
    [1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1],
    [6, 0, 9, 0, 1, 8, 4, 7, 2, 3, 10, 4, 5, 1, 3, 2, 4, 7, 3, 6],
)


def test_a_number_outside_the_plan_is_refused():
    plan = Plan(1, ("a",), (5,), (5,))
    for index in (-1, 5):
        with pytest.raises(IndexError):
            plan.locate(np.array([index]))
    assert plan.locate(np.array([], np.int64))[0].tolist() == []


@given(st.integers(1, 1 << 41), st.data())
def test_scaling_is_exact_for_the_largest_plans(denominator, data):
    numerator, value = data.draw(st.integers(0, denominator)), data.draw(st.integers(0, denominator))
    expected = (value * numerator + denominator // 2) // denominator
    assert _scaled(np.array([value]), numerator, denominator).tolist() == [expected]


@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(1, 64), st.integers(1, 100)), min_size=1, max_size=8),
    st.sampled_from([1, 4, 2.5, 0.75]),
    st.floats(0.05, 1),
)
def test_counts_follow_weights_within_one_and_never_pass_the_cap(domains, epochs, share):
    names = [f"d{k}" for k in range(len(domains))]
    blocks = [count for count, _, _ in domains]
    targets = [count * fill for count, fill, _ in domains]
    total = sum(weight for _, _, weight in domains)
    mixture = Mixture({name: weight / total for name, (_, _, weight) in zip(names, domains, strict=True)})
    limit = Fraction(repr(float(epochs)))
    largest = min(limit * t / mixture.exact(n) for n, t in zip(names, targets, strict=True))
    budget = largest * Fraction(share)
    (counts,) = block_counts([(mixture, budget)], targets, blocks, names, epochs)
    exact = [mixture.exact(n) * budget * b / t for n, t, b in zip(names, targets, blocks, strict=True)]
    assert all(abs(count - wanted) < 1 for count, wanted in zip(counts, exact, strict=True))
    assert all(count <= limit * b for count, b in zip(counts, blocks, strict=True))
    assert sum(counts) <= sum(exact)
    if limit.denominator == 1:
        assert sum(counts) == int(sum(exact))


DRAWN = st.lists(st.tuples(st.integers(1, 500), st.integers(1, 64), st.integers(0, 100)), min_size=1, max_size=8)


@given(DRAWN.filter(lambda domains: any(weight for *_, weight in domains)), st.lists(st.integers(1, 30), min_size=1))
def test_phases_of_one_mixture_take_together_what_one_phase_takes(domains, lengths):
    names, blocks = [f"d{k}" for k in range(len(domains))], [count for count, _, _ in domains]
    targets = [count * fill for count, fill, _ in domains]
    total = sum(weight for _, _, weight in domains)
    mixture = Mixture({name: Fraction(weight, total) for name, (_, _, weight) in zip(names, domains, strict=True)})
    largest = min(4 * t / mixture.exact(n) for n, t in zip(names, targets, strict=True) if mixture.exact(n))
    parts = [(mixture, largest * length / sum(lengths)) for length in lengths]
    (whole,) = block_counts([(mixture, largest)], targets, blocks, names, 4)
    phases = block_counts(parts, targets, blocks, names, 4)
    assert [sum(counts) for counts in zip(*phases, strict=True)] == whole
    assert all(count >= 0 for counts in phases for count in counts)


@given(st.data(), NAMES, st.integers(1, 6))
def test_at_the_end_of_a_run_of_phases_each_domain_is_within_one_block_of_its_due(data, names, count):
    weight = st.integers(0, 9)
    tables = [[data.draw(weight) for _ in names] for _ in range(count)]
    tables = [table if any(table) else [1] * len(names) for table in tables]
    parts = [
        (
            Mixture({n: Fraction(w, sum(table)) for n, w in zip(names, table, strict=True)}),
            data.draw(st.integers(1, 50)),
        )
        for table in tables
    ]
    blocks, targets = [1000] * len(names), [1000] * len(names)
    phases = block_counts(parts, targets, blocks, names, 4)
    for k, name in enumerate(names):
        due = sum(mixture.exact(name) * tokens for mixture, tokens in parts)
        assert abs(sum(counts[k] for counts in phases) - due) < 1
        for counts, (mixture, _) in zip(phases, parts, strict=True):
            assert mixture.exact(name) or not counts[k], "a phase takes nothing of a domain without weight in it"
    assert sum(map(sum, phases)) == sum(tokens for _, tokens in parts)


def test_many_small_domains_take_turns_in_the_phases():
    names = [f"d{k:02}" for k in range(50)]
    even = Mixture(dict.fromkeys(names, Fraction(1, 50)))
    phases = block_counts([(even, 10)] * 5, [100] * 50, [100] * 50, names, 4)
    assert [sum(counts) for counts in phases] == [10] * 5
    assert [sum(counts) for counts in zip(*phases, strict=True)] == [1] * 50


@given(plans(), st.integers(1, 3), st.data())
@settings(max_examples=60)
def test_where_a_sequence_stands_is_found_in_every_epoch_and_phase(plan, slices, data):
    """`places` undoes `locate`, in a phase that goes on where another one ended and cuts blocks into slices."""
    taken = tuple(data.draw(st.integers(0, 2 * blocks)) for blocks in plan.blocks)
    counts = tuple(count * slices for count in plan.counts)
    phase = dataclasses.replace(plan, counts=counts, taken=taken, slices=slices, phase=1)
    domain, _, found = phase.locate(np.arange(len(phase)))
    wanted = defaultdict(list)
    for number, place in enumerate(zip(domain.tolist(), found.tolist(), strict=True)):
        wanted[place].append(number)
    some = data.draw(st.lists(st.sampled_from(sorted(wanted)), min_size=1, max_size=20))
    number = data.draw(st.integers(0, len(plan.names) - 1))
    some.append((number, data.draw(st.integers(0, plan.blocks[number] * slices - 1))))
    for place in some:
        assert sorted(phase.places(*place)) == wanted.get(place, [])
