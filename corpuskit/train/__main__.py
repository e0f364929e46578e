"""`python -m corpuskit.train CONFIG.json`: train, alone or as one of many (by `torchrun -m`)."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from corpuskit.errors import CorpuskitError
from corpuskit.train import config
from corpuskit.train.launch import GRACE, need_torch
from corpuskit.train.metrics import say


def main() -> int:
    """Run; returns the exit code (2: configuration or inputs do not fit, 1: training failed, 143: ended by SIGTERM)."""
    if len(sys.argv) != 2:
        say("usage: python -m corpuskit.train CONFIG.json")
        return 2
    if parent := os.environ.get("CORPUSKIT_PARENT"):
        threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in `launch`; read when torch is imported
    # Before CUDA starts: cuBLAS is deterministic only with a workspace of fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        need_torch()
        from corpuskit.train.loop import train

        train(config.read(Path(sys.argv[1])))
    except CorpuskitError as error:
        say(f"error: {error}")
        return error.exit_code
    return 0


def _end_with(parent: int) -> None:
    """Save and end when the launcher is gone: a killed run must not leave trainers that write on."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)  # of processes that wait for one another, one may be gone
    os._exit(1)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # torch's own threads may still run while the interpreter is taken down, which aborts; all is on disk by now
    os._exit(code)
