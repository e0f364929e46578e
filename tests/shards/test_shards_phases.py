"""Plans of several phases: exact counts, epochs that run on, slices that predict every target once, known shares."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shards_harness import Corpus, documents
from test_shards_stages import TRAIN, content, expected_tokens, split_of

from corpuskit.core.work import Part, Receipt
from corpuskit.errors import UsageError
from corpuskit.mix.problem import Infeasible
from corpuskit.shards.contents import make_plan
from corpuskit.shards.pack import best_fit
from corpuskit.shards.plan import train_files
from corpuskit.shards.read import open_shard, read_index
from corpuskit.shards.stages import taught, with_weights
from corpuskit.store.local import LocalStore
from corpuskit.train.blocks import Blocks
from corpuskit.train.config import budget, from_dict
from corpuskit.train.order import Plan

PHASES = [
    {"until": 0.3, "weights": {"web": 0.9, "books": 0.1}, "seq_len": 8},
    {"until": 0.7, "weights": {"web": 0.5, "books": 0.5}, "seq_len": 32},
    {"until": 1, "weights": {"web": 0.2, "books": 0.8}, "seq_len": 16},
]


@st.composite
def schedules(draw):
    """The orders of one to four phases over the same domains."""
    names = tuple(f"d{k}" for k in range(draw(st.integers(1, 5))))
    blocks = tuple(draw(st.integers(1, 60)) for _ in names)
    orders, taken, seed = [], (0,) * len(names), draw(st.integers(0, 9))
    for number in range(draw(st.integers(1, 4))):
        slices = draw(st.sampled_from([1, 2, 4, 12]))
        some = [draw(st.integers(0, 100)) for _ in names]
        some[0] += not sum(some)
        orders.append(Plan(seed, names, blocks, tuple(slices * count for count in some), taken, slices, number))
        taken = tuple(a + b for a, b in zip(taken, some, strict=True))
    return orders


@given(schedules())
@settings(max_examples=60)
def test_epochs_run_on_through_phases_and_hold_each_slice_of_each_block_once(orders):
    for number, each in enumerate(orders[0].blocks):
        read = []
        for order in orders:
            domain, epoch, found = order.locate(np.arange(len(order)))
            mine = domain == number
            assert mine.sum() == order.counts[number]
            pieces = list(zip(epoch[mine].tolist(), (found[mine] // order.slices).tolist(), strict=True))
            turns, whole = np.array([turn for turn, _ in pieces]), Counter(pieces)
            assert (np.diff(turns) >= 0).all()
            assert set(whole.values()) <= {order.slices}, "a phase takes whole blocks"
            assert len(set(zip(epoch[mine].tolist(), found[mine].tolist(), strict=True))) == mine.sum()
            read += sorted(whole)
        turns = [turn for turn, _ in read]
        assert turns == sorted(turns), "an epoch ends before the next one starts"
        assert Counter(turns) == {
            turn: min(each, len(read) - turn * each) for turn in range(math.ceil(len(read) / each))
        }
        assert len(set(read)) == len(read)
        assert all(0 <= block < each for _, block in read)


@given(schedules(), st.data())
@settings(max_examples=40)
def test_any_sequence_of_a_phase_is_located_without_the_others(orders, data):
    order = data.draw(st.sampled_from(orders))
    some = data.draw(st.lists(st.integers(0, len(order) - 1), min_size=1, max_size=20))
    whole = np.stack(order.locate(np.arange(len(order))))
    assert (np.stack(order.locate(np.array(some))) == whole[:, some]).all()


def test_shares_of_ten_thousand_sequences_of_a_phase_are_within_half_a_point():
    sizes = np.random.default_rng(3).integers(1, 3_000, 40)
    counts = tuple(int(8 * size) for size in sizes)
    order = Plan(1, tuple(f"d{k:02}" for k in range(40)), (500,) * 40, counts, tuple(range(40)), 8, 1)
    domain, _, _ = order.locate(np.arange(len(order)))
    for number, count in enumerate(counts):
        seen = np.cumsum(np.concatenate([[0], domain == number]))
        shares = (seen[10_000:] - seen[:-10_000]) / 10_000
        assert np.abs(shares - count / len(order)).max() <= 0.005


def test_the_slices_of_a_block_are_spread_over_the_phase():
    order = Plan(5, ("a",), (4000,), (16_000,), (0,), 8)
    block = order.locate(np.arange(16_000))[2] // 8
    assert (block[1:] == block[:-1]).mean() < 0.002, "slices of one block follow one another"


def test_the_order_of_slices_is_pinned():
    """A plan written today must be followed by any later version: these numbers may never change."""
    order = Plan(42, ("books", "web"), (5, 3), (6, 8), (3, 2), 2, 1)
    domain, epoch, found = order.locate(np.arange(14))
    assert [domain.tolist(), epoch.tolist(), found.tolist()] == PINNED


PINNED = [
    [1, 0, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1],
    [0, 0, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1],
    [5, 7, 4, 8, 3, 9, 2, 4, 6, 0, 6, 1, 7, 5],
]


@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=30),
    st.sampled_from([(32, 1), (32, 2), (32, 4), (32, 32), (12, 3)]),
    st.sampled_from(["concat", "best_fit"]),
)
def test_slices_of_a_block_cover_it_and_share_one_token_with_the_next(sizes, cut, packing):
    seq_len, slices = cut
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    packed = (None, None) if packing == "concat" else best_fit(starts, seq_len + 1)
    blocks = Blocks(int(starts[-1]), seq_len + 1, *packed)
    sliced = Blocks(int(starts[-1]), seq_len + 1, *packed, slices)
    predicted = Counter()
    for block in range(len(blocks)):
        _, start, length = blocks.ranges(np.array([block]))
        whole = np.concatenate([np.arange(s, s + n) for s, n in zip(start, length, strict=True)])
        numbers = block * slices + np.arange(slices)
        row, start, length = sliced.ranges(numbers)
        for k in range(slices):
            mine = [np.arange(s, s + n) for r, s, n in zip(row, start, length, strict=True) if r == k]
            tokens = np.concatenate([*mine, np.zeros(0, np.int64)])
            first = k * (sliced.width - 1)
            assert tokens.tolist() == whole[first : first + sliced.width].tolist()
            predicted.update(tokens[1:].tolist())
    assert sum(predicted.values()) == blocks.targets
    assert set(predicted.values()) <= {1}


@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=30),
    st.sampled_from([(32, 1), (32, 4), (12, 3)]),
    st.sampled_from(["concat", "best_fit"]),
    st.data(),
)
def test_the_sequences_that_hold_documents_are_found(sizes, cut, packing, data):
    seq_len, slices = cut
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    packed = (None, None) if packing == "concat" else best_fit(starts, seq_len + 1)
    blocks = Blocks(int(starts[-1]), seq_len + 1, *packed, slices)
    some = np.array(sorted(data.draw(st.sets(st.integers(0, len(sizes) - 1), min_size=1))))
    row, start, length = blocks.ranges(np.arange(len(blocks) * slices))
    begin, end = starts[some], starts[some + 1]
    meets = ((start[:, None] < end) & ((start + length)[:, None] > begin)).any(1)
    assert blocks.holding(begin, end).tolist() == sorted(set(row[meets].tolist()))


@pytest.fixture(scope="module", params=["concat", "best_fit"])
def built(request, tmp_path_factory):
    corpus = Corpus(tmp_path_factory.mktemp(request.param), content()).tokenize(TRAIN)
    mix = {"phases": PHASES, "packing": request.param, "max_epochs": 3}
    return corpus.mix(**mix, file_tokens=1500, units=3)


def contents(corpus):
    folder = corpus.root / "shards"
    return folder, json.loads((folder / "plan.json").read_text()), read_index(folder)


def test_plan_and_index_say_what_each_phase_holds(built):
    _, plan, index = contents(built)
    assert plan["format"] == index["format"] == 2
    assert [phase["seq_len"] for phase in plan["phases"]] == [8, 32, 16]
    assert [phase["seq_len"] for phase in index["phases"]] == [8, 32, 16]
    assert plan["seq_len"] == index["seq_len"] == 32
    assert [entry["sequences"] for entry in index["train"]] == [end - low for _, low, end in train_files(plan)]
    for number, phase in enumerate(plan["phases"]):
        files = [entry for entry in index["train"] if entry["phase"] == number]
        assert {entry["seq_len"] for entry in files} == {phase["seq_len"]}
        assert sum(entry["sequences"] for entry in files) == phase["sequences"] == index["phases"][number]["sequences"]
        assert len(files) > 1
        assert index["phases"][number]["weights"] == PHASES[number]["weights"]
    for name, domain in plan["domains"].items():
        for what in ("sequences", "taken"):
            assert domain[what] == sum(phase["domains"][name][what] for phase in plan["phases"])
        assert domain["epochs"] == pytest.approx(sum(phase["domains"][name]["epochs"] for phase in plan["phases"]))
        assert domain["epochs"] <= 3


def test_every_token_is_predicted_as_often_as_its_block_was_read(built):
    """Over all phases: what precedes a token in its block predicts it once an epoch, and once in the begun one."""
    folder, plan, index = contents(built)
    expected, domains = expected_tokens(built), split_of(built, "train")
    predicted, counted = Counter(), Counter()
    for entry in index["train"]:
        shard = open_shard(folder, index, entry)
        assert shard.tokens.shape == (entry["sequences"], entry["seq_len"] + 1)
        for row in shard.runs().to_pylist():
            run = shard.tokens[row["sequence"], row["start"] : row["start"] + row["length"]].tolist()
            first = row["doc_start"]
            assert run == expected[row["doc"]][first : first + row["length"]]
            assert row["domain"] == domains[row["doc"]]
            skipped = row["start"] == 0  # nothing stands before it in the sequence
            predicted.update((row["doc"], first + k) for k in range(skipped, row["length"]))
            counted[entry["phase"], row["domain"]] += row["length"] - skipped
    for number, phase in enumerate(plan["phases"]):
        assert {name: domain["taken"] for name, domain in phase["domains"].items()} == {
            name: counted[number, name] for name in phase["domains"]
        }
    for name, domain in plan["domains"].items():
        times = [predicted[doc, k] for doc in domains for k in range(len(expected[doc])) if domains[doc] == name]
        turns = int(domain["epochs"])
        first_of_blocks = domain["stored"] - domain["targets"]
        assert set(times) - {0} <= {turns, turns + 1}
        assert turns == 0 or Counter(times)[0] == first_of_blocks
        assert sum(times) == domain["taken"]


def test_sequences_follow_the_order_of_their_phase(built):
    folder, plan, index = contents(built)
    orders = Plan.from_json(plan)
    for entry, (phase, low, end) in zip(index["train"], train_files(plan), strict=True):
        domain, _, _ = orders[phase].locate(np.arange(low, end))
        runs = open_shard(folder, index, entry).runs()
        for sequence, name in zip(runs["sequence"].to_pylist(), runs["domain"].to_pylist(), strict=True):
            assert name == index["domains"][domain[sequence]]


def test_shards_with_phases_do_not_depend_on_units(tmp_path):
    made = [
        Corpus(tmp_path / str(units), content())
        .tokenize(TRAIN)
        .mix(phases=PHASES, file_tokens=900, units=units)
        .published()
        for units in (1, 5)
    ]
    assert made[0] == made[1]


def test_one_phase_has_the_shards_of_a_mixture_without_phases(tmp_path):
    weights = {"web": 0.7, "books": 0.3}
    plain = Corpus(tmp_path / "a", content()).tokenize(TRAIN).mix(weights=weights, file_tokens=900).published()
    phased = Corpus(tmp_path / "b", content()).tokenize(TRAIN)
    phased = phased.mix(phases=[{"until": 1, "weights": weights, "seq_len": 32}], file_tokens=900).published()
    differing = {name for name in plain if plain[name] != phased[name]}
    assert differing == {"shards/plan.json", "shards/index.json"}


def plan_of(tokens, mix, seq_len=2048):
    """plan.json over domains of so many tokens, without their texts."""
    blocks = {name: Blocks(count, seq_len + 1) for name, count in tokens.items()}
    base = {"max_epochs": 4, "seq_len": seq_len, "seed": 1, "packing": "concat", "tokens": "max"}
    return make_plan(dict.fromkeys(tokens, 9), blocks, base | mix, "digest", 1 << 28)


UPSAMPLED = [
    {"until": 0.8, "weights": {"a": 0.3435, "b": 0.3670, "c": 0.0717, "d": 0.2178}, "seq_len": 2048},
    {"until": 1, "weights": {"a": 0, "b": 0.30, "c": 0.35, "d": 0.35}, "seq_len": 2048},
]


def test_upsampling_at_the_end_gives_the_published_shares_of_the_whole_run():
    plan = plan_of(dict.fromkeys("abcd", 10**9), {"phases": UPSAMPLED, "tokens": 10**9})
    shares = {name: domain["taken"] / plan["tokens"] for name, domain in plan["domains"].items()}
    known = dict(zip("abcd", (0.2748, 0.3536, 0.12736, 0.24424), strict=True))
    assert shares == pytest.approx(known, abs=2 * 2 * 2048 / 10**9)  # each phase rounds to whole sequences
    assert {name: round(share, 4) for name, share in shares.items()} == dict(
        zip("abcd", (0.2748, 0.3536, 0.1274, 0.2442), strict=True)
    )
    assert {name: domain["weight"] for name, domain in plan["domains"].items()} == pytest.approx(known)
    assert 10**9 - 5 * 2048 < plan["tokens"] <= 10**9  # one sequence, and the last block of each domain is not full


def test_caps_hold_over_the_whole_run_and_the_largest_budget_is_that_of_the_whole_shares():
    """`c` is read 1.8 times in the first phase and 2.2 times in the last: what counts is the sum."""
    sizes = {"a": 10**9, "b": 10**9, "c": 10**7, "d": 10**9}
    plan = plan_of(sizes, {"phases": UPSAMPLED})
    targets = Blocks(sizes["c"], 2049).targets
    assert plan["largest"] == math.floor(4 * targets / 0.12736)
    assert plan["domains"]["c"]["cap"]
    assert plan["domains"]["c"]["epochs"] <= 4
    with pytest.raises(Infeasible, match=rf"c \(4\.\d* epochs.*\n.*largest feasible budget is {plan['largest']:,}"):
        plan_of(sizes, {"phases": UPSAMPLED, "tokens": plan["largest"] + 10**6})


def test_phases_of_equal_weights_draw_what_one_does():
    weights = {"a": 0.996, "b": 0.004}
    sizes, tokens = dict.fromkeys("ab", 10**7), 500 * 2048
    split = [{"until": k / 5, "weights": weights, "seq_len": 2048} for k in range(1, 6)]
    one, five = (plan_of(sizes, {"tokens": tokens, "phases": phases}) for phases in (split[-1:], split))
    assert [plan["domains"]["b"]["sequences"] for plan in (one, five)] == [2, 2]
    assert [phase["sequences"] for phase in five["phases"]] == [100] * 5


def test_a_run_of_phases_falls_short_of_its_tokens_by_less_than_a_longest_sequence():
    lengths = ((0.3, 512), (0.6, 2048), (1, 1024))
    phases = [{"until": until, "weights": {"a": 0.7, "b": 0.3}, "seq_len": length} for until, length in lengths]
    plan = plan_of(dict.fromkeys("ab", 10**7), {"tokens": 300_001, "phases": phases})
    held = [(phase["sequences"], phase["seq_len"]) for phase in plan["phases"]]
    assert sum(count * length for count, length in held) == 300_001 // 2048 * 2048
    config = from_dict({"shards": "s", "out": "o", "tokens": 300_001, "batch_tokens": 512})
    assert budget(config, held).tokens == 300_001 // 2048 * 2048


def test_a_method_in_a_later_phase_keeps_to_the_epochs_that_the_first_leaves():
    sizes = {"a": 10**8, "b": 10**8, "c": 10**5}
    halves = [{"until": until, "weights": "unimax", "seq_len": 2048} for until in (0.5, 1)]
    plan = plan_of(sizes, {"tokens": 10**7, "phases": halves})
    first, second = (phase["domains"]["c"] for phase in plan["phases"])
    assert first["epochs"] == pytest.approx(4, abs=0.05)
    assert (second["sequences"], plan["domains"]["c"]["cap"]) == (0, True)
    used = [{"until": 0.5, "weights": {"c": 1}, "seq_len": 2048}, halves[1]]
    with pytest.raises(
        Infeasible, match=r"phase 2: the upper bounds sum to 0, less than 1(.*\n)*.*the phases before leave"
    ):
        plan_of({"c": 10**5}, {"tokens": 8 * 10**5, "phases": used})


def test_bounds_hold_over_the_whole_run():
    plan_of(dict.fromkeys("abcd", 10**8), {"phases": UPSAMPLED, "upper": {"c": 0.13}, "lower": {"a": 0.27}})
    with pytest.raises(Infeasible, match=r"the weight of `c` is 0\.1274, above its upper bound 0\.12"):
        plan_of(dict.fromkeys("abcd", 10**8), {"phases": UPSAMPLED, "upper": {"c": 0.12}})
    with pytest.raises(Infeasible, match=r"the weight of `a` is 0\.25, below its lower bound 0\.3"):
        plan_of(dict.fromkeys("abcd", 10**8), {"weights": "proportional", "lower": {"a": 0.3}})


def test_a_phase_that_cannot_be_is_named():
    domains = dict.fromkeys("ab", 10**7)
    half = {"until": 0.5, "weights": {"a": 1}, "seq_len": 2048}
    with pytest.raises(UsageError, match="phase 2: the table of weights needs the domain `c`"):
        plan_of(domains, {"phases": [half, {"until": 1, "weights": {"c": 1}, "seq_len": 2048}]})
    with pytest.raises(Infeasible, match=r"1,000 tokens in phase 1 gives no domain a whole sequence of 2,048"):
        plan_of(domains, {"tokens": 2000, "phases": [half, {"until": 1, "weights": {"a": 1}, "seq_len": 2048}]})
    with pytest.raises(UsageError, match=r"the last phase ends at 0\.5 of the tokens"):
        plan_of(domains, {"phases": [half]})


def test_a_domain_shorter_than_a_block_pads_and_counts_its_empty_slices(tmp_path):
    corpus = Corpus(tmp_path, {"a": ("a", [{"corpus": documents(2, 3, longest=20)}])}).tokenize(TRAIN)
    long = [{"until": 0.5, "weights": {"a": 1}, "seq_len": 16}, {"until": 1, "weights": {"a": 1}, "seq_len": 1024}]
    corpus.mix(phases=long, max_epochs=4, seq_len=1024)
    folder, plan, index = contents(corpus)
    (first, second) = index["train"]
    assert (first["sequences"], second["sequences"]) == (2 * 64, 2)
    tokens, runs = open_shard(folder, index, first).tokens, open_shard(folder, index, first).runs()
    empty = set(range(128)) - set(runs["sequence"].to_pylist())
    assert len(empty) >= 2 * (64 - plan["domains"]["a"]["stored"] // 16 - 1)
    assert (tokens[sorted(empty)] == index["pad"]).all()
    assert plan["phases"][0]["tokens"] == plan["phases"][1]["tokens"] == 2 * plan["domains"]["a"]["targets"]


def test_the_weights_of_a_run_stand_in_each_phase_for_what_its_key_says():
    mix = {"tokens": "max", "phases": [{"until": 0.5, "weights": "digest"}, {"until": 1, "weights": "other"}]}
    given = [{"method": "regmix", "runs": "/a/ratios.csv"}, {"web": 1.0}]
    assert [phase["weights"] for phase in with_weights(mix, given)["phases"]] == given
    assert with_weights({"weights": "digest"}, given[0]) == {"weights": given[0]}
    assert with_weights(mix, None) == mix


def test_a_method_without_runs_of_its_own_learns_from_those_of_the_recipe(tmp_path):
    runs = {"runs": str(tmp_path / "ratios.csv"), "losses": str(tmp_path / "metrics.csv")}
    parts = {name: Part(name, LocalStore(tmp_path), f"{name}.csv", 0, 0, "") for name in ("ratios", "metrics")}
    for path in runs.values():
        Path(path).touch()
    losses = Receipt("losses", 0, "k", "", parts, {}, {}, [], 0.0, 0.0, 0)
    own = {"method": "regmix", "runs": "/mine.csv", "losses": "/losses.csv"}
    given = ["regmix", own, {"web": 1.0}, "proportional"]
    expected = [{"method": "regmix", **runs}, own, {"web": 1.0}, "proportional"]
    assert [taught({"weights": weights}, losses)["weights"] for weights in given] == expected
    phased = taught({"phases": [{"until": 1, "weights": weights} for weights in given]}, losses)
    assert [phase["weights"] for phase in phased["phases"]] == expected
