"""`status` tells from the files alone what a run has done, does and failed at."""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from corpuskit.cli import main
from corpuskit.explore import status
from corpuskit.store.root import Root


def lose(root: Root, name: str) -> None:
    stage = root.require_plan().stages[name]
    (root.path / "stages" / stage.folder / "receipts" / f"{stage.units[0].key}.json").unlink()


def test_a_finished_run_is_complete(root: Root) -> None:
    found = status.as_json(root)
    assert all(stage["complete"] == stage["units"] for stage in found["stages"])
    assert {stage["at_work"] for stage in found["stages"]} == {0}
    assert found["failures"] == found["unpublished"] == []
    assert 0 < found["last_activity"] <= time.time()
    assert next(stage for stage in found["stages"] if stage["stage"] == "filter-web")["rows"] > 0
    text = status.render(root)
    units = sum(stage["units"] for stage in found["stages"])
    assert f"{units} of {units} units complete" in text
    assert "last activity" in text


def test_failures_of_the_last_run_show_until_the_unit_is_complete(root: Root) -> None:
    entry = {
        "time": time.time(),
        "stage": "corpus-web",
        "unit": 0,
        "label": "web.jsonl",
        "error": "line 7: bad\nhint",
        "traceback": "",
    }
    with (root.path / root.latest_run() / "log.jsonl").open("a") as log:
        log.write(json.dumps(entry) + "\n" + '{"cut short')
    assert status.as_json(root)["failures"] == []
    lose(root, "corpus-web")
    text = status.render(Root(root.path))
    assert "1 unit failed" in text
    assert "corpus-web:0 (web.jsonl)" in text
    assert "line 7: bad" in text


def test_units_at_work_are_those_whose_process_lives(root: Root) -> None:
    lose(root, "corpus-web")
    stage = root.require_plan().stages["corpus-web"]
    killed = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    killed.kill()  # and not waited for: a zombie
    for process in (os.getpid(), killed.pid, 2**22 + 1):
        (root.path / "stages" / stage.folder / "scratch" / f"{stage.units[0].key}-{platform.node()}-{process}").mkdir(
            parents=True
        )
    while Path(f"/proc/{killed.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    found = {row["stage"]: row for row in status.as_json(Root(root.path))["stages"]}
    killed.wait()
    assert (found["corpus-web"]["complete"], found["corpus-web"]["at_work"]) == (0, 1)


def test_units_that_are_complete_are_not_yet_published(root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that was killed between its last unit and the seal."""
    (root.path / "corpus/_manifest.json").unlink()
    again = Root(root.path)
    assert status.as_json(again)["unpublished"] == ["corpus"]
    text = status.render(again)
    assert "not published yet: `corpus/`" in text
    assert f"corpuskit run RECIPE --root {root.url} goes on" in text
    assert main(["stats", str(root.path), "--sql", "SELECT count(*) FROM corpus"]) == 0
    assert "warning: `corpus/` holds nothing: the run is not at its end" in capsys.readouterr().err


def test_a_run_whose_processes_are_gone_says_what_goes_on(root: Root) -> None:
    assert "goes on" not in status.render(root)
    lose(root, "corpus-web")
    assert f"corpuskit run RECIPE --root {root.url} goes on" in status.render(Root(root.path))
    stage = root.require_plan().stages["corpus-web"]
    scratch = root.path / "stages" / stage.folder / "scratch"
    (scratch / f"{stage.units[0].key}-another-machine-7").mkdir(parents=True)
    assert "goes on" not in status.render(Root(root.path))
