"""What web pages are judged by means what a Python twin says, on hostile pieces, any Unicode and slices."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.core.sql import columns_of
from corpuskit.kernels.pages import CLOSERS, PHRASES, TERMINALS
from corpuskit.steps.page_heuristics import COLUMNS, fineweb, page_heuristics

ENDS = {chr(c) for first, last in TERMINALS for c in range(first, last + 1)}


def twin(text):
    """The definition of every column, in plain Python."""
    if text is None:
        return dict.fromkeys(COLUMNS)
    words = text.split()
    lines = [line for line in text.split("\n") if line.strip()]
    low = text.encode().lower()  # ASCII letters alone
    policy, javascript, lorem = (sum(low.count(phrase) for phrase in group) for group in PHRASES)
    sentences = 0
    for line in lines:
        closed = [word.rstrip(CLOSERS)[-1:] in ENDS for word in line.split()]
        sentences += sum(closed) + (not closed[-1])
    repeated = sum(len(line) for at, line in enumerate(lines) if line in lines[:at])

    def share(part, whole=len(text)):  # noqa: B008
        return part / whole if whole else None

    return {
        "text_lines": len(lines),
        "sentences": sentences,
        "curly_braces": text.count("{") + text.count("}"),
        "policy_phrases": policy,
        "javascript": javascript,
        "lorem_ipsum": lorem,
        "terminal_line_share": share(sum(line[-1] in ENDS for line in lines), len(lines)),
        "short_line_share": share(sum(len(line) <= 30 for line in lines), len(lines)),
        "repeated_line_char_share": share(repeated, len(text.replace("\n", ""))),
        "line_feed_word_ratio": share(text.count("\n"), len(words)),
        "digit_share": share(sum(c.isdigit() for c in text)),
        "capital_share": share(sum(c.isupper() for c in text)),
        "space_share": share(sum(c.isspace() for c in text)),
        "capital_word_share": share(sum(word.isupper() for word in words), len(words)),
    }


def agree(column):
    texts = column.to_pylist()
    found = pa.table(page_heuristics(pa.record_batch({"text": column}))).to_pylist()
    assert found == [twin(text) for text in texts]


def test_nothing_depends_on_where_a_step_of_the_kernel_ends():
    tail = 'x ÉÀ "A." (Ok!) 日本。”\u2028ABC?\u3000\n ... …*. \xa0B2 use of cookies\x85\nEND'
    agree(pa.array([word * size + tail for size in range(130) for word in ("a", "B", ".", ")")]))


PIECES = [
    "a",
    "Be",
    "THE",
    "X9",
    "É",
    "ß",
    "ǅ",
    "Ⅷ",
    "ª",
    "日本",
    "。",
    "\U0001d4b3",
    ".",
    "?!",
    '."',
    "...",
    ")",
    "*",
    "”",
]
PIECES += [
    "\n",
    "\n\n",
    "\r\n",
    " ",
    "\t",
    "\x85",
    "\u2003",
    "\u3000",
    "{",
    "}",
    "7",
    "²",
    "\u0661",
    "x" * 31,
    "é" * 30,
]
PIECES += ["JavaScript", "java script", "Lorem Ipsum", "lorem ipsum", "M@IP", "terms of use", "Privacy policy", "okie"]
PIECES += ["cookie Policy", "uses cookies", "use of cookies", "use cookies", "\u212a", "vac", "kie"]


@settings(max_examples=400)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=60).map("".join) | st.none(), max_size=4))
def test_columns_are_what_the_twin_says_on_hostile_pieces(texts):
    agree(pa.array(texts, pa.string()))


@settings(max_examples=150)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=200), max_size=3))
def test_columns_are_what_the_twin_says_on_any_unicode(texts):
    agree(pa.array(texts, pa.large_string()))


def test_every_character_has_the_class_that_python_gives_it():
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    agree(pa.array(["".join(characters[at : at + 64]) for at in range(0, len(characters), 64)]))
    agree(pa.array([f"A{c}" for c in characters if c.isalpha() or not c.isprintable()]))


@pytest.mark.parametrize("phrase", [phrase.decode() for group in PHRASES for phrase in group])
def test_a_phrase_is_found_wherever_a_block_ends(phrase):
    agree(pa.array(["-" * before + phrase.upper() + "-" * 3 for before in range(130)]))


def test_slices_are_counted_as_the_rows_that_they_hold():
    column = pa.array(["lorem ipsum", "uses cookie", "s", None, "", " \n\u3000", "é\n\né", "THE end."])
    agree(column[1:7])


def test_the_preset_is_a_list_that_a_person_can_put_into_the_recipe():
    steps = fineweb(max_short_line_share=0.5)
    assert steps[0] == {"page_heuristics": {}}
    assert {"where": "short_line_share <= 0.5", "name": "fineweb_short_lines"} in steps
    assert len({entry["name"] for entry in steps[1:]}) == 4
    assert set().union(*(columns_of(entry["where"]) for entry in steps[1:])) <= set(COLUMNS)
