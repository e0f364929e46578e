"""Models are those of lmplz and of a plain twin; bytes tell nothing of how the texts came, or of the memory."""

import itertools
import math
import re
import tempfile
from pathlib import Path

import kenlm
import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.errors import UsageError
from corpuskit.lm.estimate import estimate
from corpuskit.lm.settings import Settings
from corpuskit.lm.sorting import Sorter
from tests.lm.arpa import read_arpa
from tests.lm.plain_model import model

REFERENCES = {
    "order2": Settings(2),
    "order3": Settings(3),
    "order5": Settings(5),
    "order3-nointerp": Settings(3, interpolate_unigrams=False),
    "order5-pruned": Settings(5, (0, 0, 1)),
}


def made(texts, what, folder, memory=1 << 28):
    """Bytes of the ARPA file of texts, and what was counted."""
    path = Path(folder) / "model.arpa"
    facts = estimate([pa.array(texts, pa.string())], path, what, folder=Path(folder) / "work", memory=memory)
    assert not (Path(folder) / "work").exists()
    return path.read_bytes(), facts


def close(found, expected):
    """The same n-grams, with the same numbers within 1e-4."""
    assert [set(one) for one in found] == [set(one) for one in expected]
    for mine, theirs in zip(found, expected, strict=True):
        grams = list(theirs)
        np.testing.assert_allclose([mine[g] for g in grams], [theirs[g] for g in grams], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", REFERENCES)
def test_models_are_those_of_lmplz(shared, tmp_path, name):
    text = (shared / "lm" / "train.txt").read_text(encoding="utf-8")
    arpa, facts = made([text], REFERENCES[name], tmp_path)
    with zstandard.open(shared / "lm" / f"{name}.arpa.zst", "rt", encoding="utf-8") as lines:
        close(read_arpa(arpa.decode().splitlines()), read_arpa(lines))
    for line in (shared / "lm" / f"{name}.discounts").read_text().splitlines():
        order, size, *discounts = re.findall(r"[\d.]+(?![\d+]*=)", line)
        one = facts.orders[int(order) - 1]
        assert one.kept == int(size)
        assert one.discounts == pytest.approx([float(discount) for discount in discounts], rel=1e-5)


@pytest.mark.parametrize("name", REFERENCES)
def test_scores_of_held_out_text_are_those_of_lmplz(shared, tmp_path, name):
    text = (shared / "lm" / "train.txt").read_text(encoding="utf-8")
    made([text], REFERENCES[name], tmp_path)
    scorer = kenlm.Model(str(tmp_path / "model.arpa"))
    with zstandard.open(shared / "lm" / f"{name}.scores.zst", "rt", encoding="utf-8") as recorded:
        rows = [re.fullmatch(r".*=(\d+) (\d+) (\S+)", row.rstrip("\n")) for row in recorded]
    lines = (shared / "lm" / "heldout.txt").read_text(encoding="utf-8").splitlines()
    scores = [score for line in lines for score in scorer.full_scores(line)]
    for (score, matched, unknown), row in zip(scores, rows, strict=True):
        assert score == pytest.approx(float(row[3]), abs=1e-4)
        assert (matched, unknown) == (int(row[2]), row[1] == "0")


WORD = st.sampled_from(["a", "b", "c", "d", "é", "<s>", "</s>", "<unk>", "long-word"])
LINE = st.lists(WORD, max_size=7).map(" ".join)
TEXTS = st.lists(st.lists(LINE, max_size=5).map("\n".join), min_size=1, max_size=6)


@st.composite
def what_to_estimate(draw):
    order = draw(st.integers(1, 6))
    prune = draw(st.lists(st.integers(0, 3), max_size=order).map(sorted))
    return Settings(order, tuple(prune), draw(st.booleans()), discount_fallback=True)


@settings(max_examples=150)
@given(TEXTS, what_to_estimate())
def test_models_are_those_of_the_plain_twin(texts, what):
    with tempfile.TemporaryDirectory() as folder:
        try:
            arpa, _ = made(texts, what, folder)
        except UsageError as error:
            assert "no word" in str(error)  # noqa: PT017
            assert not set(" ".join(texts).split()) - {"<s>", "</s>", "<unk>"}
            return
    expected = model(texts, what.order, what.thresholds, what.interpolate_unigrams)
    close(read_arpa(arpa.decode().split("\n")), expected)


def words_of(count, seed):
    """Lines of words that are frequent as those of a language are."""
    draws = np.random.default_rng(seed).zipf(1.3, count) % 500
    return [" ".join(f"w{word}" for word in draws[at : at + 9]) for at in range(0, count, 9)]


@pytest.mark.parametrize("what", [Settings(4, discount_fallback=True), Settings(5, (0, 1, 2), discount_fallback=True)])
def test_bytes_tell_nothing_of_the_order_of_texts_or_of_the_memory(tmp_path, monkeypatch, what):
    lines = words_of(9000, 1)
    whole, _ = made(["\n".join(lines)], what, tmp_path)
    for module in ("columns", "counting", "estimate", "sorting"):
        monkeypatch.setattr(f"corpuskit.lm.{module}.BLOCK", 700)
    monkeypatch.setattr("corpuskit.lm.estimate.LEAST_MEMORY", 0)
    monkeypatch.setattr("corpuskit.lm.sorting.LEAST", 500)
    monkeypatch.setattr("corpuskit.lm.arpa.LINES", 300)
    assert made(lines[::-1], what, tmp_path, memory=1 << 14) == (whole, made(lines, what, tmp_path)[1])


@given(st.lists(st.integers(0, 40), max_size=300), st.integers(1, 90))
def test_runs_are_merged_in_order_with_all_that_belongs_to_them(keys, room):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("corpuskit.lm.sorting.LEAST", room)
        sorter = Sorter(Path(folder), 0, 1000)
        for at in range(0, len(keys), 37):
            part = np.array(keys[at : at + 37], np.uint64)
            sorter.add(part, np.arange(at, at + len(part), dtype=np.uint64))
        blocks = list(sorter.blocks())
        assert not list(Path(folder).iterdir())
    found = [pair for block in blocks for pair in zip(*(part.tolist() for part in block), strict=True)]
    assert [key for key, _ in found] == sorted(keys)
    assert sorted(found) == sorted(zip(keys, itertools.count()))


def test_probabilities_after_every_context_sum_to_one(tmp_path):
    for prune, interpolate in (((), True), ((0, 1, 1), True), ((), False), ((2,), True)):
        what = Settings(3, prune, interpolate, discount_fallback=True)
        made(["\n".join(words_of(3000, 2))], what, tmp_path)
        scorer = kenlm.Model(str(tmp_path / "model.arpa"))
        arpa = read_arpa((tmp_path / "model.arpa").read_text(encoding="utf-8").splitlines())
        words = [word for (word,) in arpa[0] if word != "<s>"]
        for context in ("", "w1", "w1 w2", "w9 w1", "unseen"):
            start, after = kenlm.State(), kenlm.State()
            scorer.BeginSentenceWrite(start)
            for word in context.split():
                scorer.BaseScore(start, word, after)
                start, after = after, kenlm.State()
            total = math.fsum(10 ** scorer.BaseScore(start, word, kenlm.State()) for word in words)
            assert total == pytest.approx(1, abs=1e-4), (what, context)


def test_what_was_passed_over_is_counted(tmp_path):
    texts = ["a <s> b\n\n \t\nc", None, "", "<unk> </s>\nb\0a\r\n"]
    _, facts = made(texts, Settings(2, discount_fallback=True), tmp_path)
    assert (facts.sentences, facts.words, facts.special, facts.blank) == (3, 5, 3, 5)
    assert facts.orders[1].fallback


@pytest.mark.parametrize("texts", [[], [""], ["\n \n"], ["<s>"]])
def test_a_text_without_words_is_refused(tmp_path, texts):
    with pytest.raises(UsageError, match="there is no word in the text"):
        made(texts, Settings(2), tmp_path)


def test_too_little_text_is_refused_with_what_helps(tmp_path):
    with pytest.raises(
        UsageError, match="the discounts of 1-grams cannot be estimated: none has the adjusted count"
    ) as told:
        made(["a b\nb c"], Settings(3), tmp_path)
    assert "discount_fallback" in told.value.hint


@pytest.mark.parametrize(
    ("order", "prune", "said"),
    [
        (0, (), "order 0 cannot be"),
        (7, (), "up to 6"),
        (2, (0, 0, 1), "3 counts"),
        (3, (1, 0), "do not fall"),
        (3, (-1,), "at 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(order, prune, said):
    with pytest.raises(UsageError, match=said):
        Settings(order, prune)
