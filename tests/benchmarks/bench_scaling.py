"""From one worker to two, from reading through verification: wall time, CPU time, and what waiting leaves idle.

    python tests/benchmarks/bench_scaling.py --size 1000

The texts are made (JSON lines, a fifth near copies). Wall time says nothing on a machine with other work, so two
figures that do are printed, too: CPU seconds of all units with one worker over those with two (what they cost each
other in caches and memory), and how busy two cores would be if the scheduler's own queue gave out the units, with the
CPU seconds that they took (what waiting costs). Their product is the efficiency of two cores.
"""

import argparse
import heapq
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from corpuskit.run.scheduler import Queue
from corpuskit.store.root import Root
from tests.dedup.test_memory import generate

RECIPE = """\
name: scaling
memory: 2GiB
sources:
  web:   {{read: jsonl, path: "{raw}/web-*"}}
  books: {{read: jsonl, path: "{raw}/books-*"}}
steps:
  - normalize: {{unicode: NFC}}
  - clean_chars: {{}}
  - where: clean_chars >= 200
  - minhash: {{keep: [books]}}
"""


def ran(recipe, root, workers):
    """Run to `verify`; wall seconds, and the CPU seconds of each unit by (stage, number)."""
    began = time.monotonic()
    command = [sys.executable, "-m", "corpuskit.cli", "run", recipe, "--root", root, "--workers", str(workers)]
    subprocess.run([*command, "--until", "verify"], check=True, capture_output=True)
    took = time.monotonic() - began
    opened = Root(root)
    plan = opened.require_plan()
    wanted = plan.until("verify")
    seconds = {(name, one.unit): one.cpu_seconds for name in wanted for one in opened.complete(plan.stages[name])}
    return took, plan, wanted, seconds


def makespan(plan, wanted, seconds, cores):
    """Seconds until the last unit ends on so many idle cores."""
    queue, running, now = Queue(plan, wanted, {name: set() for name in plan.stages}), [], 0.0
    while True:
        while len(running) < cores and (task := queue.take()) is not None:
            heapq.heappush(running, (now + seconds[task.stage, task.unit], task))
        if not running:
            return now
        now, task = heapq.heappop(running)
        queue.done(task)


def main():
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1000, help="MB of text")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, size in enumerate((2, options.size)):  # the first compiles the kernels
            here = folder / str(number)
            here.mkdir()
            generate(here / "raw", size * 1_000_000)
            (here / "recipe.yaml").write_text(RECIPE.format(raw=here / "raw"))
            found = {}
            for workers in (1, 2):
                found[workers] = ran(here / "recipe.yaml", here / f"root-{workers}", workers)
        cpu = {workers: sum(seconds.values()) for workers, (_, _, _, seconds) in found.items()}
        busy = cpu[2] / 2 / makespan(*found[2][1:], 2)
        for workers in (1, 2):
            rate = options.size / cpu[workers]
            print(
                f"{workers} worker(s): {found[workers][0]:.1f} s, {cpu[workers]:.1f} CPU-s of units, "
                f"{rate:.1f} MB a CPU-second"
            )
        print(f"two cores: busy {100 * busy:.1f} %, CPU time of one over that of two {100 * cpu[1] / cpu[2]:.1f} %")
        print(f"efficiency {100 * busy * cpu[1] / cpu[2]:.1f} %; load of the machine {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
