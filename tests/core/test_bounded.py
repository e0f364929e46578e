"""Every kind of stage on ten times its memory, in a process to which the system refuses more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from corpuskit.core.kinds import kinds
from tests.core import bounded

ROOT = Path(__file__).parents[2]

COUNTED = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
"""Arrow's own allocator reserves a GiB at once, in which nothing that it gives later is seen by the system's limit."""


def test_no_kind_of_stage_is_left_out(tmp_path: Path) -> None:
    bounded.write(tmp_path / "raw", 100, 1000)
    plan, _ = bounded.planned(tmp_path, 16 << 20)
    assert {stage.kind for stage in plan.stages.values()} == set(kinds())


def run(*given: object) -> None:
    command = [sys.executable, "-m", "tests.core.bounded", *map(str, given)]
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | COUNTED, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{ended.stdout[-100:]}\n{ended.stderr[-3000:]}"


@pytest.mark.parametrize("memory", [16, pytest.param(64, marks=pytest.mark.soak)])
@pytest.mark.parametrize("each", [104, 200_000])
def test_no_stage_takes_more_than_its_memory(tmp_path: Path, each: int, memory: int) -> None:
    """Documents of a line, whose numbers are what grows, and of a book, whose texts are."""
    run(each, tmp_path, memory)
