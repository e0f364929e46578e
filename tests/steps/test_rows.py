"""Every step gives the same for a row whatever rows stand beside it."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.core import registry
from corpuskit.steps.datatrove import bridge
from corpuskit.steps.language import _packaged

PARAMETERS = {
    "quality": {"model": str(_packaged()), "label": "__label__en"},
    "sample": {"method": "random", "keep": 1},  # else it draws by the ids, which begin anew here in each part
    "metadata": {"columns": ["text"]},  # drawn by the ids, which begin anew here in each part: all are
    "identifiers": {"share": 1e-9},
    "language_stop_words": {"lists": {"é ab": ["ab"], "": ["é"]}, "by": "text"},
    "where": {"expr": "length(text) % 2 = 1 OR text LIKE '%a%'"},
    "datatrove:RegexFilter": {"regex_exp": "a"},
}
TINY = "\\data\\\nngram 1=4\nngram 2=1\n\n\\1-grams:\n-1\t<unk>\t0\n0\t<s>\t0\n-1\t</s>\t0\n-2\tab\t0\n"
TINY += "\n\\2-grams:\n-0.5\t<s> ab\n\n\\end\\\n"
ALPHABET = "ab #.-…•é\u0301日 \n\t@2+"
FOUND = ["é ab@ab.de +49 30 1234567", "One, two three; four five six seven eight."]
TEXTS = st.lists(st.none() | st.text(ALPHABET, max_size=40) | st.sampled_from(FOUND), max_size=6)


@pytest.fixture(scope="module")
def parameters(tmp_path_factory):
    path = tmp_path_factory.mktemp("lm") / "tiny.arpa"
    path.write_text(TINY, encoding="utf-8")
    items = path.with_name("items.txt")
    items.write_text("one two three four five six seven eight\n", encoding="utf-8")
    decontaminate = {"against": str(items), "frequent": None}
    urls = {"words": str(items), "column": "text"}
    words = {"lists": {"en": str(items), "ja": str(items)}}
    made = {"perplexity": {"model": str(path)}, "decontaminate": decontaminate, "urls": urls, "words": words}
    return {**PARAMETERS, **made}


def row_steps():
    """Steps that need no state, at `PARAMETERS`; those that always do are tested on their own."""
    steps = registry.builtin(("signal", "filter", "edit")).values()
    free = [one for one in steps if one.summarize_function is None or one.summarize_when is not None]
    return [*free, *(bridge(name, ("filter",)) for name in ("RegexFilter", "C4ParagraphFilter"))]


def applied(one, params, texts):
    batch = pa.record_batch({"doc": pa.array(range(len(texts)), pa.uint64()), "text": pa.array(texts, pa.string())})
    return rows(one, params, batch)


def rows(one, params, batch):
    result = one(batch, **params)
    if one.kind == "edit":
        edited, *_ = result if isinstance(result, tuple) else (result,)
        return edited.column("text").to_pylist()
    if isinstance(result, dict):
        return list(zip(*(column.to_pylist() for column in result.values()), strict=True))
    if isinstance(result, tuple):
        return list(zip(*(column.to_pylist() for column in result[:2]), strict=True))
    return result.to_pylist()


@pytest.mark.parametrize("one", row_steps(), ids=lambda one: one.name)
def test_a_batch_is_the_sum_of_its_parts(one, parameters):
    params = one.validate(parameters.get(one.name, {}))

    @settings(max_examples=40)
    @given(TEXTS, TEXTS)
    def check(a, b):
        together = applied(one, params, a + b)
        assert together == applied(one, params, a) + applied(one, params, b)
        both = pa.record_batch({"doc": pa.array(range(len(a + b)), pa.uint64()), "text": pa.array(a + b, pa.string())})
        assert rows(one, params, both.slice(len(a))) == together[len(a) :], "a slice is not its rows"

    check()


@pytest.mark.parametrize("one", row_steps(), ids=lambda one: one.name)
def test_null_and_empty_texts_give_a_row_each_of_the_declared_types(one, parameters):
    params = one.validate(parameters.get(one.name, {}))
    batch = pa.record_batch({"doc": pa.array([1, 2], pa.uint64()), "text": pa.array([None, ""], pa.string())})
    result = one(batch, **params)
    if one.kind == "signal":
        columns = result if isinstance(result, dict) else {one.name: result}
        declared = one.output_columns(params)
        assert {name: column.type for name, column in columns.items()} == {
            name: pa.type_for_alias(alias) for name, alias in declared.items()
        }
        assert all(len(column) == 2 and not column[0].is_valid for column in columns.values())
    elif one.kind == "edit":
        assert rows(one, params, batch) == [None, ""]
    else:
        mask, reasons, *_ = result
        assert len(mask) == len(reasons) == 2
        assert mask.null_count == 0
