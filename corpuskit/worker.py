"""A worker process of the `local` engine: reads task numbers from one pipe, answers on another, beats its heart."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from corpuskit.engine import HEARTBEAT_SECONDS, Failure, Task
from corpuskit.graph import Plan
from corpuskit.run import execute
from corpuskit.store import Root


def main(plan_path: str, root_path: str, tasks: int, answers: int) -> None:
    """Run the tasks that come in on the pipe `tasks` until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which ends its workers
    lock = threading.Lock()

    def say(message: dict[str, str]) -> None:
        with lock:
            try:
                os.write(answers, json.dumps(message).encode() + b"\n")
            except BrokenPipeError:
                os._exit(1)  # the run is gone: nobody will commit what comes after this unit

    def beat() -> None:
        while True:
            threading.Event().wait(HEARTBEAT_SECONDS)
            say({"alive": ""})

    threading.Thread(target=beat, daemon=True).start()
    plan, root = Plan.parse(Path(plan_path).read_text()), Root(Path(root_path))
    with os.fdopen(tasks, "r") as lines:
        for line in lines:
            try:
                execute(plan, root, Task(*json.loads(line)))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - any fault of a step is a failed unit
                failure = Failure.of(error)
                say({"ended": "failed", "message": failure.message, "traceback": failure.traceback})
            else:
                say({"ended": "done"})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
