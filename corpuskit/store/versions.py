"""Versions of packages that complete units were made with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from corpuskit.core.kinds import kind_of
from corpuskit.core.plan import Stage
from corpuskit.core.tables import counted
from corpuskit.core.work import made_with
from corpuskit.store.root import Root


def other_versions(root: Root, stages: Iterable[Stage]) -> list[str]:
    """What of the complete units of some stages was made with other versions than are here, a sentence a version."""
    found: dict[tuple[str, str, str], Counter[str]] = {}
    for stage in stages:
        here = made_with(kind_of(stage).packages)
        for receipt in root.complete(stage):
            for package, version in receipt.versions.items():
                if version != here.get(package):
                    units = found.setdefault((package, version, here.get(package, "not installed")), Counter())
                    units[stage.name] += 1
    return [
        f"{counted(sum(units.values()), 'complete unit')} made with {package} {then}; here it is {now} "
        f"({', '.join(list(units)[:3])}{f' and {len(units) - 3} more stages' if len(units) > 3 else ''})"
        for (package, then, now), units in sorted(found.items())
    ]
