"""What gigatoken gives equals what `tokenizers` gives, number by number; else `tokenizers` encodes alone."""

import json
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from corpuskit.errors import CorpuskitError
from corpuskit.shards import encoder as module
from corpuskit.shards.encoder import Encoder, probes, ready
from corpuskit.shards.sample import scrambled
from corpuskit.shards.tokenizer import LoadedTokenizer, from_json
from corpuskit.shards.training import train

TEXTS = [
    "the quick brown fox jumps over the lazy dog, and over 12 others " * 3,
    "größer als schöner Wörter",
    "日本語の文章です。",
]
TRAINED = train(TEXTS * 3, 400)
FAST = Encoder(TRAINED, 1 << 30)


def both(texts, encoder=FAST, loaded=TRAINED):
    docs = np.arange(len(texts), dtype=np.uint64)
    numbers, lengths = encoder.encode(docs, pa.array(texts, pa.string()))
    found = np.split(numbers, np.cumsum(lengths)[:-1]) if len(texts) else []
    right = loaded.encode([text or "" for text in texts])
    assert len(found) == len(right)
    return all(np.array_equal(one, two) for one, two in zip(found, right, strict=True))


def test_the_quick_way_is_taken_for_a_trained_tokenizer():
    assert FAST.why_slow is None
    assert both([*TEXTS, *probes(), None, ""])
    assert both([])
    assert both(["", ""])


@given(st.lists(st.text(max_size=80), max_size=8))
@settings(max_examples=300)
def test_any_text(texts):
    assert both([text.encode("utf-8", "replace").decode() for text in texts])


def test_slices_and_columns_with_large_offsets():
    column = pa.array([*TEXTS, "x", None, "y z"], pa.large_string())
    for start in range(6):
        numbers, lengths = FAST.encode(np.arange(6 - start, dtype=np.uint64), column.slice(start))
        right = TRAINED.encode([text or "" for text in column.slice(start).to_pylist()])
        assert np.array_equal(numbers, np.concatenate(right))
        assert lengths.tolist() == [len(one) for one in right]


def test_an_encoder_that_begins_anew_goes_on_alike():
    small = Encoder(TRAINED, 0)
    texts = ["word " * 100_000, *TEXTS, "other " * 300_000]
    for _ in range(3):
        assert both(texts, small)


def test_a_document_that_is_encoded_in_two_ways_stops_the_unit(monkeypatch):
    encoder = Encoder(TRAINED, 1 << 30)
    true = encoder._by_gigatoken

    def wrong(texts):
        numbers, lengths = true(texts)
        numbers[-1] += 1
        return numbers, lengths

    monkeypatch.setattr(encoder, "_by_gigatoken", wrong)
    (chosen, *_), others = sampled(module.OFTEN)
    with pytest.raises(CorpuskitError, match=f"document {chosen} in two ways"):
        encoder.encode(np.array([others[0], chosen], np.uint64), pa.array(["a b", "c d"]))
    encoder.encode(np.array(others[:2], np.uint64), pa.array(["a b", "c d"]))


def sampled(one_in):
    """Numbers of documents of which one in so many is chosen: those that are, those that are not."""
    docs = np.arange(20_000, dtype=np.uint64)
    chosen = scrambled(docs) % np.uint64(one_in) == 0
    return docs[chosen].tolist(), docs[~chosen].tolist()


def test_fewer_documents_are_compared_once_enough_text_of_a_unit_was(monkeypatch):
    compared = []
    encoder, true = Encoder(TRAINED, 1 << 30), LoadedTokenizer.encode
    monkeypatch.setattr(LoadedTokenizer, "encode", lambda self, texts: compared.extend(texts) or true(self, texts))
    often, seldom = sampled(module.OFTEN)[0], set(sampled(module.SELDOM)[0])
    assert len(seldom) > 5
    texts = [f"{doc} " * 2000 for doc in often]
    several = module.ENOUGH // len(texts[0]) + 1
    assert several < len(often) // 4
    for batch in (1, 7, len(often)):  # of documents: the choice is the same
        compared.clear()
        encoder.begin_unit()
        for low in range(0, len(often), batch):
            encoder.encode(np.array(often[low : low + batch], np.uint64), pa.array(texts[low : low + batch]))
        numbers = [int(text.split(" ", 1)[0]) for text in compared]
        early = next(k for k in range(len(often)) if sum(map(len, texts[:k])) >= module.ENOUGH)
        assert numbers == often[:early] + [doc for doc in often[early:] if doc in seldom]


