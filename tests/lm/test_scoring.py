"""Scores of the kernel are kenlm's, under models of every order, on any text, null, slice and run of words."""

import itertools
import tempfile
from pathlib import Path

import kenlm
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.lm import reading
from corpuskit.lm.scoring import count, load_arpa
from corpuskit.lm.settings import Settings
from corpuskit.steps.perplexity import _by_kenlm, _by_kernel
from tests.kernels.hostile import texts as hostile
from tests.lm.test_estimate import TEXTS, made, what_to_estimate, words_of


def agree(path, texts, window):
    """Both ways give the same sums, tokens and runs."""
    theirs = _by_kenlm(kenlm.Model(str(path)), texts, window)
    model = load_arpa(path)
    assert model is not None
    ours = _by_kernel(model, texts, window)
    assert ours[0] == pytest.approx(theirs[0], abs=1e-4, rel=1e-5)
    assert ours[1] == theirs[1] == model.score(texts).tokens.tolist()
    assert [len(run) for run in ours[2]] == [len(run) for run in theirs[2]]
    chain = itertools.chain.from_iterable
    assert list(chain(ours[2])) == pytest.approx(list(chain(theirs[2])), rel=1e-3)


@settings(max_examples=100)
@given(TEXTS, what_to_estimate().filter(lambda what: what.order > 1), TEXTS, st.integers(1, 5))
def test_small_models_of_every_order(texts, what, scored, window):
    if not set(" ".join(texts).split()) - {"<s>", "</s>", "<unk>"}:
        return
    with tempfile.TemporaryDirectory() as folder:
        made(texts, what, folder)
        load_arpa.cache_clear()
        agree(Path(folder) / "model.arpa", pa.array([*scored, None, ""], pa.large_string()), window)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scoring")
    made(["\n".join(words_of(9000, 1))], Settings(5, (0, 0, 1), discount_fallback=True), folder)
    return folder / "model.arpa"


@given(st.lists(st.none() | hostile, min_size=1, max_size=4), st.integers(1, 9))
def test_any_text(model, texts, window):
    agree(model, pa.array(texts, pa.string()), window)


SMALL = r"""\data\
ngram 1=5
ngram 2=2
ngram 3=1

\1-grams:
-1.0	<unk>	0
0	<s>	-0.5
-0.5	</s>	0
-0.25	a	-0.125
-2.0	b	0

\2-grams:
-0.125	<s> b	-0.25
-0.5	b a

\3-grams:
-0.0625	<s> b a

\end\
"""


def test_a_file_is_read_in_blocks(tmp_path, monkeypatch):
    path = tmp_path / "small.arpa"
    path.write_text(SMALL)
    monkeypatch.setattr(reading, "BLOCK_BYTES", 21)  # a line and a half
    load_arpa.cache_clear()
    agree(path, pa.array(["b a\n\na b c b a", "c"]), 2)
    load_arpa.cache_clear()


@pytest.mark.parametrize(
    ("stands", "instead"),
    [
        ("-2.0", "-2e0"),
        ("-2.0", "-0.00012345678901234567"),
        ("-2.0", "-99999999999999999999"),
        ("-2.0", "-1.2.3"),
        ("-2.0", "-"),
        ("-0.25\n", "-.\n"),
        ("b a\n\n\\end", "b a\t-0.5\n\n\\end"),
        ("\\end\\\n", "\\end\\\nmore\n"),
        ("\t-0.5\n", "\t-5E-1\n"),
        ("\tb\t", " b\t"),
        ("<s> b\t", "<s>\tb\t"),
        ("b a\n\n\\3", "b a\r\n\n\\3"),
        ("b a\n\n\\3", "a a\n\n\\3"),  # what `<s> b a` ends in is missing
        ("<s> b\t", "a b\t"),  # what it begins with
        ("<unk>", "unk"),
        ("-2.0", "2.0"),
        ("a\t-0.125\n", "a\t-0.125\n\n"),
        ("-2.0\tb", "-2.0\ta"),
        ("ngram 2=2", "ngram 2=1"),
        ("ngram 2=2", "ngram 2=3"),
        ("ngram 3=1", "ngram 3=99999"),
        ("ngram 2=2", "ngram 2 = 2"),
        ("\\end\\\n", ""),
        ("\\data\\", "made by hand\n\\data\\"),
    ],
)
def test_a_file_of_another_form_is_left_to_kenlm(tmp_path, stands, instead):
    path = tmp_path / "other.arpa"
    assert SMALL.count(stands) == 1
    path.write_text(SMALL.replace(stands, instead))
    assert load_arpa(path) is None


def test_what_is_no_arpa_is_left_to_kenlm(tmp_path):
    path = tmp_path / "model"
    for content in (b"", b"mmap lm http://kheafield.com/code format version 5\n\0" + bytes(200), SMALL[:60].encode()):
        path.write_bytes(content)
        assert load_arpa(path, str(len(content))) is None


def test_text_of_the_model_s_own_words_and_slices_of_it(model):
    lines = words_of(3000, 1) + words_of(3000, 7)
    column = pa.array(["\n".join(lines[at : at + 5]) for at in range(0, len(lines), 5)])
    agree(model, column, 7)
    agree(model, column[3:40], 7)


@given(st.lists(st.none() | hostile, max_size=4))
def test_tokens_are_words_and_ends_of_lines(texts):
    lines = [[line.split() for line in (text or "").encode().replace(b"\0", b" ").split(b"\n")] for text in texts]
    expected = [sum(len(words) + bool(words) for words in one) for one in lines]
    assert count(pa.array(texts, pa.string())).tolist() == expected


def test_a_word_that_kenlm_takes_for_the_unknown_one_is_a_word(tmp_path):
    path = tmp_path / "unk.arpa"
    path.write_text(SMALL.replace("1=5", "1=6").replace("-2.0\tb", "-1.5\t<UNK>\t0\n-2.0\tb"))
    assert load_arpa(path).score(pa.array(["<UNK>", "c"])).totals.tolist() == pytest.approx([-0.5 - 1.5 - 0.5, -2.0])
