"""A worker process of the engine `local`: `python -m corpuskit.run.worker PLAN ROOT TASKS ANSWERS`."""

from __future__ import annotations

import sys
from pathlib import Path

from corpuskit.core.plan import Plan
from corpuskit.engines.worker import serve
from corpuskit.run.execute import execute
from corpuskit.store.root import Root

if __name__ == "__main__":
    plan, root = Plan.parse(Path(sys.argv[1]).read_text()), Root(Path(sys.argv[2]))
    serve(lambda task: execute(plan, root, task), int(sys.argv[3]), int(sys.argv[4]))
