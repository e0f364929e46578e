"""Perplexity is kenlm's own scores under CCNet's formula."""

import json
import math
import re
import tempfile
from pathlib import Path

import kenlm
import pyarrow as pa
import pyarrow.parquet as pq
import pydantic
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from corpuskit.cli import main
from corpuskit.core.identity import File, file_digest
from corpuskit.errors import UsageError
from corpuskit.lm.scoring import load_arpa
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
    return File(path)


def ppl(texts, model, **options):
    (column,) = perplexity(pa.record_batch({"text": pa.array(texts, pa.string())}), model=model, **options).values()
    return column.to_pylist()


def test_the_formula_by_hand(tiny, capfd):
    expected = 10 ** ((0.25 + 2.0 + 0.5 + 1.0 + 0.5 + 0.125 + 0.5) / 7)
    assert ppl(["a b\n\n x \nb"], tiny) == [pytest.approx(expected, rel=1e-6)]
    assert capfd.readouterr() == ("", "")


def test_a_model_that_is_left_to_kenlm_gives_the_same(tmp_path, tiny):
    path = tmp_path / "exponents.arpa"
    path.write_text(TINY.replace("-0.125", "-1.25e-1"), encoding="utf-8")
    assert load_arpa(path) is None
    texts = ["a b\n\n x \nb", None, "b a\0b\nB"]
    assert ppl(texts, File(path)) == [value and pytest.approx(value, rel=1e-6) for value in ppl(texts, tiny)]
    assert windows(texts[:1], File(path), 2)[0] == pytest.approx(windows(texts[:1], tiny, 2)[0], rel=1e-6)


def test_a_text_without_words_has_no_perplexity(tiny):
    assert ppl([None, "", " \n\t\n", "a"], tiny)[:3] == [None, None, None]


def windows(texts, model, size):
    batch = pa.record_batch({"text": pa.array(texts, pa.string())})
    return perplexity(batch, model=model, windows=size)["perplexity_windows"].to_pylist()


def test_windows_are_runs_of_words_in_the_context_of_their_lines(tiny):
    # a, b, </s> | <unk>, </s>, b after <s> | </s> counts with its word
    expected = [10 ** ((0.25 + 2.0 + 0.5) / 3), 10 ** ((1.0 + 0.5 + 0.125 + 0.5) / 4)]
    assert windows(["a b\n\n x \nb"], tiny, 2) == [pytest.approx(expected, rel=1e-6)]
    assert windows(["a b\nx b"], tiny, 3)[0][1] == pytest.approx(10 ** ((2.0 + 0.5) / 2), rel=1e-6)  # what is left
    assert windows([None, "", " \n", "a"], tiny, 5)[:3] == [None, [], []]


@given(st.lists(st.lists(st.sampled_from("abx"), max_size=6), max_size=5), st.integers(1, 9))
def test_windows_together_are_the_document(lines, size):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.arpa"
        path.write_text(TINY, encoding="utf-8")
        text = "\n".join(" ".join(line) for line in lines)
        (whole,), (found,) = ppl([text], File(path)), windows([text], File(path), size)
    words = [place == len(line) for line in lines for place in range(1, len(line) + 1)]
    assert len(found) == -(-len(words) // size)
    tokens = [len(part) + sum(part) for part in (words[at : at + size] for at in range(0, len(words), size))]
    if words:
        logs = math.fsum(math.log(value) * count for value, count in zip(found, tokens, strict=True))
        assert math.exp(logs / sum(tokens)) == pytest.approx(whole, rel=1e-6)
    else:
        assert whole is None


def test_one_bad_passage_is_seen_by_a_rule(tiny, tmp_path):
    good, bad = "a " * 200, "a " * 190 + "b " * 10
    rows = [json.dumps({"text": text}) for text in (good, bad, "a " * 30)]
    (tmp_path / "raw.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    path = tmp_path / "recipe.yaml"
    for most in (5, 1000):  # the second run reads the stored lists
        path.write_text(
            f'sources:\n  web: {{read: jsonl, path: "{tmp_path}/*.jsonl"}}\nsteps:\n'
            f'  - perplexity: {{model: "{tiny}", as: ppl, windows: 10}}\n'
            f"  - where: list_max(ppl_windows) < {most} AND ppl < 3\n    name: even\n",
            encoding="utf-8",
        )
        assert main(["run", str(path), "--root", str(tmp_path / "root"), "--engine", "inline"]) == 0
        kept = pq.read_table(tmp_path / "root" / "corpus")
        assert kept.num_rows == (2 if most == 5 else 3)
        assert kept.schema.field("ppl_windows").type == pa.list_(pa.float64())
        assert {len(value) for value in kept.column("ppl_windows").to_pylist()} == {3, 20}
    assert len(list((tmp_path / "root" / "stages").glob("signal-perplexity-*/columns/*/*.arrow"))) == 1


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
        ppl(["a"], File(path))


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"gone\.arpa: cannot be read: No such file"):
        ppl(["a"], File(tmp_path / "gone.arpa"))


def test_a_model_on_a_hub_is_refused_at_validation():
    with pytest.raises(pydantic.ValidationError, match="yet"):
        perplexity.validate({"model": "hf://edugp/kenlm/en.arpa.bin"})


@pytest.mark.parametrize("name", ["order2", "order3", "order5", "order3-nointerp", "order5-pruned"])
def test_scores_are_those_of_kenlms_query(shared, tmp_path, name):
    path = tmp_path / f"{name}.arpa"
    with zstandard.open(shared / "lm" / f"{name}.arpa.zst", "rb") as packed:
        path.write_bytes(packed.read())
    with zstandard.open(shared / "lm" / f"{name}.scores.zst", "rt", encoding="utf-8") as recorded:
        rows = [re.fullmatch(r"(.*)=(\d+) (\d+) (\S+)", row.rstrip("\n")) for row in recorded]
    lines = (shared / "lm" / "heldout.txt").read_text(encoding="utf-8").splitlines()
    model = _load(path, file_digest(path))
    assert isinstance(model, kenlm.Model)
    tokens = [score for line in lines for score in model.full_scores(line)]
    assert len(tokens) == len(rows) == sum(len(line.split()) + 1 for line in lines)
    for token, row in zip(tokens, rows, strict=True):
        assert token[0] == pytest.approx(float(row[4]), abs=1e-4)
        assert token[1] == int(row[3])
        assert token[2] == (row[2] == "0")
    assert load_arpa(path, file_digest(path)) is not None  # what follows is by the kernel
    whole = 10 ** (-math.fsum(float(row[4]) for row in rows) / len(rows))
    assert ppl(["\n".join(lines)], File(path)) == [pytest.approx(whole, rel=1e-4)]
