"""Tokenizers: the same input gives the same bytes, text gives itself back, and never an end token."""

import hashlib
import json
import os
import random
import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shards_harness import WORDS, documents
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from corpuskit.errors import CorpuskitError, UsageError
from corpuskit.lm import cutting
from corpuskit.shards.sample import Sample
from corpuskit.shards.tokenizer import END, from_json, load
from corpuskit.shards.training import train

TEXTS = documents(1, 150)
TRAINED = train(TEXTS, 320)

IN_A_PROCESS = """
import sys
from corpuskit.shards.training import train
generator = __import__("numpy").random.default_rng(0)
texts = [" ".join("".join(generator.choice(list("abcdeé東"), 5)) for _ in range(200)) for _ in range(200)]
print(train(texts, 2000).sha256)
"""


def test_training_is_the_same_twice_and_on_any_number_of_threads():
    found = set()
    for threads in ("1", "2", "2"):
        environment = {**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
        command = [sys.executable, "-c", IN_A_PROCESS]
        found.add(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip())
    assert len(found) == 1
    assert len(found.pop()) == 64


def test_the_end_token_is_number_zero_and_the_hash_is_that_of_the_file(tmp_path):
    assert (TRAINED.eos, TRAINED.end, TRAINED.vocab_size) == (0, END, 320)
    path = tmp_path / "tokenizer.json"
    path.write_bytes(TRAINED.content)
    assert TRAINED.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert load(str(path)).sha256 == load(str(tmp_path)).sha256 == TRAINED.sha256
    assert load(str(path)).content == TRAINED.content


@given(st.text(max_size=200))
def test_any_text_decodes_to_itself(text):
    (ids,) = TRAINED.encode([text])
    assert TRAINED.tokenizer.decode(ids.tolist(), skip_special_tokens=False) == text


@given(st.lists(st.sampled_from([END, "<|", "endoftext", "|>", " ", "a", "<|endoftext", "é"]), max_size=12))
def test_the_literal_end_token_in_text_is_ordinary_text(pieces):
    text = "".join(pieces)
    (ids,) = TRAINED.encode([text])
    assert TRAINED.eos not in ids
    assert TRAINED.tokenizer.decode(ids.tolist(), skip_special_tokens=False) == text


SPACES = st.sampled_from([*" \n\t\u00a0\u3000\x1c\u200b\u0301xé7.", "  ", " \n", "'s", " 's"])


@given(st.lists(SPACES | st.text(max_size=3), max_size=40), st.integers(1, 12), st.booleans())
def test_a_long_text_in_pieces_has_the_same_tokens(pieces, limit, prefix):
    raw = json.loads(TRAINED.content)
    raw["pre_tokenizer"]["add_prefix_space"] = prefix
    loaded, text = from_json(json.dumps(raw), "test"), "".join(pieces)
    (whole,) = loaded.encode([text])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "LONG", limit)
        cut, short = loaded.encode([text, "ab"])
        assert "".join(cutting.pieces(text)) == text
    assert cut.tolist() == whole.tolist()
    assert short.tolist() == loaded.encode(["ab"])[0].tolist()


def test_only_tokenizers_that_cannot_see_across_a_space_encode_in_pieces():
    def changed(**parts):
        return from_json(json.dumps(json.loads(TRAINED.content) | parts), "test").cuttable

    assert TRAINED.cuttable
    assert changed(normalizer={"type": "NFC"})
    assert not changed(normalizer={"type": "Prepend", "prepend": "_"})
    assert not changed(
        pre_tokenizer={"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": True}
    )
    assert not changed(pre_tokenizer=None)
    raw = Tokenizer.from_str(TRAINED.content.decode())
    raw.add_tokens(["  "])
    assert from_json(raw.to_str(), "runs of spaces").cuttable
    raw.add_tokens(["a word"])
    assert not from_json(raw.to_str(), "a phrase").cuttable


