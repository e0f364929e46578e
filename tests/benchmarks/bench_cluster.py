"""The scheduler's own queue driven by simulated time: what a corpus of any size takes on any number of cores.

    python tests/benchmarks/bench_cluster.py --text 5e12 --cores 1000

The plan is that of recipes/slimpajama.yaml up to `corpus` and, with `--shards`, to its shards, over files that are only
listed; the queue is `corpuskit.run.scheduler.Queue`. What a unit costs is `COSTS`, measured where docs/benchmarks.md
says so; nothing runs. A core that is free takes the next unit that the queue gives, so waiting, barriers and the ends
of stages are those of a run. Disks and the network are taken as fast enough; the bytes that they move are counted.
"""

import argparse
import heapq
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from corpuskit.core.flow import DOCUMENT, EXPANSION
from corpuskit.core.kinds import spec_of
from corpuskit.documents.kinds import Segment
from corpuskit.plan import planner
from corpuskit.recipe import load
from corpuskit.run.scheduler import Queue
from corpuskit.shards.kinds import TOKEN
from corpuskit.sources import listing

FRAME = 2.35e-3
"""Seconds of each unit beside its work."""

KEPT = 0.5
"""Share of the documents that dedup leaves."""

OPENED = 0.31e-3
"""Seconds for each unit of signatures that a partition reads its slice of: receipt, files, sums, three reads."""

RECEIPT = 60e-6
"""Seconds to read a receipt."""


SHARES = {
    "commoncrawl": 0.52, "c4": 0.27, "github": 0.052, "books": 0.042, "arxiv": 0.046, "wikipedia": 0.038,
    "stackexchange": 0.032,
}  # fmt: skip
"""Of the text, by source."""


@dataclass(frozen=True)
class Load:
    """What a unit does: seconds of a core, and bytes read and written."""

    seconds: float
    read: float
    written: float


class Costs:
    """What units cost; `text`, `documents`, `units`: of the corpus, and of its reading stages together."""

    def __init__(self, text, units):
        self.text, self.units, self.documents = text, units, text / DOCUMENT

    def of(self, plan, stage):
        """The load of one unit of a stage."""
        n, docs, units = self.text / self.units, self.documents / self.units, len(stage.units)
        every, partition = self.documents, self.documents / units
        left = KEPT * n
        if stage.kind == "segment":
            if not spec_of(stage, Segment).final:
                return Load(n / 134e6, 0.35 * n, 0.47 * n)
            return Load(n / 1400e6 + left / 180e6, 0.47 * n, 0.35 * left)
        gone, tokens = (1 - KEPT) * every, KEPT * self.text / TOKEN[1 << 15]
        return {
            "signatures": lambda: Load(n / 212e6, 0.47 * n, 556 * docs),
            "buckets": lambda: Load(370e-9 * docs, 512 * docs, 204 * docs),
            "rank": lambda: Load(450e-9 * every + OPENED * self.units, 12 * every, 40 * every),
            "exact": lambda: Load(50e-9 * partition + OPENED * self.units, 20 * partition, 4 * partition),
            "bands": lambda: Load(590e-9 * partition + OPENED * self.units, 204 * partition, 8 * partition),
            "verify": lambda: Load(
                700e-9 * partition + RECEIPT * self.units + 2 * gone / units * 0.18e-3,
                2 * gone / units * 60e3,
                32 * partition,
            ),
            "choose": lambda: Load(300e-9 * every + 1.6e-6 * gone, 32 * every, 40 * gone),
            "decide": lambda: Load(5e-3 + 0.2e-6 * docs, 8 * docs, 5 * docs),
            "candidates": lambda: Load(n / 1000e6, 0.47 * n, 13e3),
            "holdout": lambda: Load((2 * RECEIPT + 0.4e-3) * self.units, 13e3 * self.units, 16e6),
            "decide_holdout": lambda: Load(left / 250e6, 0.47 * n, 1e3),
            "duplicates": lambda: Load(0.75e-6 * gone, 40 * gone, 30 * gone),
            "shares": lambda: Load(RECEIPT * self.units, 5e3 * self.units, 1e3),
            "sample": lambda: Load(left / 600e6, 0.35 * left, 100e6 / self.units),
            "tokenizer": lambda: Load(12.0 + RECEIPT * self.units, 100e6, 2e6),
            "tokens": lambda: Load(left / 110e6, 0.35 * left, left / 2),
            "blocks": lambda: Load(tokens / 1457e6, 16 * KEPT * every, 28 * KEPT * every),
            "mixture": lambda: Load(2 * RECEIPT * self.units + 5, 5e3 * self.units, 1e6),
            "shards": lambda: Load(tokens / 149e6 / units, 2 * tokens / units, 2 * tokens / units),
        }[stage.kind]()


