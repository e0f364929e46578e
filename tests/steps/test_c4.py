"""C4's edit cuts what a Python twin cuts and counts it; the preset is a list that a person can copy."""

import json
import re
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.explore import evidence
from corpuskit.explore.views import query
from corpuskit.steps.c4 import c4, c4_lines
from corpuskit.store.root import Root
from tests.steps.step_runs import build, by_row, kept

CITATION = re.compile(r"\[[0-9]*\]|\[edit\]|\[citation needed\]")
POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")


def rule(line, cleaned, end_marks, min_words):
    """The rule that cuts a line, or None."""
    low = cleaned.lower()
    ends = cleaned.endswith((".", "?", "!", '"', "'")) and not cleaned.endswith("...")
    broken = {
        "long_word": any(len(word) > 1000 for word in line.split()),
        "no_end_mark": end_marks and not ends,
        "few_words": len(line.split()) < min_words,
        "javascript": "javascript" in low and "lorem ipsum" not in low,
        "policy": any(phrase in low for phrase in POLICY) and "lorem ipsum" not in low and "{" not in low,
    }
    return next((name for name, holds in broken.items() if holds), None)


def twin(text, end_marks, min_words):
    """The text that is left, and the counts of what is cut."""
    left, cuts = [], Counter()
    for line in map(str.strip, text.split("\n")):
        cleaned, citations = CITATION.subn("", line)
        why = rule(line, cleaned, end_marks, min_words) if line else ""
        if why is None:
            left.append(cleaned)
            cuts["citations"] += citations
        elif why:
            cuts[why] += 1
    cuts["changed"] += "\n".join(left) != text
    return "\n".join(left), +cuts


PIECES = [
    "a",
    "bridge ",
    "b c d.",
    "é",
    "日本",
    ".",
    "...",
    "?",
    '"',
    "'",
    "\n",
    "\r\n",
    "\n\n",
    " ",
    "\x85",
    "\u3000",
    "[",
    "]",
]
PIECES += [
    "[1]",
    "[]",
    "[edit]",
    "[citation needed]",
    "[edi]",
    "[12",
    "[\u0661]",
    "JavaScript",
    "Privacy Policy",
    "okie",
]
PIECES += ["cookie policy", "uses cookies", "Lorem ipsum", "x" * 990, "é" * 600, "{"]


@settings(max_examples=400)
@given(
    st.lists(st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.none(), max_size=4),
    st.booleans(),
    st.integers(0, 4),
)
def test_lines_are_cut_and_counted_as_by_the_twin(texts, end_marks, min_words):
    wanted = [(None, {}) if text is None else twin(text, end_marks, min_words) for text in texts]
    batch = pa.record_batch({"text": pa.array([*texts, "a slice ends before this."], pa.string())})[: len(texts)]
    batch, found = c4_lines(batch, end_marks=end_marks, min_words=min_words)
    assert list(zip(batch.column("text").to_pylist(), by_row(found, len(texts)), strict=True)) == wanted


def test_the_preset_drops_by_what_is_left_and_findings_count_what_was_cut(tmp_path):
    page = "The bridge was built in 1890.[1] It is long. " * 3
    texts = [
        f"Menu\n{page}\nPlease enable JavaScript to read this.\nHome page",
        f"{page}\nLorem ipsum dolor sit amet.",
        f"{page}\nif (a) {{ return b; }}. It is code.",
        "One sentence is too few for a page.",
        "Nothing that ends",
    ]
    (tmp_path / "raw.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    recipe = tmp_path / "c4.yaml"
    recipe.write_text(f"name: c4\nsources: {{web: {{read: jsonl, path: {tmp_path}/raw.jsonl}}}}\nsteps: [c4: {{}}]\n")
    assert build(recipe) == 0
    (left,) = kept(tmp_path / "root", "sentences")
    assert left == page.replace("[1]", "").strip()
    root = Root(tmp_path / "root")
    found = query(root, "SELECT what, sum(times), count(*) FROM findings GROUP BY ALL ORDER BY ALL")
    counts = [("changed", 4, 4), ("citations", 9, 3), ("javascript", 1, 1), ("no_end_mark", 3, 2)]
    assert [tuple(row.values()) for row in found.to_pylist()] == counts
    sums = evidence.findings(root, root.require_plan())
    assert [(one["what"], one["times"], one["documents"]) for one in sums] == counts


@pytest.mark.parametrize("name", ["c4_lorem_ipsum", "c4_curly_braces", "c4_sentences"])
def test_every_rule_of_the_preset_has_a_name(name):
    assert name in [entry.get("name") for entry in c4()]
