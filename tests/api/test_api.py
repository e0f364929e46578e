"""The package from Python: what is flat in `corpuskit`, steps on tables, and the notebook that shows it."""

import ast
import doctest
import inspect
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import corpuskit as ck
from corpuskit.mix.problem import Mixture
from corpuskit.steps import frames

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
LONG = "The cat and the dog sat on the mat, and they were glad of it. " * 10


def test_the_package_is_light_until_a_name_is_used() -> None:
    loaded = "import sys, corpuskit; print(*sys.modules)"
    names = subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True, text=True).stdout.split()
    assert "corpuskit" in names
    assert not {name.partition(".")[0] for name in names} & {
        "duckdb",
        "numba",
        "polars",
        "pyarrow",
        "pydantic",
        "torch",
    }


def test_every_name_of_the_package_is_there() -> None:
    for name in ck.__all__:
        assert getattr(ck, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = ck.nothing


def test_the_examples_in_docstrings() -> None:
    assert doctest.testmod(frames) == doctest.TestResults(0, 7)


@pytest.mark.parametrize("frame", [pa.table, pl.DataFrame])
def test_a_preset_splits_a_frame_of_either_kind(frame: Any) -> None:
    given = frame({"id": [1, 2, 3], "text": ["Short.", LONG, None]})
    gopher = ck.steps.gopher_quality()
    kept, dropped = gopher(given), gopher.dropped(given)
    assert type(kept) is type(dropped) is type(given)
    assert kept["id"].to_pylist() if frame is pa.table else kept["id"].to_list() == [2]
    assert pa.table(dropped).select(["id", "rule"]).to_pylist() == [
        {"id": 1, "rule": "gopher_few_words"},
        {"id": 3, "rule": "gopher_few_words"},
    ]
    assert "doc" not in pa.table(kept).column_names


def test_steps_of_each_kind_work_on_a_table() -> None:
    table = pa.table({"text": ["e\u0301", LONG], "doc": pa.array([7, 9], pa.uint64())})
    assert ck.steps.normalize(unicode="NFC")(table)["text"].to_pylist() == ["\u00e9", LONG]
    assert ck.steps.clean_chars()(table)["doc"].to_pylist() == [7, 9]
    scored = ck.steps.quantile(by="n", **{"as": "q"})(pa.table({"text": ["a", "b"], "n": [1.0, 2.0]}))
    assert scored["q"].to_pylist() == sorted(scored["q"].to_pylist())
    assert ck.steps.c4(min_sentences=1)(table).num_rows == 1  # the preset, not the file of its name
    assert ck.steps.where(expr="true")(table.slice(0, 0)).num_rows == 0


def test_what_a_table_cannot_have_done_to_it_is_refused() -> None:
    with pytest.raises(AttributeError, match="did you mean `gopher_quality`"):
        ck.steps.gopher_qualty()
    with pytest.raises(ck.CorpuskitError, match="min_word: "):
        ck.steps.gopher_quality(min_word=3)
    with pytest.raises(ck.CorpuskitError, match="no column `text`"):
        ck.steps.clean_chars()(pa.table({"body": ["a"]}))
    with pytest.raises(ck.CorpuskitError, match="needs a model that a run trains"):
        ck.steps.perplexity(model={"train_on": "wikipedia", "order": 3})


def test_the_notebook_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    shown = []
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            body = ast.parse("".join(cell["source"])).body
            last = body.pop() if isinstance(body[-1], ast.Expr) else None
            exec(compile(ast.Module(body, []), "notebook", "exec"), names)
            if last is not None:
                shown.append(eval(compile(ast.Expression(last.value), "notebook", "eval"), names))
    heads, dropped, plan, run, rules, duplicates, domains = shown
    assert heads.height == 5
    assert dropped.filter(pl.col("rule") == "gopher_few_words")["len"].item() > 0
    assert "<td" in plan._repr_html_()
    assert "topics in runs/topics" in run._repr_html_()
    assert run.mixture() is None
    assert rules["documents"].sum() >= dropped["len"].sum()
    assert {row["kind"] for row in duplicates} == {"near"}
    assert domains["len"].item() == len(names["kept"])


def test_html_of_a_mixture_and_of_hostile_names() -> None:
    assert "<td" in Mixture({"web": 0.5, "books": 0.5})._repr_html_()
    assert "<script>" not in Mixture({"<script>": 1.0})._repr_html_()


def test_a_step_is_a_block_of_a_pipeline_of_datatrove() -> None:
    from datatrove.data import Document

    block = pickle.loads(pickle.dumps(ck.steps.gopher_quality().in_datatrove()))
    given = [
        Document(text, str(number), metadata={"url": str(number)}) for number, text in enumerate(["Short.", LONG] * 700)
    ]
    found = list(block.run(iter(given)))
    assert [one.id for one in found] == [str(number) for number in range(1, 1400, 2)]
    assert found[0].text == LONG
    assert found[0].metadata["url"] == "1"
    assert found[0].metadata["words"] == 150
    assert block.stats["dropped_gopher_few_words"].total == 700
    with pytest.raises(ck.CorpuskitError, match="chooses by all documents"):
        ck.steps.quantile(by="n", **{"as": "q"}).in_datatrove()


def test_what_is_called_shows_its_parameters_and_no_environment() -> None:
    assert list(inspect.signature(ck.run).parameters)[:3] == ["recipe", "root", "engine"]
    assert list(inspect.signature(ck.plan).parameters) == ["recipe", "sample"]
    assert os.environ["PATH"] not in str(inspect.signature(ck.load))
