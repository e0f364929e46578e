"""What `corpuskit run` says while it runs, on a terminal and in a pipe."""

import io
import os
import pty
import re
import subprocess
from pathlib import Path

from corpuskit.cli.progress import Progress, progress
from tests.core.builder import corpus, recipe
from tests.core.kills import RUN


def events(stage: str, units: int, failed: int = -1) -> list[dict]:
    found = []
    for unit in range(units):
        about = {"stage": stage, "unit": unit, "label": f"{unit}.jsonl"}
        end = {"event": "failed", "error": "no", "traceback": ""} if unit == failed else {"event": "ended"}
        found += [{"event": "started", **about}, {**about, **end}]
    return found


def test_a_stage_has_a_line_when_all_its_units_ended_and_a_failure_at_once() -> None:
    to = io.StringIO()
    with progress(to) as report:
        assert type(report) is Progress
        report({"event": "planned", "units": {"filter-web": 3, "rank": 1}})
        report({"event": "note", "text": "made with another version"})
        for event in [*events("filter-web", 3, failed=1), *events("rank", 1)]:
            report(event)
        report({"event": "sealed", "folder": "corpus"})
    assert re.sub(r"\d+\.\d s", "0 s", to.getvalue()).splitlines() == [
        "note: made with another version",
        "failed: filter-web:1 (1.jsonl)",
        "filter-web: 3 units, 1 of them failed, 0 s",
        "rank: 1 unit, 0 s",
        "sealed: corpus/",
    ]


def test_a_terminal_shows_bars_and_keeps_the_lines(tmp_path: Path) -> None:
    path = recipe(tmp_path, corpus(tmp_path / "raw", files=2))
    ours, theirs = pty.openpty()
    command = [*RUN, str(path), "--root", str(tmp_path / "root"), "--workers", "1"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait() == 0
    text = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", shown.decode())
    assert re.search(r"filter-web ━+ 0/\d", text)
    assert re.search(r"filter-web: \d units?, \d+\.\d s\r\n", text)
    assert "sealed: corpus/" in text
