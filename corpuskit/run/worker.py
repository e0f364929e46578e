"""What runs units outside the process of the run; as a program, a worker of the engine `local`.

`python -m corpuskit.run.worker RUN ROOT TASKS ANSWERS`
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from corpuskit.engines import Task
from corpuskit.engines.worker import serve
from corpuskit.run.execute import execute
from corpuskit.store.receipts import WORKER_RECEIPT_BYTES
from corpuskit.store.root import Root


def executor(run: str, place: str) -> Callable[[Task], None]:
    """Runs and commits one unit of the plan of a run, `runs/<time>`, in a root."""
    root = Root(place, WORKER_RECEIPT_BYTES)
    plan = root.plan_of(run)
    return lambda task: execute(plan, root, task)


if __name__ == "__main__":
    serve(executor(sys.argv[1], sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
