"""A finished (or stopped) run, opened from Python: its tables and its statistics."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from corpuskit.core.plan import Plan
from corpuskit.store.root import Root


class OpenRun:
    """One run folder.

    Args:
        path: the run's root.

    Raises:
        UsageError: there is no run in it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.root = Root(Path(path))
        self.plan: Plan = self.root.require_plan()

    def sql(self, query: str) -> Any:
        """The answer of sandboxed DuckDB SQL over the views of the run, a `pyarrow.Table`.

        Raises:
            UsageError: the SQL is wrong, or wants to leave the run folder.
        """
        from corpuskit.explore.views import query as answer
        from corpuskit.explore.views import rebuild

        rebuild(self.root, self.plan)
        return answer(self.root, query)

    def domains(self) -> Any:
        """The domain table: documents in, dropped by rule, duplicates, held out, kept, bytes, tokens."""
        from corpuskit.explore.stats import domain_table

        return domain_table(self.root, self.plan)


def open_run(path: str | os.PathLike[str]) -> OpenRun:
    """Open the run in the folder `path`."""
    return OpenRun(path)
