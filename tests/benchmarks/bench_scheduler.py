"""What the frame around units costs: planning many small files, a rerun with nothing to do, and each unit that runs.

python tests/benchmarks/bench_scheduler.py
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

from corpuskit.core.kinds import StageKind, kinds
from corpuskit.core.plan import Need, Plan, Stage, Unit
from corpuskit.plan import make
from corpuskit.recipe import load
from corpuskit.run import run
from corpuskit.store.root import Root

FILES, UNITS = 100_000, 10_000


def nothing(work):
    work.put("part").write_bytes(b"x")


kinds()["nothing"] = StageKind("nothing", f"{__name__}:nothing", None)


def planned(folder):
    for number in range(FILES):
        path = folder / "raw" / f"{number % 100:02d}" / f"{number}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"text": "a few words of a small file"}\n')
    recipe = folder / "recipe.yaml"
    recipe.write_text(f'name: many\nsources:\n  notes: {{read: jsonl, path: "{folder}/raw/**/*.jsonl"}}\n')
    began = time.monotonic()
    plan = make(load(recipe, []))
    took = time.monotonic() - began
    units = sum(len(stage.units) for stage in plan.stages.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"plan of {FILES:,} small files: {took:.1f} s, {units} units, peak memory of the process {peak:.0f} MiB")


def ran(folder):
    def units(name):
        return [Unit(f"{name}{number:015x}", f"unit {number}", [], "", 1) for number in range(UNITS)]

    first = Stage("first", "nothing", {}, {}, {}, "1", units("a"))
    second = Stage("second", "nothing", {}, {}, {"docs": Need("first", "each")}, "2", units("b"))
    plan = Plan("bench", {"first": first, "second": second}, 1 << 30, 1 << 20, 0, [], [])
    root = Root(folder / "root")
    for what in ("each of {0:,} units that run, one to one, inline", "a rerun with nothing to do on {0:,} units"):
        began = time.monotonic()
        outcome = run(plan, Root(root.path), root.new_run("", "", plan), engine="inline")
        took = time.monotonic() - began
        total = 2 * UNITS
        each = f"{1000 * took / total:.2f} ms" if outcome.ran else f"{took:.1f} s"
        print(f"{what.format(total)}: {each}")


if __name__ == "__main__":
    sys.modules["bench_scheduler"] = sys.modules["__main__"]
    with tempfile.TemporaryDirectory() as folder:
        planned(Path(folder))
        ran(Path(folder))
