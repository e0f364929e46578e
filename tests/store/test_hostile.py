"""A root that somebody else made is looked at without running anything from it, or touching anything outside it."""

import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpuskit.cli import main
from corpuskit.core.checksum import SUM, digests, parse_record, with_sum
from corpuskit.explore import views
from corpuskit.store.root import MANIFEST, Root, described
from tests.core.builder import corpus, recipe

STEPS = """\
  - ./own.py:shorter_than_mean: {}
"""
OWN = """
import pyarrow.compute as pc
from corpuskit import step

@step.filter
def shorter_than_mean(batch, *, state=None):
    return pc.less_equal(pc.utf8_length(batch["text"]), 10 * state[0] // state[1])

@shorter_than_mean.summarize
def _(batch):
    return pc.sum(pc.utf8_length(batch["text"])).as_py() or 0, batch.num_rows

@shorter_than_mean.merge
def _(a, b):
    return a[0] + b[0], a[1] + b[1]
"""
MIX = """\
mix:
  weights: {web: 0.5, books: 0.5}
  tokens: 4k
  tokenizer: {train: {vocab_size: 300}}
  shards: {seq_len: 64}
"""


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, its raw files and the root of its run."""
    folder = tmp_path_factory.mktemp("hostile")
    path = recipe(folder, corpus(folder / "raw", files=1), extra=STEPS + MIX)
    (folder / "own.py").write_text(OWN)
    assert run("run", path, "--root", folder / "root", "--engine", "inline") == 0
    return folder


@pytest.fixture
def root(built: Path, tmp_path: Path) -> Path:
    """A copy of the root."""
    return Path(shutil.copytree(built / "root", tmp_path / "here" / "root"))


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A folder that is not the root's, which must stay as it is."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    pq.write_table(pa.table({"doc": pa.array([7], pa.uint64()), "text": ["secret"]}), folder / "mine.parquet")
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*"))}
    yield folder
    assert {path: path.read_bytes() for path in sorted(folder.rglob("*"))} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "outside"]


Look = Callable[[], dict[str, tuple[int, str]]]


@pytest.fixture
def look(root: Path, built: Path, capsys: pytest.CaptureFixture[str]) -> Look:
    """Calls all verbs that look at a root, or remove of it what is damaged or unneeded: exit status, all it said."""
    doc = pq.read_table(built / "root" / "corpus").column("doc")[0].as_py()
    verbs: dict[str, list[object]] = {
        "stats": ["stats", root],
        "sql": ["stats", root, "--sql", "SELECT text FROM corpus ORDER BY doc"],
        "status": ["status", root],
        "report": ["report", root],
        "trace": ["trace", root, doc],
        "trace a step": ["trace", root, "step:1"],
        "find": ["find", root, "the"],
        "export": ["export", root, "--format", "hf", "--to", root.parent / "exported"],
        "verify": ["verify", root, "--repair"],
        "gc": ["gc", root, "--yes"],
        "after": ["stats", root],
    }

    def called() -> dict[str, tuple[int, str]]:
        found = {}
        for name, words in verbs.items():
            capsys.readouterr()
            code = run(*words)
            said = capsys.readouterr()
            found[name] = code, said.out + said.err
        return found

    return called


def change_plan(root: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the plan of the last run, and make its manifest say so."""
    folder = max((root / "runs").iterdir())
    plan = json.loads((folder / "plan.json").read_text())
    change(plan)
    (folder / "plan.json").write_text(json.dumps(plan))
    said = parse_record((folder / MANIFEST).read_bytes())
    said["files"]["plan.json"] = described((folder / "plan.json").read_bytes())
    (folder / MANIFEST).write_bytes(with_sum(said))


