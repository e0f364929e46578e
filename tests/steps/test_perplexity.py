"""Perplexity is kenlm's own scores under CCNet's formula."""

import math
import re

import kenlm
import pyarrow as pa
import pydantic
import pytest
import zstandard

from corpuskit import step
from corpuskit.errors import UsageError
from corpuskit.steps.perplexity import _load, perplexity

TINY = r"""\data\
ngram 1=5
ngram 2=1

\1-grams:
-1.0	<unk>	0
0	<s>	0
-0.5	</s>	0
-0.25	a	0
-2.0	b	0

\2-grams:
-0.125	<s> b

\end\
"""


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.arpa"
    path.write_text(TINY, encoding="utf-8")
    return step.File(path)


def ppl(texts, model, **options):
    (column,) = perplexity(pa.record_batch({"text": pa.array(texts, pa.string())}), model=model, **options).values()
    return column.to_pylist()


def test_the_formula_by_hand(tiny, capfd):
    expected = 10 ** ((0.25 + 2.0 + 0.5 + 1.0 + 0.5 + 0.125 + 0.5) / 7)
    assert ppl(["a b\n\n x \nb"], tiny) == [pytest.approx(expected, rel=1e-6)]
    assert capfd.readouterr() == ("", "")


def test_a_text_without_words_has_no_perplexity(tiny):
    assert ppl([None, "", " \n\t\n", "a"], tiny)[:3] == [None, None, None]


def test_lower_case_and_nul(tiny):
    assert ppl(["A B"], tiny) == ppl(["a b"], tiny)
    assert ppl(["A B"], tiny, lowercase=False) != ppl(["a b"], tiny)
    assert ppl(["a\0b"], tiny) == ppl(["a b"], tiny)


def test_the_column_takes_the_name_that_the_recipe_gives(tiny):
    params = perplexity.validate({"model": tiny, "as": "ppl"})
    assert perplexity.output_columns(params) == {"ppl": "float64"}
    assert list(perplexity(pa.record_batch({"text": ["a"]}), **params)) == ["ppl"]
    assert "file" in perplexity.fingerprint(params)["params"]["model"]


@pytest.mark.parametrize("content", ["no model", "", "\\data\\\nngram 1=2\n\n\\1-grams:\n-1 x"])
def test_an_unreadable_model_is_named(tmp_path, content):
    path = tmp_path / "wrong.arpa"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=r"wrong\.arpa: not a language model that kenlm can read: \S"):
        ppl(["a"], step.File(path))


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"gone\.arpa: cannot be read: No such file"):
        ppl(["a"], step.File(tmp_path / "gone.arpa"))


@pytest.mark.parametrize("model", [{"train_on": "wikipedia", "order": 5}, "hf://edugp/kenlm/en.arpa.bin"])
def test_models_that_cannot_be_had_yet_are_refused_at_validation(model):
    with pytest.raises(pydantic.ValidationError, match="yet"):
        perplexity.validate({"model": model})


@pytest.mark.parametrize("name", ["order2", "order3", "order5", "order3-nointerp", "order5-pruned"])
def test_scores_are_those_of_kenlms_query(shared, tmp_path, name):
    path = tmp_path / f"{name}.arpa"
    with zstandard.open(shared / "lm" / f"{name}.arpa.zst", "rb") as packed:
        path.write_bytes(packed.read())
    with zstandard.open(shared / "lm" / f"{name}.scores.zst", "rt", encoding="utf-8") as recorded:
        rows = [re.fullmatch(r"(.*)=(\d+) (\d+) (\S+)", row.rstrip("\n")) for row in recorded]
    lines = (shared / "lm" / "heldout.txt").read_text(encoding="utf-8").splitlines()
    model = _load(path, step.file_digest(path))
    assert isinstance(model, kenlm.Model)
    tokens = [score for line in lines for score in model.full_scores(line)]
    assert len(tokens) == len(rows) == sum(len(line.split()) + 1 for line in lines)
    for token, row in zip(tokens, rows, strict=True):
        assert token[0] == pytest.approx(float(row[4]), abs=1e-4)
        assert token[1] == int(row[3])
        assert token[2] == (row[2] == "0")
    whole = 10 ** (-math.fsum(float(row[4]) for row in rows) / len(rows))
    assert ppl(["\n".join(lines)], step.File(path)) == [pytest.approx(whole, rel=1e-4)]