def test_a_tokenizer_that_makes_end_tokens_out_of_text_is_refused():
    raw = Tokenizer(models.WordLevel({"</s>": 0, "hello": 1, "<unk>": 2}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    raw.add_special_tokens(["</s>"])
    loaded = from_json(raw.to_str(), "words")
    assert loaded.encode(["hello"])[0].tolist() == [1]
    with pytest.raises(CorpuskitError, match=r"ordinary text into its end token '</s>'.*begins 'hello </s>'"):
        loaded.encode(["hello </s>"])


def test_truncation_padding_and_added_tokens_of_a_published_file_do_not_act():
    raw = Tokenizer.from_str(TRAINED.content.decode())
    raw.enable_truncation(3)
    raw.enable_padding(length=10)
    raw.post_processor = processors.TemplateProcessing(single=f"{END} $A", special_tokens=[(END, 0)])
    loaded = from_json(raw.to_str(), "published")
    text = " ".join(WORDS)
    assert loaded.encode([text])[0].tolist() == TRAINED.encode([text])[0].tolist()


def test_a_hub_name_is_resolved_through_the_hub_client_and_its_cache(tmp_path):
    revision = "0" * 40
    folder = tmp_path / "hub" / "models--someone--small"
    (folder / "snapshots" / revision).mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(revision)
    (folder / "snapshots" / revision / "tokenizer.json").write_bytes(TRAINED.content)
    code = "from corpuskit.shards.tokenizer import load; print(load('someone/small').sha256)"
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == TRAINED.sha256, done.stderr
    code = code.replace("small", "none-1.4b")
    missing = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "UsageError: tokenizer `someone/none-1.4b`: neither a local file nor fetched" in missing.stderr


def test_what_is_no_tokenizer_is_refused_with_its_name(tmp_path):
    with pytest.raises(UsageError, match=r"none.json: there is no such file"):
        load(str(tmp_path / "none.json"))
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(UsageError, match=r"bad.json: not a tokenizer.json"):
        load(str(tmp_path / "bad.json"))
    (tmp_path / "words.json").write_text(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).to_str())
    with pytest.raises(UsageError, match=r"words.json: has no special token that ends a text"):
        load(str(tmp_path / "words.json"))
    (tmp_path / "sp.model").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="SentencePiece and tiktoken files are not read yet"):
        load(str(tmp_path / "sp.model"))
    with pytest.raises(UsageError, match="256 bytes and the end token need 257"):
        train([], 200)


def batch(rows):
    return pa.record_batch(
        [pa.array([i for i, _ in rows], pa.uint64()), pa.array([t for _, t in rows], pa.string())], ["doc", "text"]
    )


@given(
    st.lists(st.tuples(st.integers(0, 2**64 - 1), st.text(max_size=20)), max_size=30, unique_by=lambda row: row[0]),
    st.integers(0, 120),
    st.integers(1, 30),
    st.randoms(),
)
def test_a_sample_depends_on_documents_alone_and_keeps_its_budget(rows, budget, size, shuffler: random.Random):
    reference = Sample(lambda: iter([batch(rows)]), budget)
    mixed = list(rows)
    shuffler.shuffle(mixed)
    other = Sample(lambda: (batch(mixed[low : low + size]) for low in range(0, len(mixed), size)), budget)
    assert sorted(other) == sorted(reference)
    total = sum(len(text.encode()) for _, text in rows)
    kept = sum(len(text.encode()) for text in reference)
    assert min(total, budget) - 3 <= kept <= budget or total <= kept <= budget


def test_a_sample_cuts_its_last_document_to_fit():
    sample = Sample(lambda: iter([batch([(1, "abcdefgh" * 10)])]), 10)
    assert list(sample) == ["abcdefghab"]


def test_canonical_json_is_independent_of_the_order_in_a_file(tmp_path):
    shuffled = dict(reversed(json.loads(TRAINED.content).items()))
    (tmp_path / "t.json").write_text(json.dumps(shuffled, indent=2))
    assert load(str(tmp_path / "t.json")).sha256 == TRAINED.sha256
