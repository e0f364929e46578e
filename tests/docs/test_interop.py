"""What docs/interop.md says in one line each is run, with every tool that is installed."""

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
    rows = [{"text": LONG.format(n) if n % 3 else "Short.", "url": f"https://{n}"} for n in range(30)]
    for name in ("web", "books"):
        (folder / "raw" / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    sources = "".join(f"  {name}: {{read: jsonl, path: raw/{name}.jsonl}}\n" for name in ("web", "books"))
    (folder / "recipe.yaml").write_text(f"sources:\n{sources}")
    assert main(["run", str(folder / "recipe.yaml"), "--root", str(folder / "root"), "--engine", "inline"]) == 0
    return folder


@pytest.mark.parametrize("tool", ["polars", "duckdb", "pandas", "datasets"])
def test_a_corpus_is_read_in_one_line(tool: str, folder: Path) -> None:
    if importlib.util.find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed")
    names: dict[str, Any] = {}
    exec(BLOCKS[tool].replace("ROOT", str(folder / "root")), names)
    assert len(names["frame"]) == 60


def test_a_pipeline_of_datatrove_drops_what_a_recipe_would(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(BLOCKS["datatrove"], names)
    reader, block, _ = names["pipeline"]
    found = list(block.run(reader.run(None, 0, 1)))
    assert len(found) == 40
    assert all(one.metadata["words"] > 5 for one in found)
    assert block.stats["dropped_gopher_few_words"].total == 20
