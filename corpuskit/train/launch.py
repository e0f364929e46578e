"""Starts the trainer's processes on this machine, shows their output, and ends all if one fails; imports no torch."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO, Any

from corpuskit.errors import CorpuskitError, UsageError, install
from corpuskit.train import config as configuration

GRACE = 25.0
"""Seconds that a trainer has to save after SIGTERM."""


def need_torch(what: str = "training") -> None:
    """Raise UsageError if torch is not installed; `what` needs it."""
    if importlib.util.find_spec("torch") is None:
        raise UsageError(f"{what} needs torch, which is not installed", install("train"))


def launch(config: dict[str, Any], processes: int, *, quiet: bool = False) -> None:
    """Train by `config` (see `TrainConfig`) in so many local processes; returns when all have ended well.

    What they print goes to stderr, or, if `quiet`, nowhere unless one fails.

    Raises:
        UsageError: no torch; a wrong configuration, one that does not fit the shards or the checkpoints in `out`.
        CorpuskitError: a process failed; the others were ended. Holds the end of what it wrote to stderr.
    """
    need_torch()
    configuration.from_dict(config)
    with tempfile.TemporaryDirectory(prefix="corpuskit-train-") as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        running = [_start(path, rank, processes) for rank in range(processes)]
        tails = [deque[str](maxlen=30) for _ in running]
        readers = [
            threading.Thread(target=_forward, args=(process.stderr, tail, quiet), daemon=True)
            for process, tail in zip(running, tails, strict=True)
        ]
        for reader in readers:
            reader.start()
        try:
            failed = _wait(running)
        except SystemExit:  # SIGTERM: each saves, if it can, and ends by itself
            _terminate(running)
            raise
        finally:
            for process in running:
                process.kill()
                process.wait()
            for process, reader in zip(running, readers, strict=True):
                reader.join()
                assert process.stderr is not None
                process.stderr.close()
    if failed is not None:
        _fail(failed, running[failed].returncode, list(tails[failed]))


def _start(path: Path, rank: int, size: int) -> subprocess.Popen[str]:
    environment = {
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin at barriers crawl where other programs want the cores too
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "CORPUSKIT_STORE": str(path.with_name("store")),
        "CORPUSKIT_PARENT": str(os.getpid()),
        **({"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}),
    }
    command = [sys.executable, "-m", "corpuskit.train", str(path)]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    )


def _forward(stream: IO[str] | None, tail: deque[str], quiet: bool) -> None:
    """Copy a process's stderr to ours, unless `quiet`, keeping its end; a terminal shows one line of progress."""
    over = False
    for line in stream or ():
        tail.append(line)
        if quiet:
            continue
        bar = sys.stderr.isatty() and line.startswith("step ") and "tok/s" in line
        sys.stderr.write(("\r\x1b[K" if bar else "\n") * over + (line.rstrip("\n") if bar else line))
        sys.stderr.flush()
        over = bar
    if over:
        sys.stderr.write("\n")


def _wait(running: list[subprocess.Popen[str]]) -> int | None:
    """Number of the first process that failed, or None when all have ended well."""
    while True:
        codes = [process.poll() for process in running]
        for rank, code in enumerate(codes):
            if code:
                return rank
        if all(code == 0 for code in codes):
            return None
        time.sleep(0.05)


def _terminate(running: list[subprocess.Popen[str]]) -> None:
    """Ask all to save and end, and give them the time."""
    for process in running:
        process.terminate()
    deadline = time.monotonic() + GRACE
    while any(process.poll() is None for process in running) and time.monotonic() < deadline:
        time.sleep(0.05)


def _fail(rank: int, code: int, tail: list[str]) -> None:
    """Raise what a failed process said; its own `error:` lines if it wrote some."""
    at = next((i for i, line in enumerate(tail) if line.startswith("error: ")), None)
    if at is not None:
        said = "".join(tail[at:]).removeprefix("error: ").strip()
        raise (UsageError if code == UsageError.exit_code else CorpuskitError)(said)
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    raise CorpuskitError(f"training process {rank} {how}; the end of its output:\n{''.join(tail).rstrip()}")
