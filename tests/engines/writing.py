"""Units that write a file: what the tests of engines run."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from corpuskit.engines import Task
from corpuskit.engines.worker import serve

SHOWN = ("CUDA_VISIBLE_DEVICES", "NUMBA_NUM_THREADS", "PYTHONHASHSEED")


def executor(run: str, root: str) -> Callable[[Task], None]:
    """Writes what a unit is given into a file of its name, as soon as there is no file `wait`."""

    def execute(task: Task) -> None:
        while (Path(root) / "wait").exists():
            time.sleep(0.05)
        said = {name: os.environ.get(name) for name in SHOWN}
        (Path(root) / f"{task.stage}-{task.unit}").write_text(json.dumps({**said, "run": run}))

    return execute


if __name__ == "__main__":
    serve(executor(sys.argv[1], sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
