"""`gc` takes what the last run does not need, all of it and nothing else, and says what is lost with it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from corpuskit.cli import main
from corpuskit.run import garbage
from corpuskit.store.root import Root
from corpuskit.store.scratch import scratch_name
from tests.core.builder import corpus, digests, recipe


def run(*words: object) -> int:
    return main([str(word) for word in words])


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    capsys.readouterr()
    assert run(*words, "--json") == 0
    return json.loads(capsys.readouterr().out)


def build(path: Path, root: Path) -> None:
    assert run("run", path, "--root", root, "--engine", "inline") == 0


def disk(root: Path) -> int:
    """Bytes of the files of a root; one with several names counts once."""
    files = [path.stat() for path in root.rglob("*") if path.is_file()]
    return sum({(status.st_dev, status.st_ino): status.st_size for status in files}.values())


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="module")
def both(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root in which a recipe ran, and then one with another threshold."""
    folder = tmp_path_factory.mktemp("both")
    build(recipe(folder, raw), folder / "root")
    build(recipe(folder, raw, shortest=700), folder / "root")
    return folder


@pytest.fixture
def root(both: Path, tmp_path: Path) -> Path:
    """A copy, with the links between its files."""
    subprocess.run(["cp", "-a", both / "root", tmp_path / "root"], check=True)
    return tmp_path / "root"


def test_by_default_nothing_is_removed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(root.rglob("*"))
    for words in ((), ("--dry-run",)):
        found = answer(capsys, "gc", root, *words)
        assert (found["removed"], found["files"] > 50) == (False, True)
    assert run("gc", root) == 0
    said = capsys.readouterr().out
    assert f"corpuskit gc {root} --yes" in said
    assert "filter-web" in said
    assert sorted(root.rglob("*")) == before
    with pytest.raises(SystemExit):
        run("gc", root, "--yes", "--dry-run")


