"""Fill in the middle: undone it is the document, at the rate asked for, whatever the batches."""

import json
import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shards_harness import Corpus, documents
from test_shards_stages import TRAIN, content, pieces_of, split_of
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from corpuskit.errors import CorpuskitError, UsageError
from corpuskit.shards.fim import TOKENS, Fim, Marks, joined, known, rearranged, whole
from corpuskit.shards.read import read_index
from corpuskit.shards.tokenizer import END, from_json
from corpuskit.shards.training import train

MARKS = Marks(1, 2, 3)
FIM = {"rate": 0.5, "spm_rate": 0.5, "seed": 3}


def undone(tokens, marks):
    """(form, prefix, middle, suffix) as token lists, of a document without its end token.

    PSM with an empty prefix reads as SPM with one: it is the same document.
    """
    if not tokens or tokens[0] != marks.prefix:
        return "none", [], tokens, []
    middle, suffix = tokens.index(marks.middle), tokens.index(marks.suffix)
    if suffix == 1:
        return "spm", [], tokens[middle + 1 :], tokens[2:middle]
    return "psm", tokens[1:suffix], tokens[middle + 1 :], tokens[suffix + 1 : middle]


def text_of(tokenizer, parts):
    """The document; in SPM prefix and middle are one stretch of tokens."""
    return "".join(tokenizer.decode(part, skip_special_tokens=False) for part in parts)


@given(
    st.lists(st.text(max_size=40), max_size=20),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 2**63 - 1),
)
def test_the_parts_of_a_document_are_the_document(texts, rate, spm_rate, seed):
    docs = np.arange(len(texts), dtype=np.uint64) * 977
    rows = rearranged(docs, pa.array(texts, pa.large_string()), Fim(rate, spm_rate, seed), MARKS)
    found, forms = [], Counter()
    for text, mark, last in zip(rows.texts.to_pylist(), rows.marks.tolist(), rows.last, strict=True):
        found.append((tuple(mark), text))
        if last:
            order = [mark for mark, _ in found]
            by_mark = dict(found) if len(found) == 3 else {}
            if order == [(1, -1), (3, -1), (2, -1)]:
                made, form = by_mark[1, -1] + by_mark[2, -1] + by_mark[3, -1], "psm"
            elif order == [(1, 3), (2, -1), (-1, -1)]:
                made, form = by_mark[2, -1] + by_mark[-1, -1] + by_mark[1, 3], "spm"
            else:
                assert order == [(-1, -1)]
                made, form = found[0][1], "none"
            assert made == texts[sum(forms.values())]
            forms[form] += 1
            found = []
    assert {form: forms[form] for form in ("psm", "spm")} == rows.forms
    assert sum(forms.values()) == len(texts)


def test_the_shares_and_the_cuts_are_those_asked_for():
    """20,000 documents of ten letters: four standard deviations, of a binomial, around each share."""
    count, fim = 20_000, Fim(0.4, 0.3, 11)
    rows = rearranged(np.arange(count, dtype=np.uint64) << 20, pa.array(["abcdefghij"] * count), fim, MARKS)

    def near(found, share, of):
        return abs(found - share * of) < 4 * math.sqrt(of * share * (1 - share))

    chosen = sum(rows.forms.values())
    assert near(chosen, 0.4, count)
    assert near(rows.forms["spm"], 0.3, chosen)
    psm = [k for k, mark in enumerate(rows.marks.tolist()) if mark == [1, -1]]
    texts = rows.texts.to_pylist()
    lengths = Counter((len(texts[k]), len(texts[k + 2])) for k in psm)  # of prefix and middle
    for (before, inside), seen in lengths.items():  # two cuts among 11 places: 1/121 each, and both orders
        assert near(seen, (1 if inside == 0 else 2) / 121, len(psm)), (before, inside)
    assert len(lengths) == 66


def test_the_draws_are_pinned():
    """Tokens written today must be made again by any later version: these may never change."""
    rows = rearranged(np.arange(6, dtype=np.uint64), pa.array(["abcdef"] * 6), Fim(0.7, 0.5, 42), MARKS)
    shown = zip(rows.docs.tolist(), rows.marks.tolist(), rows.texts.to_pylist(), strict=True)
    assert list(shown) == PINNED


PINNED = [
    (0, [1, -1], "ab"),
    (0, [3, -1], "f"),
    (0, [2, -1], "cde"),
    (1, [-1, -1], "abcdef"),
    (2, [-1, -1], "abcdef"),
    (3, [1, -1], ""),
    (3, [3, -1], "def"),
    (3, [2, -1], "abc"),
    (4, [1, -1], ""),
    (4, [3, -1], "abcdef"),
    (4, [2, -1], ""),
    (5, [1, -1], "abc"),
    (5, [3, -1], "ef"),
    (5, [2, -1], "d"),
]


def test_what_is_left_as_it_is_has_only_its_end_token():
    rows = whole(np.arange(3, dtype=np.uint64), pa.array(["a", "", "bc"]))
    found, lengths = joined(np.array([7, 8, 9], np.int32), np.array([1, 0, 2]), rows, 0, "uint16")
    assert (found.tolist(), lengths.tolist()) == ([7, 0, 0, 8, 9, 0], [2, 1, 3])
    none = whole(np.zeros(0, np.uint64), pa.array([], pa.string()))
    found, lengths = joined(np.zeros(0, np.int32), np.zeros(0, np.int64), none, 0, "uint16")
    assert (len(found), len(lengths)) == (0, 0)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    corpus = Corpus(tmp_path_factory.mktemp("fim"), content()).tokenize(TRAIN, fim={"web": FIM})
    return corpus.mix(packing="best_fit", file_tokens=2000)


