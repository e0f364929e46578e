"""What a document repeats means what a Python twin says, on hostile pieces, any Unicode and slices."""

import math
import re
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.core.sql import columns_of
from corpuskit.steps.repetition import COLUMNS, gopher_repetition, repetition


def repeated(pieces):
    """How many of the pieces stand further up already, and their characters."""
    seen, count, chars = set(), 0, 0
    for piece in pieces:
        count += piece in seen
        chars += len(piece) * (piece in seen)
        seen.add(piece)
    return count, chars


def top(words, n):
    """Characters of the most frequent n-gram, the first of several, times its occurrences."""
    grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    if not grams:
        return 0
    most = max(grams.values())
    gram = next(gram for gram, times in grams.items() if times == most)
    return len(" ".join(gram)) * most


def duplicate(words, n):
    """Characters of n-grams that stand further up already; one that is counted is stepped over."""
    seen, chars, at = set(), 0, 0
    while at + n <= len(words):
        gram = tuple(words[at : at + n])
        if gram in seen:
            chars += sum(map(len, gram))
            at += n
        else:
            seen.add(gram)
            at += 1
    return chars


def twin(text):
    """The definition of every column, in plain Python."""
    if text is None:
        return dict.fromkeys(COLUMNS)
    words = text.split()
    lines = [line for line in text.split("\n") if line.strip()]
    paragraphs = re.split("\n{2,}", text.strip()) if text.strip() else []
    same_lines, line_chars = repeated(lines)
    same_paragraphs, paragraph_chars = repeated(paragraphs)

    def share(part, whole=len(text)):  # noqa: B008
        return part / whole if whole else None

    frequencies = [times / len(words) for times in Counter(words).values()]
    return {
        "duplicate_line_share": share(same_lines, len(lines)),
        "duplicate_line_char_share": share(line_chars),
        "duplicate_paragraph_share": share(same_paragraphs, len(paragraphs)),
        "duplicate_paragraph_char_share": share(paragraph_chars),
        **{f"top_{n}gram_char_share": share(top(words, n)) for n in (2, 3, 4)},
        **{f"duplicate_{n}gram_char_share": share(duplicate(words, n)) for n in range(5, 11)},
        "unique_word_share": share(len(set(words)), len(words)),
        "word_entropy": -sum(p * math.log(p) for p in frequencies) if words else None,
    }


def agree(column):
    """The columns of a string array are what the twin says of its rows; the entropy to the last digits."""
    texts = column.to_pylist()
    found = pa.table(repetition(pa.record_batch({"text": column}))).to_pylist()
    for text, row in zip(texts, found, strict=True):
        wanted = twin(text)
        entropy, due = row.pop("word_entropy"), wanted.pop("word_entropy")
        assert row == wanted, text
        assert (entropy is None) == (due is None), text
        assert due is None or entropy == pytest.approx(due, abs=1e-9), text


PIECES = ["a", "b", "the", "the bridge ", "é", "日本", "\U0001d4b3", "\n", "\n\n", "\n\n\n", "\r\n", " ", "\t", "\x1c"]
PIECES += [
    "\x85",
    "\xa0",
    "\u1680",
    "\u2003",
    "\u2028",
    "\u202f",
    "\u205f",
    "\u3000",
    "\u200b",
    "\u3001",
    "Â",
    "x" * 61,
]


@settings(max_examples=300)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=60).map("".join) | st.none(), max_size=4))
def test_columns_are_what_the_twin_says_on_hostile_pieces(texts):
    agree(pa.array(texts, pa.string()))


@settings(max_examples=100)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cn"]), max_size=200), max_size=3))
def test_columns_are_what_the_twin_says_on_any_unicode(texts):
    agree(pa.array(texts, pa.large_string()))


@settings(max_examples=150)
@given(
    st.lists(st.sampled_from(["a", "b", "cc", "the", "naïve"]), max_size=300), st.sampled_from([" ", "\n", " \u3000"])
)
def test_n_grams_that_overlap_themselves_are_counted_as_the_twin_does(words, between):
    agree(pa.array([between.join(words), between.join(words * 2)]))


def test_slices_are_counted_as_the_rows_that_they_hold():
    column = pa.array(["no row of the slice", "a b a b", None, "", " \n\u3000", "é\n\né", "the end"])
    agree(column[1:6])


@pytest.mark.parametrize("place", range(58, 66))
@pytest.mark.parametrize("space", [" ", "\x85", "\xa0", "\u2003", "\u3000", "\u2029"])
def test_white_space_of_several_bytes_ends_a_word_wherever_a_block_ends(place, space):
    agree(pa.array(["x" * place + space + "x" * place + space * 2 + "yy"]))


def test_the_preset_is_a_list_that_a_person_can_put_into_the_recipe():
    steps = gopher_repetition(max_top_2gram_char_share=0.5)
    assert steps[0] == {"repetition": {}}
    assert {"where": "top_2gram_char_share <= 0.5", "name": "gopher_top_2gram_char_share"} in steps
    names = [entry["name"] for entry in steps[1:]]
    assert len(set(names)) == len(names) == 13
    assert set().union(*(columns_of(entry["where"]) for entry in steps[1:])) <= set(COLUMNS)
