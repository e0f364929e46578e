"""Dolma's columns mean what a Python twin says, on hostile pieces, any Unicode and slices; so do the lines it cuts."""

import statistics
from collections import Counter

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.core.sql import columns_of
from corpuskit.steps.dolma import COLUMNS, RECURRING, TOP, dolma, dolma_heuristics, dolma_lines

STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}


def grams(words, n):
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def letters(gram):
    return sum(map(len, gram))


def top(words, n):
    """Characters of the most frequent n-gram, the first of several, times its occurrences."""
    found = grams(words, n).most_common(1)
    return letters(found[0][0]) * found[0][1] if found else 0


def recurring(words, n):
    """The share of n-grams that occur more than once, by characters."""
    found = grams(words, n)
    whole = sum(letters(gram) * times for gram, times in found.items())
    return sum(letters(gram) * times for gram, times in found.items() if times > 1) / max(1, whole)


def twin(text):
    """The definition of every column, in plain Python."""
    if text is None:
        return dict.fromkeys(COLUMNS)
    words, lines = text.split(), text.split("\n")
    chars, again = sum(map(len, words)), [line for line, times in Counter(lines).items() if times > 1]
    times = Counter(lines)

    def share(part, whole):
        return part / whole if words else None

    return {
        "median_word_length": float(statistics.median(map(len, words))) if words else None,
        "symbol_word_share": share(sum("#" in word or "…" in word for word in words), len(words)),
        "stop_word_count": sum(word in STOP_WORDS for word in words),
        "marked_line_share": sum(line[:1] in ("*", "-") for line in lines) / len(lines),
        "ellipsis_end_share": sum(line.endswith("…") for line in lines) / len(lines),
        "recurring_line_share": sum(times[line] for line in again) / len(lines),
        "recurring_line_char_ratio": share(sum(times[line] * len(line) for line in again), chars),
        **{f"top_{n}gram_letter_share": share(top(words, n), chars) for n in TOP},
        **{f"recurring_{n}gram_share": recurring(words, n) if words else None for n in RECURRING},
    }


def cut(text):
    """The text without lines that end in no mark, and how many these are."""
    pieces = text.split("\n")
    lines = [piece + "\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])
    left = [line for line in lines if line.strip().endswith((".", "?", "!", '"'))]
    return "".join(left), len(lines) - len(left)


def agree(column):
    texts = column.to_pylist()
    batch = pa.record_batch({"text": column})
    assert pa.table(dolma_heuristics(batch)).to_pylist() == [twin(text) for text in texts]
    edited, found = dolma_lines(batch)
    wanted = [(None, 0) if text is None else cut(text) for text in texts]
    assert edited["text"].to_pylist() == [text for text, _ in wanted]
    assert edited["text"].type == column.type
    cuts = [{"row": row, "what": "no_end_mark", "times": n} for row, (_, n) in enumerate(wanted) if n]
    assert found.to_pylist() == cuts


PIECES = [
    "a",
    "the ",
    "of",
    " be ",
    "bridge",
    "é",
    "日本 ",
    "\U0001d4b3",
    "\n",
    "\n\n",
    "\r\n",
    " ",
    "\t",
    "\x1c",
    "\x85",
]
PIECES += [
    "…",
    "…\n",
    "#",
    "* ",
    "\n* ",
    "\n- ",
    ".",
    ".\n",
    "? \n",
    '!"\n',
    "\u3000",
    "a b c d e f g h i j k ",
    "one two ",
]
TEXTS = st.one_of(st.none(), st.lists(st.sampled_from(PIECES), max_size=60).map("".join), st.text(max_size=50))


@settings(max_examples=150)
@given(st.lists(TEXTS, max_size=6), st.sampled_from([pa.string(), pa.large_string()]), st.integers(0, 3))
def test_columns_and_cut_lines_are_those_of_the_twin_on_any_text(texts, kind, start):
    agree(pa.array(texts, kind)[start:])


def test_a_long_text_of_few_words_is_counted_whole():
    lines = [f"- line {n % 7} of the long page {n % 3} with words that have {n % 5} ends." for n in range(3000)]
    agree(pa.array(["\n".join(lines), "x" * 100_000, "a " * 100_000, "\n" * 5000], pa.string()))


def test_the_preset_reads_columns_that_there_are():
    steps = dolma()
    names = [entry["name"] for entry in steps if "where" in entry]
    assert len(set(names)) == len(names) == 20
    known = {*COLUMNS, "words", "symbol_words", "alpha_word_share"}
    assert {column for entry in steps if "where" in entry for column in columns_of(entry["where"])} <= known
