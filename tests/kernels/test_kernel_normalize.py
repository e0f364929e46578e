"""Normalization and its hash agree with plain Python on every text."""

import numpy as np
import pyarrow as pa
import pytest
from hostile import texts
from hypothesis import example, given
from hypothesis import strategies as st
from kernel_twins import normalize, normalized_hash

from corpuskit.kernels import normalize as kernel
from corpuskit.kernels.unicode import SPACE, WORD, tables


def column(values):
    return pa.array(values, pa.large_string())


@given(st.lists(texts, max_size=6))
@example(["", " ", "...", "a", "É", "x" * 64, "." * 64 + " a", "a" + " ." * 64])
@example(["ΟΔΥΣΣΕΥΣ", "Σ", "aΣ", "Σa", "aΣ.", "aΣ.a", "aΣ" * 3])
def test_text_equals_python(values):
    assert kernel.normalized(column(values)).to_pylist() == [normalize(value) for value in values]


@given(st.lists(texts, max_size=6))
def test_code_points_are_counted(values):
    assert kernel.clean_chars(column(values)).tolist() == [len(normalize(value)) for value in values]


@given(st.lists(texts, max_size=4), st.sampled_from([0, 1, 2**63, 2**64 - 1]))
def test_hash_equals_python(values, seed):
    assert kernel.normalized_hash(column(values), seed).tolist() == [normalized_hash(value, seed) for value in values]


def test_every_code_point_alone_and_between_letters():
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for context in ("{}", "a{} b"):
        values = [context.format("".join(points[i : i + 50])) for i in range(0, len(points), 50)]
        assert kernel.normalized(column(values)).to_pylist() == [normalize(value) for value in values]


def test_every_code_point_around_a_sigma():
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for context in ("{}Σ ", "A{}Σ1", "AΣ{}A ", "AΣ{} "):
        values = ["1".join(context.format(c) for c in points[i : i + 2000]) for i in range(0, len(points), 2000)]
        assert kernel.normalized(column(values)).to_pylist() == [normalize(value) for value in values]


def test_tables_agree_with_python():
    lower, classes = tables()
    for c in [*range(0x3000), 0x1E9E, 0x212A, 0x10400, 0x1F600]:
        assert bool(classes[c] & SPACE) == chr(c).isspace()
        assert bool(classes[c] & WORD) == (chr(c).isalnum() or c == 0x5F)
        if c != 0x130:
            assert chr(lower[c]) == chr(c).lower()


def test_a_slice_with_nulls_and_short_strings_reads_only_its_rows():
    whole = pa.array(["xx", None, "Ab C", "", "Ünï", "tail"], pa.string())
    part = whole.slice(1, 4)
    assert kernel.normalized(part).to_pylist() == ["", "ab c", "", "ünï"]
    assert kernel.clean_chars(part).tolist() == [0, 4, 0, 3]


def test_an_empty_column():
    assert kernel.clean_chars(column([])).shape == (0,)
    assert kernel.normalized_hash(column([])).shape == (0, 2)


@pytest.mark.parametrize("unit", ["Plain text, with MANY words. ", "Ägypten — Σίσυφος, ὈΔΥΣΣΕΎΣ! "])
def test_a_large_document(unit):
    text = unit * 40_000
    assert kernel.normalized(column([text]))[0].as_py() == normalize(text)


def test_hash_is_blind_to_case_punctuation_and_white_space_only():
    same = kernel.normalized_hash(column(["A b, c", "a  B\tC!", "a b c"]))
    assert (same == same[0]).all()
    other = kernel.normalized_hash(column([f"document {i}" for i in range(20_000)]))
    assert len(np.unique(other[:, 0])) == len(np.unique(other[:, 1])) == 20_000