class Listed(listing.RawFile):
    """A file that is not there."""

    compressed = True


def planned(folder, text, each, shards):
    """The plan over files that are listed and not there: of so much text, `each` bytes of it a file."""
    recipe = Path(__file__).parents[2] / "recipes" / "slimpajama.yaml"
    count = int(text / each)

    def listed(path, _base):
        name = next(one for one in SHARES if f"/raw/{one}" in str(path))
        files = range(max(1, round(count * SHARES[name])))
        names = (f"{number:06d}.jsonl.zst" for number in files)
        return [Listed(f"/raw/{name}/{file}", file, int(each / EXPANSION[".zst"]), "0") for file in names]

    sources = "".join(f"  {name}: {{read: jsonl, path: /raw/{name}}}\n" for name in SHARES)
    head, _, tail = recipe.read_text().partition("sources:\n")
    given = folder / "recipe.yaml"
    given.write_text(head + "sources:\n" + sources + tail[tail.index("\nsteps:") :].partition("\ntrain:")[0])
    before, listing.list_files = listing.list_files, listed
    try:
        plan = planner.make(load(given, []))
    finally:
        listing.list_files = before
    return plan, plan.until("shards" if shards else "corpus") | {"duplicates"}


@dataclass
class Ran:
    """What a simulated run did: seconds, and by stage without its source: seconds of cores, the longest unit, bytes."""

    makespan: float
    seconds: Counter
    longest: Counter
    begun: dict
    ended: dict
    read: float
    written: float


def simulate(plan, wanted, costs, cores):
    """Run the queue in simulated time."""
    queue = Queue(plan, wanted, {name: set() for name in plan.stages})
    loads = {name: costs.of(plan, plan.stages[name]) for name in wanted}
    group = {stage.name: name for name, stages in plan.groups().items() for stage in stages}
    found, now, running = Ran(0, Counter(), Counter(), {}, {}, 0, 0), 0.0, []
    while True:
        while len(running) < cores and (task := queue.take()) is not None:
            load, name = loads[task.stage], group[task.stage]
            seconds = load.seconds + FRAME
            heapq.heappush(running, (now + seconds, task))
            found.seconds[name] += seconds
            found.longest[name] = max(found.longest[name], seconds)
            found.begun.setdefault(name, now)
            found.read += load.read
            found.written += load.written
        if not running:
            found.makespan = now
            return found
        now, task = heapq.heappop(running)
        found.ended[group[task.stage]] = now
        queue.done(task)


def main():
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=float, default=5e12, help="bytes of text")
    parser.add_argument("--each", type=float, default=1e9, help="bytes of text of a file, which is a unit")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2, 64, 1000])
    parser.add_argument("--shards", action="store_true", help="to token shards, and not to the corpus alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plan, wanted = planned(Path(folder), options.text, options.each, options.shards)
    units = sum(len(stage.units) for stage in plan.stages.values() if stage.kind == "signatures")
    costs = Costs(options.text, units)
    every = sum(len(plan.stages[name].units) for name in wanted)
    print(f"{options.text / 1e12:g} TB of text in {units:,} files; {every:,} units")
    for cores in options.cores:
        ran = simulate(plan, wanted, costs, cores)
        total = sum(ran.seconds.values())
        print(
            f"{cores:,} cores: {ran.makespan / 3600:.2f} h, {total / 3600:.1f} core-hours, "
            f"{100 * total / cores / ran.makespan:.0f} % of the cores at work"
        )
    print(f"read {ran.read / 1e12:.1f} TB, written {ran.written / 1e12:.1f} TB")
    print(
        f"{'stage':16} {'units':>8} {'core-hours':>11} {'share':>7} {'a unit, s':>10} {'from, min':>10} {'to, min':>8}"
    )
    for name, stages in plan.groups().items():
        if name in ran.seconds:
            count = sum(len(stage.units) for stage in stages if stage.name in wanted)
            print(
                f"{name:16} {count:8,} {ran.seconds[name] / 3600:11.2f} {100 * ran.seconds[name] / total:6.1f} % "
                f"{ran.longest[name]:10.1f} {ran.begun[name] / 60:10.1f} {ran.ended[name] / 60:8.1f}"
            )


if __name__ == "__main__":
    main()