def change_receipts(root: Path, stage: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the receipts of the stages whose names begin so, with sums that are right."""
    found = list(root.glob(f"stages/{stage}*/receipts/*.json"))
    assert found
    for path in found:
        receipt = json.loads(path.read_bytes())
        del receipt[SUM]
        change(receipt)
        path.write_bytes(with_sum(receipt))


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_a_pickle_in_the_place_of_a_state_is_refused(
    built: Path, root: Path, tmp_path: Path, look: Look, capsys: pytest.CaptureFixture[str]
) -> None:
    exploded = tmp_path / "exploded"
    states = [path for path in root.glob("stages/*/parts/*") if path.suffix in (".state", ".pickle")]
    assert len({path.parts[-3].partition("-")[0] for path in states}) == 4  # summary, state, candidates, holdout
    for path in states:
        path.write_bytes(pickle.dumps(Bomb(exploded)))

    def forge(receipt: dict[str, Any]) -> None:
        for part in receipt["parts"].values():
            if part["file"].endswith((".state", ".pickle")):
                (path,) = root.glob(f"stages/*/parts/{part['file']}")
                part["digest"], part["sums"] = digests(path)
                part["bytes"] = path.stat().st_size

    for stage in ("summary", "state", "candidates", "holdout"):
        change_receipts(root, stage, forge)
    assert {code for code, _ in look().values()} <= {0, 2}
    for stage in ("filter-", "decide_holdout", "corpus-", "holdout"):
        for folder in root.glob(f"stages/{stage}*"):
            shutil.rmtree(folder)
    shutil.rmtree(root / "stages" / "content")
    assert run("run", built / "recipe.yaml", "--root", root, "--engine", "inline") == 1
    assert "is no state of this step" in capsys.readouterr().err
    assert not exploded.exists()


def test_code_that_a_root_names_is_not_run(root: Path, tmp_path: Path, look: Look) -> None:
    (root / "evil.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'exploded')!r})\n")

    def evil(plan: dict[str, Any]) -> None:
        for stage in plan["stages"].values():
            stage["run"] |= {"base": str(root)} if "base" in stage["run"] else {}
            for call in (*stage["run"].get("calls", ()), stage["run"].get("read"), stage["run"].get("call")):
                if call:
                    call["reference"] = "./evil.py:f"

    change_plan(root, evil)
    found = look()
    assert found["stats"][0] == 0
    assert found["trace"][0] == 0, found["trace"]
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("place", ["stages", "corpus", "runs", "corpus/domain=web", "shards", "corpus/x.parquet"])
def test_links_that_lead_outside_are_not_followed(root: Path, outside: Path, look: Look, place: str) -> None:
    path = root / place
    if path.is_dir():
        path.rename(root / "moved")
    path.symlink_to(outside if path.suffix == "" else outside / "mine.parquet")
    found = look()
    assert found["sql"][0] == 2
    assert "a link that leads out of the root" in found["stats"][1]
    assert not any("secret" in said for _, said in found.values())


def test_a_link_that_stays_inside_and_a_root_behind_one_are_read(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "corpus").rename(root / "moved")
    (root / "corpus").symlink_to(root / "moved")
    (tmp_path / "link").symlink_to(root)
    assert run("stats", tmp_path / "link", "--sql", "SELECT count(*) AS n FROM corpus", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["n"] > 10


@pytest.mark.parametrize(
    "name", ["../../../../../outside/mine.txt", "/{outside}/mine.txt", "x/../../../../../outside/x"]
)
@pytest.mark.parametrize("field", ["file", "publish"])
def test_paths_in_receipts_lead_nowhere(root: Path, outside: Path, look: Look, field: str, name: str) -> None:
    def lead(receipt: dict[str, Any]) -> None:
        for part in receipt["parts"].values():
            part[field] = name.format(outside=outside)
            part["bytes"] = 4

    change_receipts(root, "", lead)
    found = look()
    assert {code for code, _ in found.values()} <= {0, 1, 2}
    assert "would not lie in the root" in found["verify"][1]
    assert not list(root.glob("stages/filter-*/receipts/*"))  # removed as damaged


@pytest.mark.parametrize("name", ["../../../outside", "/etc"])
@pytest.mark.parametrize("field", ["stage", "unit", "domain"])
def test_names_in_a_plan_lead_nowhere(root: Path, outside: Path, look: Look, field: str, name: str) -> None:
    def lead(plan: dict[str, Any]) -> None:
        for number, stage in enumerate(plan["stages"].values()):
            if field == "stage":
                stage["key"] = f"{name}{number}"
            elif field == "domain" and "domain" in stage["spec"]:
                stage["spec"]["domain"] = name
            if field == "unit" and isinstance(stage["units"], dict):  # one to one with those of another stage
                stage["units"]["keys"] = [name] * len(stage["units"]["keys"])
            for unit in stage["units"] if field == "unit" and isinstance(stage["units"], list) else ():
                unit["key"] = unit["origin"] = name

    change_plan(root, lead)
    found = look()
    assert {code for code, _ in found.values()} <= {0, 1, 2}
    if name.startswith("..") and field == "stage":
        assert "which would not lie in it" in found["stats"][1]


def test_views_with_other_sql_are_not_asked(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = ["stats", root, "--sql", "SELECT count(*) AS n FROM corpus", "--json"]
    assert run(*sql) == 0
    before = capsys.readouterr().out
    (root / views.DATABASE).unlink()
    with duckdb.connect(str(root / views.DATABASE)) as connection:
        for name in views.VIEWS:
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_text('/etc/hostname')")
    assert run(*sql) == 0
    assert capsys.readouterr().out == before
    assert Root(root).path == root


def test_what_is_no_plan_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_plan(root, lambda plan: plan.clear())
    assert run("stats", root) == 1
    assert "plan.json is damaged: it is no plan" in capsys.readouterr().err
