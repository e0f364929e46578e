"""CCNet's way: normalized text in pieces of a SentencePiece model, for models that are given and that are estimated."""

import importlib.util
import json
import random
import re

import kenlm
import pyarrow as pa
import pytest
from datatrove.utils.perplexity import KenlmModel
from hypothesis import example, given
from hypothesis import strategies as st

from corpuskit import open_run
from corpuskit.cli import main
from corpuskit.core.identity import File
from corpuskit.errors import UsageError
from corpuskit.lm.pieces import _PUNCTUATION, ccnet_text, in_pieces, load_tokenizer
from corpuskit.steps.perplexity import perplexity
from tests.kernels.hostile import texts as hostile

MARKS = "".join(_PUNCTUATION.values()) + "0123٣१１²éÄŁ\u0301\u0085\n\t \u00a0한"


@example(": \u0300")
@given(st.one_of(hostile, st.text(alphabet=MARKS, max_size=60)))
def test_text_is_normalized_as_by_ccnet(text):
    # datatrove's is that of cc_net, but for numbers, which become a single 0 there, and white space at the ends
    text = re.sub(r"\d", "", text)
    assert ccnet_text(text).strip() == KenlmModel("", "").normalize(text).strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Café №7：„Ja“…\nNein—1９٣ ", 'cafe №0:"ja"...nein - 000'),
        ("ÅNGSTRÖM\u0085ẞ", "angstromß"),
        ("", ""),
        ("\n\t", ""),
    ],
)
def test_normalization_by_hand(text, expected):
    assert ccnet_text(text) == expected


WORDS = "the of river winter station bridge wooden engine market eighty café reached quietly".split()


def sentence(rng):
    return " ".join(rng.choices(WORDS, range(len(WORDS), 0, -1), k=8)).capitalize() + "."


TEXTS = [sentence(rng) + "\n" + sentence(rng) for rng in map(random.Random, range(300))]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    sentencepiece = pytest.importorskip("sentencepiece", reason="pieces need sentencepiece, which is not installed")
    path = tmp_path_factory.mktemp("pieces") / "small.sp.model"
    with path.open("wb") as stream:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(map(ccnet_text, TEXTS)), model_writer=stream, vocab_size=50, minloglevel=2
        )
    return path


def test_a_model_of_pieces_is_estimated_and_scores_as_ccnet_does(tokenizer, tmp_path, capsys):
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    model = tmp_path / "small.arpa"
    words = ["lm", "train", str(tmp_path / "texts.jsonl"), "-o", str(model), "--tokenizer", str(tokenizer)]
    assert main([*words, "--order", "3", "--discount-fallback"]) == 0
    assert "in 300 sentences" in capsys.readouterr().out  # a document is one: line feeds are left out
    # what datatrove, and cc_net, do with the two files
    theirs = KenlmModel("", "")
    theirs._model = kenlm.Model(str(model))
    theirs.tokenizer._model = load_tokenizer(tokenizer, "")
    texts = [*TEXTS[:20], "Zürich—unknown №9!", "the RIVER 2\n\nof"]
    batch = pa.record_batch({"text": [*texts, None, "", "\n"]})
    found = perplexity(batch, model=File(model), tokenizer=File(tokenizer), windows=5)
    expected = [theirs.get_perplexity(text) for text in texts]
    assert found["perplexity"].to_pylist() == [*(pytest.approx(one, abs=0.051) for one in expected), None, None, None]
    assert found["perplexity_windows"].to_pylist()[-3:] == [None, [], []]


RECIPE = """\
sources:
  wiki: {{read: jsonl, path: wiki.jsonl}}
  web: {{read: jsonl, path: web.jsonl}}
steps:
  - perplexity: {{model: {{train_on: wiki, order: 3, discount_fallback: true}}, tokenizer: "{tokenizer}", as: ppl}}
    only: web
"""


def test_a_recipe_estimates_and_scores_in_pieces(tokenizer, tmp_path):
    for name, texts in (("wiki", TEXTS[:200]), ("web", TEXTS[200:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(tokenizer=tokenizer))
    assert main(["run", str(path), "--root", str(tmp_path / "root"), "--engine", "inline"]) == 0
    (model,) = (tmp_path / "root" / "stages").glob("model-perplexity-*/parts/*-model.bin")
    rows = open_run(tmp_path / "root").sql("SELECT text, ppl FROM corpus WHERE domain = 'web'").to_pylist()
    assert len(rows) == 100
    batch = pa.record_batch({"text": [row["text"] for row in rows]})
    expected = perplexity(batch, model=File(model), tokenizer=File(tokenizer))["perplexity"].to_pylist()
    assert [row["ppl"] for row in rows] == pytest.approx(expected, rel=1e-4)
    assert in_pieces(pa.array(["the river"]), load_tokenizer(tokenizer, "")).to_pylist()[0].startswith("▁the")


def test_what_is_no_tokenizer_is_named(tmp_path, capsys):
    pytest.importorskip("sentencepiece", reason="pieces need sentencepiece, which is not installed")
    wrong = tmp_path / "wrong.model"
    wrong.write_bytes(b"no model")
    with pytest.raises(UsageError, match=r"wrong\.model: not a SentencePiece model"):
        load_tokenizer(wrong, "")
    (tmp_path / "few.txt").write_text("a b\n")
    words = ["lm", "train", str(tmp_path / "few.txt"), "-o", str(tmp_path / "m.arpa"), "--tokenizer"]
    assert main([*words, str(tmp_path / "gone.model")]) == 2
    assert "gone.model: not a SentencePiece model" in capsys.readouterr().err


def test_the_package_is_asked_for_at_check(tmp_path, capsys, monkeypatch):
    for name in ("wiki", "web"):
        (tmp_path / f"{name}.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "some.model").write_bytes(b"")
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(tokenizer=tmp_path / "some.model"))
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sentencepiece" else found(name))
    assert main(["check", str(path)]) == 2
    error = capsys.readouterr().err
    assert "needs sentencepiece, which is not installed: pip install" in error
    assert "recipe.yaml:5" in error
