"""RefinedWeb's edit cuts what a Python twin cuts and counts it, and the signal says how much that is."""

import re
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.kernels.refinedweb import COUNTED
from corpuskit.steps.refinedweb import refinedweb, refinedweb_cut, refinedweb_lines
from tests.steps.step_runs import by_row

COUNTER = re.compile(rf"\W*[0-9][0-9.,]*[kmb]?\s+(?:{'|'.join(COUNTED)})\W*")


def low(text):
    """ASCII letters in lower case."""
    return text.encode().lower().decode()


def without(line):
    """A line without its phrases."""
    places = [match.start() for match in re.finditer("items in cart", low(line))]
    for at in reversed(places):
        line = line[: at - (line[:at][-1:].isspace())] + line[at + len("items in cart") :]
    if low(line).endswith("read more..."):
        line = line[: -len("read more...")]
        line = line[:-1] if line[-1:].isspace() else line
    if low(line).startswith("sign-in"):
        line = line[len("sign-in") :]
        line = line[1:] if line[:1].isspace() else line
    return line


def rule(line):
    """The rule that cuts a line, or None."""
    if sum(c.isupper() for c in line) / len(line) > 0.5:
        return "capitals"
    if all(c.isdigit() for c in line):
        return "digits"
    if COUNTER.fullmatch(low(line)) and len(line.split()) <= 10:
        return "counter"
    return "one_word" if len(line.split()) < 2 else None


def twin(text):
    """The text that is left, and the counts of what is cut."""
    left, changed, cuts = [], False, Counter()
    for line in text.split("\n"):
        why = rule(line) if line else None
        if why:
            cuts[why] += 1
            changed = True
            continue
        cleaned = without(line) if len(line.split()) <= 10 else line
        if cleaned != line:
            cuts["phrases"] += 1
            changed = True
        if cleaned.split() or not line:
            left.append(cleaned)
    cuts["changed"] += changed
    return "\n".join(left).strip("\n") if changed else text, +cuts


PIECES = [
    "a ",
    "bridge ",
    "HOME ",
    "X",
    "É",
    "\u0130",
    "日本",
    "12",
    "7",
    "²",
    "3 likes",
    "1.2K\u3000Views!",
    "comments",
    "\n",
]
PIECES += [
    "\n\n",
    " ",
    "\u2003",
    "items in cart",
    "Items in Cart ",
    "Read more...",
    "read more",
    "...",
    "Sign-in",
    "sign-IN ",
]
PIECES += ["one two three four five six seven eight nine ten ", "_", "-", "\u212a", "likes ", "2 ", "\r"]


@settings(max_examples=500)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.none(), max_size=4))
def test_lines_are_cut_and_counted_as_by_the_twin(texts):
    wanted = [(None, {}) if text is None else twin(text) for text in texts]
    batch = pa.record_batch({"text": pa.array([*texts, "a slice ends before this"], pa.string())})[: len(texts)]
    shares = refinedweb_cut(batch).to_pylist()
    batch, found = refinedweb_lines(batch)
    assert list(zip(batch.column("text").to_pylist(), by_row(found, len(texts)), strict=True)) == wanted
    for text, (left, _), share in zip(texts, wanted, shares, strict=True):
        words = len((text or "").split())
        assert share == (pytest.approx(1 - len(left.split()) / words) if words else None)


def test_the_preset_drops_a_page_of_which_much_would_go_and_cuts_the_others():
    (signal, keep, edit) = refinedweb(max_cut_share=0.1)
    assert (signal, edit) == ({"refinedweb_cut": {}}, {"refinedweb_lines": {}})
    assert keep == {"where": "refinedweb_cut <= 0.1", "name": "refinedweb_cut_lines"}