def test_a_long_document_is_compared_by_its_first_piece(monkeypatch):
    encoder = Encoder(TRAINED, 1 << 30)
    chosen = np.array(sampled(module.OFTEN)[0][:1], np.uint64)
    text = "the quick brown fox jumps " * 50_000
    assert len(TRAINED.first_piece(text)) < len(text)
    encoder.encode(chosen, pa.array([text]))
    true = encoder._by_gigatoken

    def wrong(texts):
        numbers, lengths = true(texts)
        numbers[1000] += 1
        return numbers, lengths

    monkeypatch.setattr(encoder, "_by_gigatoken", wrong)
    with pytest.raises(CorpuskitError, match="in two ways"):
        encoder.encode(chosen, pa.array([text]))


def test_a_worker_keeps_its_encoder_from_unit_to_unit():
    content = TRAINED.content.decode()
    kept = ready(content, 1 << 30)
    assert ready(content, 1 << 30) is kept
    assert both([*TEXTS, ""], kept)
    assert ready(train(TEXTS, 300).content.decode(), 1 << 30) is not kept


def test_a_tokenizer_that_gigatoken_does_not_know_goes_through_the_library():
    raw = Tokenizer(models.WordLevel({"[UNK]": 0, "the": 1, "<eos>": 2}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.normalizer = normalizers.Lowercase()
    raw.add_special_tokens(["<eos>"])
    loaded = from_json(raw.to_str(), "words")
    slow = Encoder(loaded, 1 << 30)
    assert slow.why_slow is not None
    assert both(["The the cat", "", None], slow, loaded)


def test_a_difference_is_found_before_the_first_document(monkeypatch):
    monkeypatch.setattr(module, "probes", lambda: ["plain"])
    true = Encoder._by_gigatoken
    monkeypatch.setattr(Encoder, "_by_gigatoken", lambda self, texts: (true(self, texts)[0] + 1, true(self, texts)[1]))
    assert "encodes 'plain' in another way" in (Encoder(TRAINED, 1 << 30).why_slow or "")


def test_without_gigatoken(monkeypatch):
    monkeypatch.setitem(sys.modules, "gigatoken", None)
    slow = Encoder(TRAINED, 1 << 30)
    assert slow.why_slow == "gigatoken is not installed"
    assert both(TEXTS, slow)


def test_text_of_the_end_token_is_text_and_an_end_token_of_text_is_refused():
    assert both(["a<|endoftext|>b", "<|endoftext|>"])
    eos = TRAINED.eos
    numbers, _ = FAST.encode(np.zeros(1, np.uint64), pa.array(["a<|endoftext|>b"]))
    assert eos not in numbers


def raised(by):
    """The trained tokenizer with numbers that are larger by so many, below which are tokens that no text gives."""
    told = json.loads(TRAINED.content)
    vocab = told["model"]["vocab"]
    told["model"]["vocab"] = {f"\u4e00{number}": number for number in range(1, by + 1)}
    told["model"]["vocab"] |= {token: number + by * (number > 0) for token, number in vocab.items()}
    return from_json(json.dumps(told), "raised")


@pytest.mark.parametrize("by", [65_500, (1 << 17) + 5])
def test_large_vocabularies(by):
    loaded = raised(by)
    large = Encoder(loaded, 1 << 30)
    assert loaded.vocab_size == TRAINED.vocab_size + by
    assert large.why_slow is None
    assert both([*TEXTS, *probes(), "", None], large, loaded)
    numbers, _ = large.encode(np.zeros(1, np.uint64), pa.array([TEXTS[0]]))
    assert numbers.max() > by


PIECES = [
    "<|endoftext|>",
    "<|endoftext|",
    "</s>",
    " ",
    "\n\n",
    "\u200d",
    "e\u0301",
    "\ufeff",
    "\U0001f469\u200d\U0001f467",
    "'ll",
    "\0",
]


@given(st.lists(st.sampled_from(PIECES), max_size=40), st.integers(1, 3000))
@settings(max_examples=60)
def test_odd_pieces_and_long_documents(pieces, times):
    """Special tokens inside of text, joiners, marks; up to some hundred thousand characters in one document."""
    assert both(["".join(pieces), "".join(pieces) * (times // 100), "x".join(pieces), "a" * times])
