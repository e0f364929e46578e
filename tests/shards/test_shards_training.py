"""A trained tokenizer is the one that `tokenizers` makes of the same texts, byte for byte."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from corpuskit.errors import UsageError
from corpuskit.kernels.bpe_words import LETTER, NUMBER, OTHER, Words, word_end
from corpuskit.shards.encoder import probes
from corpuskit.shards.fim import TOKENS
from corpuskit.shards.tokenizer import END, from_json
from corpuskit.shards.training import classes, train

PROSE = (
    "The quick brown fox doesn't jump; it's 12 o'clock, we'll see they've gone. größer als 3.141,59 €\n\n\tdef f(x):\n"
    "        return x ** 2  # 日本語の文章です。 नमस्ते दुनिया "
    "مرحبا بالعالم 👩‍👩‍👧 aaaa aaaaaaa ababababab\r\n   \u3000\u00a0 end "
)


def by_library(texts, vocab_size, special=()):
    """The twin: what the library trains."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    about = {
        "vocab_size": vocab_size,
        "min_frequency": 2,
        "special_tokens": [END, *special],
        "initial_alphabet": sorted(pre_tokenizers.ByteLevel.alphabet()),
    }
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(**about, show_progress=False))
    return from_json(tokenizer.to_str(), "twin")


def words_of(text):
    data, found, at = text.encode(), [], 0
    array = np.frombuffer(data, np.uint8)
    while at < len(data):
        end = word_end(array, at, len(data), classes())
        found.append(data[at:end].decode())
        at = end
    return found


def right_words(text):
    spans = [span for _, span in pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)]
    return [text[start:end] for start, end in spans]


def test_the_class_of_a_code_point_is_that_of_the_library():
    """After a letter a letter goes on a word, after a digit a number does, after a sign another sign does."""
    chance = np.random.default_rng(0)
    odd = [0x1C, 0x1F, 0x85, 0xA0, 0x558, 0x58B, 0x88F, 0x1C89, 0x2028, 0x3000, 0x16D40, 0x2EBF0, 0x323B0, 0x10FFFF]
    codes = [*range(0x600), *odd, *(int(code) for code in chance.integers(0x600, 0x110000, 20_000))]
    codes = [code for code in codes if not 0xD800 <= code < 0xE000]
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str
    for sample, kind in (("a", LETTER), ("1", NUMBER), ("!", OTHER)):
        starts = {start for _, (start, _) in cut("".join(f"{sample}{chr(code)}\n" for code in codes))}
        goes_on = [3 * number + 1 not in starts for number in range(len(codes))]
        assert goes_on == (classes()[codes] == kind).tolist()


@given(st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from(" \n\t'sdtmrevl1a!\u00a0\u3000"))))
@settings(max_examples=500)
def test_words_are_cut_as_the_library_cuts_them(text):
    assert words_of(text) == right_words(text)


@pytest.mark.parametrize("vocab_size", [257, 258, 300, 420, 5000])
def test_the_tokenizer_is_that_of_the_library(vocab_size):
    texts = [PROSE, PROSE.upper(), *probes(), "", " ", "<|endoftext|> and on <|endoftext|>"] * 2
    assert train(texts, vocab_size).content == by_library(texts, vocab_size).content


@pytest.mark.parametrize("vocab_size", [260, 261, 500])
def test_other_special_tokens_follow_the_end_token(vocab_size):
    """Also where the texts spell one so often that its bytes are merged."""
    texts = [PROSE, *["".join(TOKENS) + "<|fim_prefix|> def <|fim_middle|>"] * 40]
    trained = train(texts, vocab_size, TOKENS)
    assert trained.content == by_library(texts, vocab_size, TOKENS).content
    assert [trained.tokenizer.token_to_id(name) for name in (END, *TOKENS)] == [0, 1, 2, 3]


@given(
    st.lists(st.text(st.sampled_from("aab \n"), max_size=60), max_size=6),
    st.lists(st.text(st.characters(codec="utf-8"), max_size=30), max_size=4),
    st.integers(257, 320),
)
@settings(max_examples=150)
def test_any_texts_train_what_the_library_trains(few, any_, vocab_size):
    """Few letters make ties, runs of one letter, and tokens that two merges give."""
    texts = few + any_ * 2
    assert train(texts, vocab_size).content == by_library(texts, vocab_size).content


def test_the_order_of_texts_does_not_matter_and_tables_grow():
    chance = np.random.default_rng(3)
    texts = ["".join(chr(97 + letter) for letter in chance.integers(0, 26, 7)) for _ in range(70_000)]
    texts = [" ".join(texts[i : i + 1000]) for i in range(0, len(texts), 1000)]
    words = Words(classes())
    for text in texts:
        words.add(text.encode())
    assert words.counts[: words.words].sum() == 70_000
    assert words.words > 1 << 16
    one, other = train(texts, 400), train(texts[::-1], 400)
    assert one.content == other.content == by_library(texts, 400).content


def test_a_vocabulary_without_room_is_refused():
    with pytest.raises(UsageError, match="256 bytes and the end token need 257"):
        train(["a"], 256)


def test_source_code_and_many_merges():
    texts = [Path(module.__file__).read_text() for module in (json, pytest, np)]
    trained = train(texts, 3000)
    assert len(json.loads(trained.content)["model"]["merges"]) > 500
    assert trained.content == by_library(texts, 3000).content
