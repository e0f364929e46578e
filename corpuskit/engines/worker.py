"""The worker's end of the pipes of `local`: reads task numbers from one, answers on the other, sends heartbeats."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable

from corpuskit.engines.base import Failure, Task

HEARTBEAT_SECONDS = 2.0


def serve(execute: Callable[[Task], None], tasks: int, answers: int) -> None:
    """Execute the tasks that come in on the pipe `tasks` until it closes; say on `answers` how each ended."""
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
    with os.fdopen(tasks, "r") as lines:
        for line in lines:
            try:
                execute(Task(*json.loads(line)))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - any fault of a step is a failed unit
                failure = Failure.of(error)
                say({"ended": "failed", "message": failure.message, "traceback": failure.traceback})
            else:
                say({"ended": "done"})