def marks_of(corpus):
    loaded = from_json((corpus.root / "tokens" / "tokenizer.json").read_text(), "test")
    return loaded, loaded.fim_marks()


def test_documents_in_shards_are_whole_when_undone(built):
    loaded, marks = marks_of(built)
    index, domains = read_index(built.root / "shards"), split_of(built, "train")
    forms = Counter()
    for doc, runs in pieces_of(built, index["train"]).items():
        tokens = [token for start in sorted(runs) for token in runs[start][0][0]]
        assert tokens.pop() == loaded.eos
        parts = undone(tokens, marks)
        assert text_of(loaded.tokenizer, parts[1:]) == built.texts[doc]
        forms[domains[doc], parts[0]] += 1
    assert {form for domain, form in forms if domain == "books"} == {"none"}
    assert {form for domain, form in forms if domain == "web"} == {"none", "psm", "spm"}
    counted = Counter()
    for name in ("web_a", "web_b"):
        for receipt in built.receipts[f"tokens-{name}"]:
            counted.update(receipt.facts.get("fim", {}))
    assert counted == {form: forms["web", form] for form in ("psm", "spm")}


def test_held_out_documents_are_left_as_they_are(built):
    loaded, _ = marks_of(built)
    index = read_index(built.root / "shards")
    for doc, runs in pieces_of(built, index["validation"].values()).items():
        tokens = [token for start in sorted(runs) for token in runs[start][0][0]]
        assert loaded.tokenizer.decode(tokens[:-1], skip_special_tokens=False) == built.texts[doc]


def test_tokens_do_not_depend_on_batches(tmp_path):
    found = []
    for name, size in (("a", 1 << 20), ("b", 17)):
        corpus = Corpus(tmp_path / name, content(), batch_bytes=size).tokenize(TRAIN, fim={"web": FIM, "books": FIM})
        found.append(corpus.published())
    assert found[0] == found[1]


def test_a_trained_tokenizer_gets_the_tokens_and_a_plain_one_lacks_them(tmp_path):
    texts = documents(1, 30)
    loaded = train(texts, 400, TOKENS)
    assert loaded.fim_marks() == Marks(1, 2, 3)
    assert loaded.eos == 0
    literal = "".join(TOKENS) + END
    (ids,) = loaded.encode([literal])
    assert min(ids) > 3, "text that spells a mark is text"
    assert loaded.tokenizer.decode(ids.tolist(), skip_special_tokens=False) == literal
    with pytest.raises(UsageError, match=r"has no tokens for fill in the middle\n.*<fim_prefix>"):
        train(texts, 400).fim_marks()
    with pytest.raises(UsageError, match="256 bytes and 4 special tokens need 260"):
        train(texts, 259, TOKENS)


def made(special, pre_tokenizer, *, marks=TOKENS):
    """A tokenizer of letters with these marks as added tokens."""
    letters = sorted({*pre_tokenizers.ByteLevel.alphabet(), "▁"})
    tokenizer = Tokenizer(models.BPE({letter: k for k, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer, decoders.ByteLevel()
    tokenizer.add_special_tokens([END])
    (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(list(marks))
    return tokenizer


def test_marks_of_published_tokenizers_are_known():
    for names in (TOKENS, ("<fim_prefix>", "<fim_middle>", "<fim_suffix>")):
        loaded = from_json(made(True, pre_tokenizers.ByteLevel(add_prefix_space=False), marks=names).to_str(), "x")
        assert known(names) == names
        assert loaded.fim_marks() == Marks(*(loaded.tokenizer.token_to_id(name) for name in names))
    assert known([*TOKENS[:2], "<fim_suffix>"]) is None


def test_a_tokenizer_that_begins_texts_with_a_space_is_refused():
    metaspace = made(True, pre_tokenizers.Metaspace())
    metaspace.decoder = decoders.Metaspace()
    with pytest.raises(UsageError, match="begins each text with a space"):
        from_json(metaspace.to_str(), "x").fim_marks()


def test_a_text_that_spells_a_mark_which_is_not_special_is_an_error(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(made(False, pre_tokenizers.ByteLevel(add_prefix_space=False)).to_str())
    corpus = Corpus(tmp_path / "run", {"a": ("a", [{"corpus": ["fine", f"see {TOKENS[2]} here"]}])})
    with pytest.raises(CorpuskitError, match=r"text of document \d+ into a token that marks parts") as caught:
        corpus.tokenize(str(path), fim={"a": {"rate": 0.0, "spm_rate": 0, "seed": 1}})
    assert str(max(corpus.texts)) in str(caught.value)


def test_both_ways_to_write_hold_the_same(tmp_path):
    torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")
    from corpuskit.train.data import Shards

    batches = []
    for write in ("shards", "plan"):
        corpus = Corpus(tmp_path / write, content()).tokenize(TRAIN, fim={"web": FIM, "books": FIM})
        split = Shards(corpus.mix(write=write, packing="best_fit").root / "shards", "document").train[0]
        batches.append(split.batch(range(len(split)), len(split)))
    assert torch.equal(batches[0].inputs, batches[1].inputs)
    assert torch.equal(batches[0].documents, batches[1].documents)
    marks = json.loads((tmp_path / "plan" / "tokens" / "tokenizer.json").read_text())["added_tokens"]
    assert [token["content"] for token in marks] == [END, *TOKENS]
