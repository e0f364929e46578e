"""A worker process of the engine `local`: `python -m corpuskit.run.worker RUN ROOT TASKS ANSWERS`."""

from __future__ import annotations

import sys

from corpuskit.engines.worker import serve
from corpuskit.run.execute import execute
from corpuskit.store.root import Root

if __name__ == "__main__":
    root = Root(sys.argv[2])
    plan = root.plan_of(sys.argv[1])
    serve(lambda task: execute(plan, root, task), int(sys.argv[3]), int(sys.argv[4]))
