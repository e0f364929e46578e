"""Stages on inputs ten times their memory, in a process to which the system refuses more."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("case", ["receipts", "banded", "compared", pytest.param("pair", marks=pytest.mark.soak)])
def test_memory_does_not_grow_with_the_input(case: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.dedup.limited", case, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
