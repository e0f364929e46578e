"""The verb that checks a run: verify."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

from corpuskit.cli.options import answer
from corpuskit.cli.progress import SECONDS


def verify(options: argparse.Namespace) -> int:
    """Check every digest, and with `--repair` remove what is damaged; 1 if something is not as it should be."""
    from corpuskit.core.tables import size
    from corpuskit.run import verify
    from corpuskit.store.root import Root

    root = Root(options.root)
    root.latest_run()  # refuses what is no root
    with _bar() as report:
        found = verify.verify(root, report)
    removed = verify.repair(root, found) if options.repair else []
    looked = f"{root.url}: {found.files:,} files, {size(found.bytes)} read"
    lines = [f"{looked}; all are what was written"]
    run, look = f"corpuskit run RECIPE --root {root.url}", f"corpuskit stats {root.url}"
    clean = "" if options.repair else f"corpuskit verify {root.url} --repair, then "
    mend = {verify.RUN: run, verify.REPAIR: clean + run, verify.LOOK: clean + look}
    if found.faults:
        lines = [f"{looked}; {len(found.faults):,} are not as they should be"]
        for fault in found.faults:
            lines.append(f"  {fault.file}: {fault.wrong}" + (f"\n    of {fault.unit}" if fault.unit else ""))
            if not options.repair:
                lines.append(f"    mend it: {mend[fault.mended_by]}")
        if options.repair:
            made = look if all(fault.mended_by == verify.LOOK for fault in found.faults) else run
            lines.append(f"{len(removed):,} of them removed; what is missing is made again by: {made}")
    faults = [asdict(fault) | {"mend": mend[fault.mended_by]} for fault in found.faults]
    told = {"root": root.url, "files": found.files, "bytes": found.bytes, "faults": faults, "removed": removed}
    answer(options, "\n".join(lines), told)
    return 1 if found.faults else 0


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal; elsewhere a line now and then."""
    if not sys.stderr.isatty():
        told = time.monotonic()

        def say(done: int, total: int) -> None:
            nonlocal told
            if time.monotonic() - told > SECONDS:
                told = time.monotonic()
                print(f"  {done / max(1, total):.0%} read", file=sys.stderr, flush=True)

        yield say
        return
    import rich.console
    import rich.progress as parts

    columns = (parts.BarColumn(), parts.DownloadColumn(), parts.TransferSpeedColumn(), parts.TimeRemainingColumn())
    with parts.Progress(*columns, console=rich.console.Console(stderr=True), transient=True) as bars:
        task = bars.add_task("verify")
        yield lambda done, total: bars.update(task, completed=done, total=total)
