"""Classes of datatrove work as steps, and those that could lose or change something silently are refused."""

import gzip
import json
import types
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pydantic
import pytest

from corpuskit.cli import main
from corpuskit.core import registry
from corpuskit.errors import CorpuskitError, InputError, UsageError
from corpuskit.sources.base import SourceFile
from corpuskit.step import Bad
from corpuskit.steps.datatrove import _decision, bridge

KINDS = ("signal", "filter", "edit")


def batch(texts, **columns):
    return pa.record_batch({"doc": pa.array(range(len(texts)), pa.uint64()), "text": texts, **columns})


def test_a_filter_is_found_by_name_and_decides():
    found = registry.resolve("datatrove:RegexFilter", KINDS, Path())
    params = found.validate({"regex_exp": "lorem"})
    mask, reasons = found(batch(["lorem ipsum", "fine", None]), **params)
    assert mask.to_pylist() == [False, True, False]
    assert reasons.to_pylist() == [None, None, "no value"]
    assert found.fingerprint(params)["libraries"]["datatrove"]
    assert found.fingerprint(params) != found.fingerprint(found.validate({"regex_exp": "ipsum"}))


def test_the_reason_that_datatrove_gives_is_kept():
    filter_ = bridge("C4ParagraphFilter", KINDS)
    mask, reasons = filter_(batch(["short", ("x" * 250 + "\n") * 5]), **filter_.validate({}))
    assert mask.to_pylist() == [False, True]
    assert reasons.to_pylist()[0]
    assert reasons.to_pylist()[1] is None


def test_lists_of_the_recipe_become_the_tuples_that_a_class_wants():
    filter_ = bridge("FineWebQualityFilter", KINDS)
    params = filter_.validate({"stop_chars": ["!"], "short_line_length": 1, "line_punct_thr": 1})
    mask, reasons = filter_(batch(["ends with a full stop."]), **params)
    assert mask.to_pylist() == [False]
    assert reasons.to_pylist() == ["line_punct_ratio"]


def test_parameters_are_those_of_the_constructor():
    filter_ = bridge("GopherQualityFilter", KINDS)
    assert "exclusion_writer" not in filter_.parameters
    assert filter_.validate({"min_avg_word_length": 2.5})["min_avg_word_length"] == 2.5
    with pytest.raises(pydantic.ValidationError, match="min_doc_word\n"):
        filter_.validate({"min_doc_word": 3})
    with pytest.raises(pydantic.ValidationError, match="min_doc_words"):
        filter_.validate({"min_doc_words": "many"})
    regex = bridge("RegexFilter", KINDS)
    with pytest.raises(UsageError, match=r"refuses its parameters: .*subpattern"):
        regex(batch(["x"]), **regex.validate({"regex_exp": "("}))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("RegxFilter", "did you mean `RegexFilter`"),
        ("BaseFilter", "no filter `BaseFilter`"),
        ("JsonlReader", "is a source, not a filter"),
        ("SamplerFilter", "in the order of documents"),
        ("LambdaFilter", "a Python function"),
        ("C4QualityFilter", "rewrites the text"),
    ],
)
def test_what_cannot_be_used_says_why(name, reason):
    with pytest.raises(UsageError, match=reason):
        bridge(name, KINDS)


def test_a_missing_package_is_named(monkeypatch):
    from datatrove.utils import _import_utils

    monkeypatch.setattr(_import_utils, "_is_package_available", lambda _name: False)
    with pytest.raises(UsageError, match=r"pip install .*tldextract"):
        bridge("URLFilter", KINDS)


@pytest.mark.skipif(find_spec("spacy") is not None, reason="needs an environment without spaCy")
@pytest.mark.parametrize("name", ["FineWebQualityFilter", "GopherQualityFilter", "GopherRepetitionFilter"])
def test_check_names_the_line_and_the_package_that_splits_words(name, tmp_path, capsys):
    (tmp_path / "web.jsonl").write_text('{"text": "a"}\n')
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"name: r\nsources: {{web: {{read: jsonl, path: web.jsonl}}}}\nsteps:\n  - datatrove:{name}: {{}}\n"
    )
    assert main(["check", str(recipe)]) == 2
    said = capsys.readouterr().err
    assert f"r.yaml:4:5: `datatrove:{name}` needs a package that is not installed: Please install `spacy`" in said
    assert "pip install spacy" in said
    recipe.write_text(recipe.read_text().replace(": {}", ": {language: klingon}"))
    assert main(["check", str(recipe)]) == 2
    assert "Language 'klingon' doesn't have a tokenizer" in capsys.readouterr().err


def test_random_draws_in_the_order_of_documents_cannot_be_asked_for():
    assert not {"keep_fraction", "seed"} & set(bridge("C4BadWordsFilter", KINDS).parameters)


def test_a_filter_that_rewrites_the_text_or_fails_names_class_and_document():
    def rewrite(document):
        document.text = document.text.strip()
        return True

    with pytest.raises(UsageError, match="rewrote the text of document 7"):
        _decision(types.SimpleNamespace(filter=rewrite), " x ", {"doc": 7})
    with pytest.raises(CorpuskitError, match="failed on document 7: ZeroDivisionError"):
        _decision(types.SimpleNamespace(filter=lambda _document: 1 / 0), "x", {"doc": 7})


def test_columns_and_the_fields_of_meta_are_metadata():
    seen = []
    filter_ = types.SimpleNamespace(filter=lambda document: seen.append(document.metadata) or True)
    _decision(filter_, "x", {"doc": 7, "url": "u", "meta": '{"stars": 3}'})
    assert seen[0]["url"] == "u"
    assert seen[0]["stars"] == 3


def test_every_record_of_a_reader_counts(tmp_path):
    path = tmp_path / "x.jsonl.gz"
    lines = ['{"text": "a", "url": "u", "metadata": {"k": 1}}', '{"text": ""}', "{broken", '{"body": 1}', '{"text": 5}']
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        stream.write("\n".join([*lines, '{"text": "b"}']) + "\n")
    reader = bridge("JsonlReader", ("source",))
    assert set(reader.parameters) == {"compression", "text_key"}
    got = list(reader(SourceFile(str(path), "x.jsonl.gz"), **reader.validate({})))
    assert got[:2] == [{"k": 1, "url": "u", "text": "a"}, {"text": ""}]
    assert [type(item) for item in got[2:]] == [Bad, dict, Bad, dict]
    assert "x.jsonl.gz" in got[2].reason
    assert got[5] == {"text": "b"}


def test_a_parquet_reader_with_another_text_column(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"content": ["a", "b"], "stars": [1, 2]}), path)
    reader = bridge("ParquetReader", ("source",))
    params = reader.validate({"text_key": "content", "batch_size": 1})
    got = list(reader(SourceFile(str(path), "x.parquet"), **params))
    assert [(item["text"], item["stars"]) for item in got] == [("a", 1), ("b", 2)]
    assert json.dumps(reader.fingerprint(params))


def test_a_file_that_stops_the_reader_is_an_input_error(tmp_path):
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "a"}\n' * 5000)[:-20])
    reader = bridge("JsonlReader", ("source",))
    with pytest.raises(InputError, match=r"x\.jsonl\.gz: datatrove's JsonlReader stopped: EOFError"):
        list(reader(SourceFile(str(path), "x.jsonl.gz"), **reader.validate({})))
