"""Unicode normalization and SlimPajama's count of clean characters."""

import string
import unicodedata

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.core.batch import utf8
from corpuskit.kernels.quick_check import in_form
from corpuskit.steps.clean_chars import clean_chars
from corpuskit.steps.normalize import normalize

ANY = st.characters(codec="utf-8", exclude_categories=["Cs", "Cn"])
TEXTS = st.lists(
    st.none() | st.text(ANY) | st.text("eé\u0301\u0323ÅﬁA가가"),
    max_size=5,
)


def batch(texts):
    return pa.record_batch({"text": pa.array(texts, pa.string())})


@settings(max_examples=200)
@given(TEXTS, st.sampled_from(["NFC", "NFKC"]))
def test_text_becomes_what_unicodedata_makes_of_it(texts, form):
    edited = normalize(batch(texts), unicode=form)
    assert edited.column("text").to_pylist() == [t if t is None else unicodedata.normalize(form, t) for t in texts]


def test_what_is_normal_already_is_not_copied():
    plain, accented = batch(["plain", None, ""]), batch(["caf\u00e9", None])
    assert normalize(plain) is plain
    assert normalize(accented) is accented


@settings(max_examples=200)
@given(TEXTS)
def test_clean_chars_counts_the_text_without_case_punctuation_and_spacing(texts):
    bare = str.maketrans("", "", string.punctuation)
    expected = [t if t is None else len(" ".join(t.lower().translate(bare).split())) for t in texts]
    assert clean_chars(batch(texts)).to_pylist() == expected


@settings(max_examples=500)
@given(TEXTS, st.sampled_from(["NFC", "NFKC"]))
def test_a_text_that_is_known_to_be_normal_is(texts, form):
    found = in_form(*utf8(pa.array(texts, pa.string())), form)
    assert all(unicodedata.is_normalized(form, text or "") for text, known in zip(texts, found, strict=True) if known)


def test_most_texts_are_known_to_be_normal_or_not():
    normal = [
        "Plain",
        "Grüße, señor",
        "Привет, мир",
        "中文和日本語のテキスト",
        "한국어 문장",
        "αβγ",
        "שלום",
        "😀 ok",
        "",
    ]
    others = ["e\u0301", "\u1112\u1161\u11ab", "\u0958", "b\u0305\u0323", "\U00020000"]
    found = in_form(*utf8(pa.array(["x" * 200 + text for text in normal + others])), "NFC")
    assert found.tolist() == [True] * len(normal) + [False] * len(others)
    assert in_form(*utf8(pa.array(["ﬁ", "x²", "fi x2"])), "NFKC").tolist() == [False, False, True]
