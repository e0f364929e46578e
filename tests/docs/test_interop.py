"""What docs/interop.md says of each tool is run, with every tool that is installed."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from corpuskit.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "interop.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```python title=\"(\w+)\"\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
LONG = "The cat and the dog sat on the mat, and they were glad of it number {}."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("interop")
    (folder / "raw").mkdir()
    rows = [{"text": LONG.format(n) if n % 3 else "Short.", "url": f"https://{n}", "year": n} for n in range(30)]
    for name in ("web", "books"):
        (folder / "raw" / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    columns = {"web": "url: string", "books": "year: int64"}
    sources = "".join(
        f"  {name}: {{read: jsonl, path: raw/{name}.jsonl, columns: {{{kept}}}}}\n" for name, kept in columns.items()
    )
    (folder / "recipe.yaml").write_text(f"sources:\n{sources}")
    assert main(["run", str(folder / "recipe.yaml"), "--root", str(folder / "root"), "--engine", "inline"]) == 0
    return folder


@pytest.mark.parametrize("tool", ["polars", "duckdb", "pyarrow", "datasets"])
def test_a_corpus_is_read_with_the_columns_of_every_domain(tool: str, folder: Path) -> None:
    if importlib.util.find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed")
    names: dict[str, Any] = {}
    exec(BLOCKS[tool].replace("ROOT", str(folder / "root")), names)
    frame = names["frame"]
    assert len(frame) == 60
    assert {"url", "year"} <= set(getattr(frame, "column_names", None) or frame.columns)


def test_a_pipeline_of_datatrove_drops_what_a_recipe_would(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(BLOCKS["datatrove"], names)
    reader, block, _ = names["pipeline"]
    found = list(block.run(reader.run(None, 0, 1)))
    assert len(found) == 40
    assert all(one.metadata["words"] > 5 for one in found)
    assert block.stats["dropped_gopher_few_words"].total == 20
    assert block.stats.name == "CORPUSKIT: gopher_quality"
