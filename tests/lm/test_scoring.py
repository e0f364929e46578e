"""Scores of the kernel are kenlm's, under models of every order, on any text, null, slice and run of words."""

import itertools
import tempfile
from pathlib import Path

import kenlm
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.lm.scoring import count, load_estimated
from corpuskit.lm.settings import Settings
from corpuskit.steps.perplexity import _by_kenlm, _by_kernel
from tests.kernels.hostile import texts as hostile
from tests.lm.test_estimate import TEXTS, made, what_to_estimate, words_of


def agree(path, texts, window):
    """Both ways give the same sums, tokens and runs."""
    theirs = _by_kenlm(kenlm.Model(str(path)), texts, window)
    ours = _by_kernel(path, texts, window)
    assert ours[0] == pytest.approx(theirs[0], abs=1e-4, rel=1e-5)
    assert ours[1] == theirs[1] == load_estimated(path).score(texts).tokens.tolist()
    assert [len(run) for run in ours[2]] == [len(run) for run in theirs[2]]
    chain = itertools.chain.from_iterable
    assert list(chain(ours[2])) == pytest.approx(list(chain(theirs[2])), rel=1e-3)


@settings(deadline=None, max_examples=100)
@given(TEXTS, what_to_estimate().filter(lambda what: what.order > 1), TEXTS, st.integers(1, 5))
def test_small_models_of_every_order(texts, what, scored, window):
    if not set(" ".join(texts).split()) - {"<s>", "</s>", "<unk>"}:
        return
    with tempfile.TemporaryDirectory() as folder:
        made(texts, what, folder)
        load_estimated.cache_clear()
        agree(Path(folder) / "model.arpa", pa.array([*scored, None, ""], pa.large_string()), window)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scoring")
    made(["\n".join(words_of(9000, 1))], Settings(5, (0, 0, 1), discount_fallback=True), folder)
    return folder / "model.arpa"


@settings(deadline=None)
@given(st.lists(st.none() | hostile, min_size=1, max_size=4), st.integers(1, 9))
def test_any_text(model, texts, window):
    agree(model, pa.array(texts, pa.string()), window)


def test_text_of_the_model_s_own_words_and_slices_of_it(model):
    lines = words_of(3000, 1) + words_of(3000, 7)
    column = pa.array(["\n".join(lines[at : at + 5]) for at in range(0, len(lines), 5)])
    agree(model, column, 7)
    agree(model, column[3:40], 7)


@settings(deadline=None)
@given(st.lists(st.none() | hostile, max_size=4))
def test_tokens_are_words_and_ends_of_lines(texts):
    lines = [[line.split() for line in (text or "").encode().replace(b"\0", b" ").split(b"\n")] for text in texts]
    expected = [sum(len(words) + bool(words) for words in one) for one in lines]
    assert count(pa.array(texts, pa.string())).tolist() == expected
