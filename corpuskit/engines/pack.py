"""One task of a job array of the engine `slurm`: `python -m corpuskit.engines.pack FOLDER`.

Runs its units one after the other in a worker process, and appends to `ended-<task>.jsonl` how each ended.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from corpuskit.engines.base import Task
from corpuskit.engines.local import Local


def main(folder: Path, number: int, threads: int) -> None:
    """Run the units of the task `number`."""
    asked = json.loads((folder / "packs.json").read_text())
    with Local(asked["command"], 1, threads=threads) as engine, (folder / f"ended-{number}.jsonl").open("a") as file:
        for stage, unit, key in asked["packs"][number]:
            engine.give(Task(stage, unit))
            while not (ended := engine.ended()):
                pass
            failure = ended[0][1]
            file.write(json.dumps([key, failure and [failure.message, failure.traceback]]) + "\n")
            file.flush()
            os.fsync(file.fileno())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(os.environ["SLURM_ARRAY_TASK_ID"]), int(os.environ["SLURM_CPUS_PER_TASK"]))
