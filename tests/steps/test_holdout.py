"""Held-out documents depend on texts and seed only; states merge exactly; contamination is by 13-word shingles."""

import pickle
import re

import numpy as np
import pyarrow as pa
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.steps.holdout import build_index, chosen, contaminated, holdout, merge, select


def state(texts, tokens=100, seed=1, first=0):
    docs = pa.array(range(first, first + len(texts)), pa.uint64())
    return select(docs, pa.array(texts, pa.string()), tokens=tokens, seed=seed)


def same(a, b):
    return (
        a.total == b.total
        and a.limit == b.limit
        and all(np.array_equal(x, y) for x, y in ((a.hashes, b.hashes), (a.docs, b.docs), (a.sizes, b.sizes)))
    )


def corpus(n=4000, seed=5):
    random = np.random.default_rng(seed)
    return [" ".join(f"w{k}" for k in random.integers(0, 10**6, random.integers(5, 60))) for _ in range(n)]


TEXTS = st.lists(st.none() | st.sampled_from(["", "a", "A ", "a!", "b c", "B  c", "dddd" * 9, "e" * 30]), max_size=8)


@settings(max_examples=150)
@given(TEXTS, TEXTS, TEXTS, st.integers(1, 20))
def test_merging_is_exact_and_order_free(a, b, c, tokens):
    whole = state(a + b + c, tokens)
    parts = [
        state(a, tokens),
        state(b, tokens, first=len(a)),
        state(c, tokens, first=len(a) + len(b)),
    ]
    assert same(whole, merge(merge(parts[0], parts[1]), parts[2]))
    assert same(whole, merge(parts[2], merge(parts[1], parts[0])))
    assert same(whole, pickle.loads(pickle.dumps(whole)))


@settings(max_examples=150)
@given(TEXTS, st.integers(1, 20))
def test_equal_normalized_texts_fall_on_the_same_side(texts, tokens):
    def plain(text):
        return " ".join(re.sub(r"[^\w\s]", "", text.lower()).split())

    held = set(chosen(state(texts, tokens))[0].tolist())
    sides = {}
    for doc, text in enumerate(texts):
        if text:
            sides.setdefault(plain(text), set()).add(doc in held)
        else:
            assert doc not in held
    assert all(len(side) == 1 for side in sides.values())
    assert bool(held) == any(texts)


def test_the_wanted_tokens_are_reached_by_the_last_document_and_not_before():
    texts = corpus()
    docs, warning = chosen(state(texts, tokens=2000))
    assert warning is None
    sizes = [len(texts[doc]) for doc in docs.tolist()]
    assert sum(sizes) >= 8000 > sum(sizes) - max(sizes)
    assert docs.dtype == np.uint64
    assert np.all(docs[1:] > docs[:-1])


def test_another_seed_chooses_others_and_the_same_seed_the_same():
    texts = corpus()
    first, again, other = (set(chosen(state(texts, 2000, seed))[0].tolist()) for seed in (1, 1, 2))
    assert first == again
    assert len(first & other) < len(first) / 2


def test_more_tokens_only_add_documents():
    texts = corpus()
    assert set(chosen(state(texts, 500))[0].tolist()) < set(chosen(state(texts, 2000))[0].tolist())


def test_at_most_five_percent_of_a_domain_is_held_out():
    texts = corpus(400)
    docs, warning = chosen(state(texts, tokens=10**9))
    assert warning is None
    share = sum(len(texts[doc]) for doc in docs.tolist()) / sum(map(len, texts))
    assert 0.03 < share <= 0.05


def test_one_document_is_held_out_even_if_it_is_too_large_with_a_warning():
    docs, warning = chosen(state(["one text", "another text"]))
    assert len(docs) == 1
    assert "% of the domain" in warning
    docs, warning = chosen(state(["same text"] * 3))
    assert len(docs) == 3
    assert "3 copies" in warning


def test_a_domain_without_texts_has_no_validation_documents():
    assert chosen(state([]))[0].tolist() == []
    assert chosen(state([None, ""]))[0].tolist() == []


def test_parameters():
    assert holdout.validate({"tokens": "500k"})["tokens"] == 500_000
    assert holdout.validate({"tokens": "1.5M"})["tokens"] == 1_500_000
    assert holdout(**holdout.validate({})) == {"tokens": 200_000, "seed": 0, "dedup_train": False}
    for wrong in ({"tokens": "many"}, {"tokens": 0}, {"tokens": "0"}, {"seed": -1}, {"token": 5}):
        with pytest.raises(pydantic.ValidationError):
            holdout.validate(wrong)


def shingles(text):
    words = re.findall(r"\w+", text.lower())
    if not words:
        return set()
    return {tuple(words[i : i + 13]) for i in range(max(1, len(words) - 12))}


def test_contamination_is_containment_in_a_single_held_out_document():
    held = corpus(60, seed=7)
    words = held[0].split() + held[1].split()
    half = held[2].split()[:12]
    train = [
        held[0],
        held[0].upper() + "!",
        " ".join(words),
        *(f"{held[k]} {' '.join(f'n{k}x{j}' for j in range(12 * k))}" for k in range(8)),
        " ".join(half),
        "",
        None,
        *corpus(50, seed=8),
    ]
    sets = [shingles(text) for text in held]
    expected = []
    for text in train:
        own = shingles(text or "")
        expected.append(bool(own) and max(len(own & other) for other in sets) * 2 >= len(own))
    assert True in expected[3:11]
    assert False in expected[3:11]
    assert contaminated(pa.array(train, pa.string()), build_index(pa.array(held))).tolist() == expected


def test_two_held_out_documents_together_do_not_contaminate():
    random = np.random.default_rng(3)
    thirds = [" ".join(f"w{k}" for k in random.integers(0, 10**6, 40)) for _ in range(3)]
    index = build_index(pa.array(thirds[:2]))
    assert contaminated(pa.array([" ".join(thirds)]), index).tolist() == [False]
    assert contaminated(pa.array([thirds[0]]), index).tolist() == [True]


def test_an_empty_index_contaminates_nothing():
    index = build_index(pa.array([], pa.string()))
    assert contaminated(pa.array(["some text", None]), index).tolist() == [False, False]
