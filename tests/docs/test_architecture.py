"""What `docs/architecture.md` says of adding a part is done as it says."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import corpuskit
from corpuskit.cli import main
from corpuskit.engines import Task

PAGE = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()
STEPS, METHOD, FORMAT, KINDS, BODY, ENGINE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

RECIPE = """\
name: mine
sources:
  notes: {read: ./mine.py:numbered, path: "raw/*.txt"}
steps:
  - ./mine.py:exclamations: {}
  - ./mine.py:calm: {most: 2}
  - sample: {by: exclamations, method: top, keep: 1.0}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(f"{STEPS}\n{METHOD}")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "raw").mkdir()
    for number in range(2):
        (tmp_path / "raw" / f"{number}.txt").write_text(f"quiet {number}\nloud! {number}\nlouder!!! {number}\n")
    return tmp_path


def test_a_reader_a_signal_and_a_filter(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder / "root"
    assert main(["run", str(folder / "recipe.yaml"), "--root", str(root), "--engine", "inline"]) == 0
    found = corpuskit.open_run(root).sql("SELECT text, line, exclamations FROM corpus ORDER BY text").to_pylist()
    assert [(row["text"], row["line"], row["exclamations"]) for row in found] == [
        ("loud! 0", 2, 1),
        ("loud! 1", 2, 1),
        ("quiet 0", 1, 0),
        ("quiet 1", 1, 0),
    ]


def test_a_mixing_method(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE + "mix: {tokenizer: {train: {vocab_size: 300}}, weights: {method: ./mine.py:equal}}\n")
    (folder / "sizes.csv").write_text("domain,tokens\nnotes,1000\n")
    assert main(["mix", "solve", str(recipe), "--sizes", str(folder / "sizes.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["weights"] == {"notes": 1.0}


def test_a_stage(folder: Path) -> None:
    package = Path(shutil.copytree(Path(corpuskit.__file__).parent, folder / "site" / "corpuskit"))
    (package / "lengths").mkdir()
    for name, content in (("__init__", ""), ("kinds", KINDS), ("body", BODY)):
        (package / "lengths" / f"{name}.py").write_text(content)
    said = re.search(r"`self\.add\((Stage\.of\(.*?\)), like=upstream\)`", " ".join(PAGE.split()))
    assert said is not None
    planner = package / "plan" / "planner.py"
    before = '        for source in recipe.sources.values():\n            self._segment(f"corpus-'
    added = f"        upstream = self.holding('notes')\n        self.add({said[1]}, like=upstream)\n"
    assert before in planner.read_text()
    imported = "\nfrom corpuskit.lengths.kinds import Lengths\n\n\ndef make("
    planner.write_text(planner.read_text().replace(before, added + before).replace("\n\n\ndef make(", imported))
    words = ["run", str(folder / "recipe.yaml"), "--root", str(folder / "root"), "--workers", "1"]
    command = [sys.executable, "-m", "corpuskit.cli", *words]
    environment = {"PYTHONPATH": str(folder / "site"), "PATH": "/usr/bin:/bin"}
    subprocess.run(command, check=True, env=environment, cwd=folder, stderr=subprocess.PIPE)
    found = [json.loads(path.read_text()) for path in (folder / "root" / "corpus" / "lengths").iterdir()]
    assert sorted(length for unit in found for length in unit) == [7] * 4


def test_an_engine() -> None:
    defined: dict = {}
    exec(ENGINE, defined)  # the page is ours
    seen = []

    def execute(task: Task) -> None:
        if task.unit == 3:
            raise ValueError("on purpose")
        seen.append(task.unit)

    waiting, ended = [Task("only", number) for number in range(5)], {}
    with defined["Threads"](execute) as engine:
        while len(ended) < 5:
            while waiting and engine.free() > 0:
                engine.give(waiting.pop())
            ended |= {task.unit: failure and failure.message for task, failure in engine.ended()}
    assert sorted(seen) == [0, 1, 2, 4]
    assert ended == {0: None, 1: None, 2: None, 3: "ValueError: on purpose", 4: None}
