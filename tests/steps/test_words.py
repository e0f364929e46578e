"""Entries of lists count as whole words, or anywhere in languages without spaces, by the language of the document."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.errors import UsageError
from corpuskit.steps.words import words
from tests.steps.step_runs import build, kept

DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lists")
    (folder / "en").write_text("darn\n\nsemi-final blow\nOh no\n☂\n", encoding="utf-8")
    (folder / "ja").write_text("大変\nこら\n", encoding="utf-8")
    return {name: str(folder / name) for name in ("en", "ja")}


def counts(texts, lists, **params):
    columns = {"text": pa.array(texts, pa.string())}
    if "by" in params:
        columns["language"] = pa.array(params.pop("languages"), pa.string())
    return words(pa.record_batch(columns), **words.validate({"lists": lists, **params}))["listed_words"].to_pylist()


def test_words_and_phrases_are_whole(lists):
    texts = ["Darn! darn, DARN", "darned undarn darn_it", "a Semi final\nblow", "oh, no: oh no no", "x☂☂x", "", None]
    assert counts(texts, {"en": lists["en"]}) == [3, 0, 1, 2, 2, 0, None]


def test_languages_without_spaces_are_searched_anywhere(lists):
    texts = ["それは大変こらこら", "大変", "大 変"]
    assert counts(texts, {"ja": lists["ja"]}) == [3, 1, 0]
    assert counts(texts, {"ja": lists["ja"]}, substrings=[]) == [0, 1, 0]


def test_a_document_is_compared_with_the_list_of_its_language(lists):
    texts = ["darn 大変", "darn 大変", "darn 大変", "darn 大変", None]
    languages = ["en", "ja", "de", None, "en"]
    assert counts(texts, lists, by="language", languages=languages) == [1, 1, None, None, None]
    assert counts(texts, lists) == [2, 2, 2, 2, None]
    with pytest.raises(UsageError, match="no column `tongue`"):
        counts(texts, lists, by="tongue", languages=languages)


def test_a_rule_like_that_of_c4(lists, tmp_path):
    rows = [{"text": "A darn page.", "lang": "en"}, {"text": "A page.", "lang": "en"}, {"text": "darn", "lang": "de"}]
    (tmp_path / "web.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = "name: r\nsources:\n  web: {read: jsonl, path: web.jsonl, columns: {lang: string}}\nsteps:\n"
    recipe += f"  - words: {{lists: {{en: {lists['en']}}}, by: lang, as: bad}}\n  - where: coalesce(bad, 0) = 0\n"
    (tmp_path / "r.yaml").write_text(recipe)
    assert build(tmp_path / "r.yaml") == 0
    assert kept(tmp_path / "root", "bad") == {"A page.": 0, "darn": None}


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data: the lists that C4 used")
@settings(max_examples=100)
@given(st.data())
def test_decisions_are_those_of_the_expression_of_c4(data):
    """C4 joins entries in one expression between `\\W`; entries of word characters and single blanks mean the same."""
    path = DATA / "toxicity_pii" / "LDNOOBW" / "en"
    entries = [one for one in path.read_text().split("\n") if re.fullmatch(r"\w+(?: \w+)*", one)]
    reference = re.compile(r"(?:\W|^)({})(?:\W|$)".format("|".join(map(re.escape, entries))))
    some = st.sampled_from([*entries, "class", "a", "analysis", "B"])
    text = " ".join(data.draw(st.lists(some, max_size=8)))
    text = "".join(c.upper() if data.draw(st.booleans()) else c for c in text[:40]) + text[40:]
    (found,) = counts([text], {"en": str(path)})
    assert (found > 0) == bool(reference.search(text.lower()))


def test_a_list_without_an_entry_is_named(tmp_path):
    (tmp_path / "en").write_text("\n \n")
    batch = pa.record_batch({"text": ["a"]})
    with pytest.raises(UsageError, match="`words` finds no entry"):
        words(batch, **words.validate({"lists": {"en": str(tmp_path / "en")}}))
