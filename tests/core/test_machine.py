"""What machines do to a run: disks fill, clocks are set back, steps hang or end their process; nothing is lost."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from corpuskit.cli import main
from corpuskit.engines.base import MOST_CHARACTERS
from corpuskit.explore import status
from corpuskit.plan.planner import make
from corpuskit.recipe import load
from corpuskit.run import run as run_plan
from corpuskit.store.root import Root
from corpuskit.store.scratch import scratch_name
from tests.core.builder import corpus, digests, recipe
from tests.core.kills import RUN, receipts

STEPS = """
import os, sys, time
from pathlib import Path
import pyarrow as pa
from corpuskit import step

HERE = Path(__file__).parent

def all_of(batch):
    return pa.array([True] * batch.num_rows)

@step.filter
def misbehaves(batch):
    exec((HERE / "what").read_text(), globals())  # what it does is no part of the key
    return all_of(batch)
"""


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("raw"), files=2, rows=20)


def misbehaving(folder: Path, raw: Path, what: str, more: str = "") -> Path:
    """A recipe with a step that does `what`."""
    (folder / "own.py").write_text(STEPS)
    (folder / "what").write_text(what)
    path = folder / "recipe.yaml"
    path.write_text(
        f'name: own\n{more}sources:\n  web: {{read: jsonl, path: "{raw}/web/*"}}\n'
        f'  books: {{read: jsonl, path: "{raw}/books/*"}}\n'
        "steps:\n  - ./own.py:misbehaves: {}\n    only: [web]\n"
    )
    return path


def go_on(path: Path, root: Path, before: set[str]) -> None:
    """Run again when the fault is gone: what was complete stays, and all is as without the fault."""
    (path.parent / "what").write_text("")
    assert run("run", path, "--root", root, "--engine", "inline") == 0
    assert before < receipts(root)
    fresh = root.with_name("fresh")
    assert run("run", path, "--root", fresh, "--engine", "inline") == 0
    assert digests(root) == digests(fresh)
    assert not list(root.glob("stages/*/scratch/*"))
    assert not [file for file in root.rglob(".*") if file.name != ".seal"]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("os._exit(0)", "exited with status 0, 2 times"),
        pytest.param("raise ValueError('x' * 10**7)", "characters left out", marks=pytest.mark.soak),
        pytest.param("os.abort()", "was killed by SIGABRT", marks=pytest.mark.soak),
        ("globals()['held'] = []\nwhile True: held.append(bytearray(1 << 24))", "MemoryError"),
    ],
)
def test_a_step_that_breaks_its_process_fails_its_units_alone(raw: Path, tmp_path: Path, what: str, said: str) -> None:
    path, root = misbehaving(tmp_path, raw, what), tmp_path / "root"
    limit = f"ulimit -v {6 << 20}; exec " if "held" in what else "exec "
    done = subprocess.run(
        ["bash", "-c", limit + " ".join([*RUN, str(path), "--root", str(root), "--workers", "1"])],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr[-2000:]
    assert said in done.stderr
    before = receipts(root)
    assert all(name.startswith("corpus-books-") for name in before), before
    (log,) = root.glob("runs/*/log.jsonl")
    assert log.stat().st_size < 6 * MOST_CHARACTERS
    go_on(path, root, before)


def test_what_a_step_prints_stands_in_no_log(raw: Path, tmp_path: Path) -> None:
    path, root = misbehaving(tmp_path, raw, "for _ in range(100): print('x' * 10**6)"), tmp_path / "root"
    with (tmp_path / "out").open("wb") as out:
        command = [*RUN, str(path), "--root", str(root), "--workers", "1", "--json"]
        assert subprocess.run(command, stdout=out, stderr=subprocess.DEVNULL, check=False).returncode == 0
    json.loads((tmp_path / "out").read_text())
    assert sum(file.stat().st_size for file in root.rglob("*") if file.is_file() and file.suffix != ".html") < 1 << 20


@pytest.mark.parametrize("engine", ["inline", "local"])
def test_a_unit_that_hangs_is_ended_by_its_timeout(raw: Path, tmp_path: Path, engine: str) -> None:
    path = misbehaving(tmp_path, raw, "time.sleep(1000)", "timeout: {corpus-web: 1s}\n")
    root = tmp_path / "root"
    command = [*RUN, path, "--root", root, "--engine", engine]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "longer than the 1 s that `timeout` of the recipe allows" in done.stderr
    before = receipts(root)
    path.write_text(path.read_text().replace("timeout: {corpus-web: 1s}\n", ""))  # it is in no key
    go_on(path, root, before)


def test_a_timeout_of_no_stage_and_no_time_are_refused(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong, said in (("{corpus-wbe: 1h}", "did you mean `corpus-web`?"), ("soon", "should be a time")):
        assert run("plan", misbehaving(tmp_path, raw, "", f"timeout: {wrong}\n")) == 2
        assert said in capsys.readouterr().err


def test_status_names_a_unit_that_is_far_slower_than_its_like(raw: Path, tmp_path: Path) -> None:
    path = misbehaving(tmp_path, raw, "")
    plan, root = make(load(path, [])), Root(tmp_path / "root")
    folder = root.new_run("", "", plan)
    assert not run_plan(plan, root, folder, engine="inline").failures
    stage = plan.stages["corpus-web"]
    unit = stage.units[0]
    began = {"time": time.time() - 5000, "event": "started", "stage": stage.name, "unit": 0, "label": unit.label}
    with (root.path / folder / "log.jsonl").open("a") as log:
        log.write('{"time": 1\n' + json.dumps(began) + "\n")
    assert status.as_json(root)["slow"] == []
    root.store.scratch(stage.folder, scratch_name(unit.key)).mkdir(parents=True)
    (slow,) = status.as_json(root)["slow"]
    assert (slow["stage"], slow["unit"]) == ("corpus-web", 0)
    assert f"slow: corpus-web:0 ({unit.label}) has been at work for 1.4 h" in status.render(root)


def test_a_clock_that_is_set_back_makes_no_earlier_run_the_last(raw: Path, tmp_path: Path) -> None:
    path = misbehaving(tmp_path, raw, "")
    plan, root = make(load(path, [])), Root(tmp_path / "root")
    root.path.joinpath("runs").mkdir(parents=True)
    first = root.new_run("", "", plan)
    (root.path / first).rename(root.path / "runs" / "20991231T235959-000")
    second, third = root.new_run("", "", plan), root.new_run("", "", plan)
    assert root.runs() == ["runs/20991231T235959-000", second, third]
    assert root.latest_run() == third


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a small file system: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(
    raw: Path, tmp_path: Path, small_disk: Path
) -> None:
    path, root = recipe(tmp_path, corpus(tmp_path / "more", files=4, rows=60)), small_disk / "root"
    filled = 0
    for left in (30, 200, 500):  # KiB: it is full at other moments
        taken = shutil.disk_usage(small_disk).free - (left << 10)
        if taken > 0:
            (small_disk / "ballast").write_bytes(bytes(taken))
        done = subprocess.run([*RUN, path, "--root", root], capture_output=True, text=True, check=False)
        (small_disk / "ballast").unlink(missing_ok=True)
        if done.returncode:
            filled += 1
            assert done.returncode == 1, done.stderr
            assert "No space left on device" in done.stderr
            assert str(small_disk) in done.stderr.partition("No space left on device")[2] + done.stderr
            assert "error: :" not in done.stderr
    assert filled
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert run("run", path, "--root", root) == 0
    assert run("run", path, "--root", tmp_path / "fresh", "--engine", "inline") == 0
    assert digests(root) == digests(tmp_path / "fresh")
    assert run("verify", root) == 0
    assert not list(root.glob("stages/*/scratch/*"))


def test_a_log_that_cannot_be_written_stops_nothing(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = misbehaving(tmp_path, raw, "")
    plan, root = make(load(path, [])), Root(tmp_path / "root")
    folder = root.new_run("", "", plan)
    (root.path / folder / "log.jsonl").symlink_to(root.path / folder / "full")
    (root.path / folder / "full").symlink_to("/dev/full")
    root.store._refuse_outside = lambda _path: None  # type: ignore[method-assign]
    events: list[dict] = []
    assert not run_plan(plan, root, folder, engine="inline", report=events.append).failures
    (note,) = [event["text"] for event in events if event["event"] == "note"]
    assert "log.jsonl cannot be written: No space left on device; the run goes on" in note
    assert pq.read_table(root.path / "corpus").num_rows > 10


def test_an_input_that_is_removed_after_the_plan_fails_its_unit_alone(tmp_path: Path) -> None:
    own = corpus(tmp_path / "raw", files=3, rows=20)
    path = misbehaving(tmp_path, own, "")
    plan, root = make(load(path, [])), Root(tmp_path / "root")
    gone = own / "web" / "01.jsonl"
    content = gone.read_bytes() if gone.exists() else b""
    if not content:
        (gone,) = [file for file in (own / "web").iterdir() if file.name.startswith("01")]
        content = gone.read_bytes()
    gone.unlink()
    outcome = run_plan(plan, root, root.new_run("", "", plan), engine="inline")
    assert len(outcome.failures) == 1
    assert gone.name in outcome.failures[0][1].message
    gone.write_bytes(content)
    assert run("run", path, "--root", root.path, "--engine", "inline") == 0
    assert run("run", path, "--root", tmp_path / "fresh", "--engine", "inline") == 0
    assert digests(root.path) == digests(tmp_path / "fresh")


def test_two_runs_over_one_root_at_once(raw: Path, tmp_path: Path) -> None:
    path, root = misbehaving(tmp_path, raw, ""), tmp_path / "root"
    command = [*RUN, str(path), "--root", str(root), "--workers", "1"]
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate()[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert run("run", path, "--root", tmp_path / "fresh", "--engine", "inline") == 0
    assert digests(root) == digests(tmp_path / "fresh")
    assert run("verify", root) == 0
    assert not list(root.glob("stages/*/scratch/*"))


def test_two_hundred_bad_files_among_two_thousand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raw").mkdir()
    for number in range(2000):
        good = json.dumps({"text": f"text {number}"}) + "\n"
        (tmp_path / "raw" / f"{number:04d}.jsonl").write_text("{broken\n" if number % 10 == 3 else good)
    path = tmp_path / "recipe.yaml"
    text = f'name: many\nsources:\n  web: {{read: jsonl, ON path: "{tmp_path}/raw/*"}}\nsteps: []\n'
    path.write_text(text.replace("ON ", ""))
    assert run("run", path, "--root", tmp_path / "root", "--engine", "inline") == 1
    assert "line 1" in capsys.readouterr().err
    path.write_text(text.replace("ON ", "on_error: drop, "))
    assert run("run", path, "--root", tmp_path / "root", "--engine", "inline") == 0
    assert pq.read_table(tmp_path / "root" / "corpus").num_rows == 1800
    dropped = pq.read_table(tmp_path / "root" / "dropped").to_pylist()
    assert len(dropped) == 200
    assert {row["rule"] for row in dropped} == {"unreadable"}


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    own = corpus(tmp_path / "raw", files=2, rows=20)
    path = misbehaving(tmp_path, own, "")
    (locked,) = [file for file in (own / "web").iterdir() if file.name.startswith("01")]
    locked.chmod(0)
    rights = "-dac_override,-dac_read_search"
    as_others = ["setpriv", f"--inh-caps={rights}", f"--bounding-set={rights}"] if os.geteuid() == 0 else []
    if as_others and subprocess.run([*as_others, "cat", locked], capture_output=True, check=False).returncode != 1:
        pytest.skip("the superuser reads every file, and setpriv takes no rights away here")
    command = [*as_others, *RUN, path, "--root", tmp_path / "root", "--engine", "inline"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert f"{locked}: cannot be opened: Permission denied" in done.stderr
    before = receipts(tmp_path / "root")
    assert before
    locked.chmod(0o644)
    go_on(path, tmp_path / "root", before)