def test_what_goes_is_what_a_root_of_the_last_recipe_alone_would_not_have(
    root: Path, raw: Path, both: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published, size = digests(root), disk(root)
    found = answer(capsys, "gc", root, "--yes")
    assert found["removed"]
    assert digests(root) == published
    assert size - disk(root) == found["bytes"] > 0
    build(both / "recipe.yaml", tmp_path / "alone")
    here, alone = (
        {path.relative_to(one).as_posix() for path in one.glob("stages/**/*") if path.is_file()}
        for one in (root, tmp_path / "alone")
    )
    # values of a signal are kept by what was scored: a threshold that is loosened again finds them
    assert {path for path in here if "/columns/" not in path} == {path for path in alone if "/columns/" not in path}
    assert answer(capsys, "gc", root)["folders"] == []
    assert answer(capsys, "run", both / "recipe.yaml", "--root", root, "--engine", "inline")["units_run"] == 0


def test_going_back_runs_as_many_units_as_was_said(
    root: Path, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = min(path.name for path in (root / "runs").iterdir())
    found = answer(capsys, "gc", root, "--yes")
    lost = sum(one["units"] for one in found["folders"] if one["run"] == f"runs/{first}")
    back = answer(capsys, "run", recipe(tmp_path, raw), "--root", root, "--engine", "inline")
    assert lost == back["units_run"] + back["units_reused"] > 10
    build(recipe(tmp_path / "fresh", raw), tmp_path / "scratch")
    assert digests(root) == digests(tmp_path / "scratch")


def test_loosening_after_gc_calls_no_scorer(
    root: Path, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(capsys, "gc", root, "--yes")
    build(recipe(tmp_path, raw, shortest=50), root)
    latest = Root(root).require_plan()
    scored = [
        receipt.facts.get("scored")
        for stage in latest.stages.values()
        if stage.name.startswith("filter-")
        for receipt in Root(root).receipts(stage)
    ]
    assert scored == [{"clean_chars": 0}] * len(scored) != []


def test_a_kill_in_the_middle_leaves_no_receipt_without_its_parts(
    root: Path,
    raw: Path,
    both: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = Root(root)
    found = garbage.unneeded(opened, opened.require_plan())
    gone = []
    unlink = Path.unlink

    def stopped(path: Path, **options: bool) -> None:
        if len(gone) == 60:
            raise KeyboardInterrupt
        gone.append(path)
        unlink(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", stopped)
        with pytest.raises(KeyboardInterrupt):
            garbage.remove(opened, found)
    for receipt in root.glob("stages/*/receipts/*.json"):
        for part in json.loads(receipt.read_text())["parts"].values():
            assert (receipt.parents[1] / "parts" / part["file"]).exists()
    answer(capsys, "gc", root, "--yes")
    assert answer(capsys, "gc", root)["folders"] == []
    assert answer(capsys, "run", both / "recipe.yaml", "--root", root, "--engine", "inline")["units_run"] == 0


def test_units_of_files_that_are_gone_and_scratch_of_dead_processes_go(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = Path(shutil.copytree(raw, tmp_path / "raw"))
    path, root = recipe(tmp_path, mine), tmp_path / "root"
    build(path, root)
    (mine / "web" / "02.jsonl").unlink()
    build(path, root)
    gone = scratch_name("0" * 16).replace(str(os.getpid()), "4194304")
    dead = next(root.glob("stages/filter-web-*")) / "scratch" / gone
    dead.mkdir(parents=True)
    (dead / "docs.arrow").write_bytes(b"half")
    (other := dead.with_name(f"{'0' * 16}-elsewhere-7")).mkdir()
    (other / "docs.arrow").write_bytes(b"half")
    found = answer(capsys, "gc", root, "--yes")
    assert {one["what"] for one in found["folders"]} >= {"units", "scratch"}
    assert not dead.exists()
    assert (other / "docs.arrow").exists(), "a process of another machine may be at work in it"
    assert answer(capsys, "run", path, "--root", root, "--engine", "inline")["units_run"] == 0


def test_a_root_at_work_or_between_two_recipes_is_left_alone(
    root: Path, raw: Path, both: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = next(root.glob("stages/filter-web-*")) / "scratch" / scratch_name("0" * 16)
    work.mkdir(parents=True)
    assert run("gc", root, "--yes") == 2
    assert "a run is at work" in capsys.readouterr().err
    work.rmdir()
    path = recipe(tmp_path, raw, shortest=800)
    assert run("run", path, "--root", root, "--engine", "inline", "--until", "filter-web") == 0
    assert run("gc", root, "--yes") == 2
    assert "corpus in " in capsys.readouterr().err
    assert run("gc", tmp_path / "nowhere") == 2


def test_of_earlier_runs_the_pages_go_but_for_the_newest_and_the_records_stay(
    both: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def again(limit: int) -> dict:
        """A run in which no unit has work; its report shows what is expected."""
        expected = f"expect=[\"docs('web') > {limit}\"]"
        return answer(capsys, "run", both / "recipe.yaml", "--root", root, "--engine", "inline", "--set", expected)

    answer(capsys, "gc", root, "--yes")
    page = [again(limit)["report"] for limit in (0, 1, 1)][-1]
    runs = sorted((root / "runs").iterdir())
    assert Path(page).parent == runs[-2]  # the last run changed nothing and names the page of the one before
    answer(capsys, "stats", root)
    before = {file for file in root.rglob("*") if file.is_file()}
    found = answer(capsys, "gc", root)
    assert {(one["folder"], one["what"]) for one in found["folders"]} == {("runs", "pages")}
    assert answer(capsys, "gc", root, "--yes")["bytes"] == found["bytes"] > 0
    gone = before - set(root.rglob("*"))
    assert len(gone) == found["files"]
    assert {file.parent for file in gone} == set(runs[1:-1])
    assert {file.name for file in gone} == {"report.html", "views.json", "receipts.parquet", "domain_stats.parquet"}
    assert list(root.glob("runs/*/report.html")) == [Path(page)]
    records = {"recipe.yaml", "resolved.yaml", "plan.json", "env.json", "log.jsonl"}
    assert all(records <= {file.name for file in folder.iterdir()} for folder in runs)
    told = again(1)
    assert (told["units_run"], told["report"]) == (0, page)
    assert answer(capsys, "verify", root)["faults"] == []


def test_checkpoints_of_earlier_trainings_are_named_and_stay(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = root / "checkpoints" / ("ab" * 8) / "step-8" / "weights"
    model.parent.mkdir(parents=True)
    model.write_bytes(bytes(1000))
    found = answer(capsys, "gc", root, "--yes")
    assert found["checkpoints_kept"] == {f"checkpoints/{'ab' * 8}": 1000}
    assert model.exists()
    assert run("gc", root) == 0
    assert "nothing is unneeded" in (said := capsys.readouterr().out)
    assert f"checkpoints/{'ab' * 8}, 1000 B" in said
