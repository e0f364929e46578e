"""A finished (or stopped) run, opened from Python: its tables and its statistics."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from corpuskit.core.plan import Plan
from corpuskit.errors import UsageError
from corpuskit.store.root import Root

if TYPE_CHECKING:
    import datasketch
    import polars as pl


class OpenRun:
    """One run folder.

    Args:
        path: the run's root.

    Raises:
        UsageError: there is no run in it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.root = Root(path)
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

    def corpus(self) -> pl.LazyFrame:
        """The corpus: `doc`, `text`, `domain`, and the columns of all sources and signals, null where one has none."""
        import polars as pl

        folders = sorted((self.root.path / "corpus").glob("domain=*"))
        if not folders:
            raise UsageError(f"{self.root.path} has no corpus yet", "run the recipe to its end")
        scans = [pl.scan_parquet(folder / "*.parquet", hive_partitioning=True) for folder in folders]
        return pl.concat(scans, how="diagonal_relaxed")

    def stats(self) -> pl.DataFrame:
        """The domain table, a row a domain: documents in, dropped, duplicates, held out, kept, bytes, tokens, rates."""
        import polars as pl

        from corpuskit.explore.stats import domain_table

        rows = [row.as_json() for row in domain_table(self.root, self.plan)]
        counted = [{name: value for name, value in row.items() if not isinstance(value, dict)} for row in rows]
        return pl.DataFrame(counted, infer_schema_length=None)

    def rules(self) -> pl.DataFrame:
        """What each rule dropped of each domain: `domain`, `rule`, `documents`, and their `share` of the domain's."""
        import polars as pl

        from corpuskit.explore.stats import domain_table

        schema = {"domain": pl.String, "rule": pl.String, "documents": pl.Int64, "share": pl.Float64}
        table = domain_table(self.root, self.plan)
        rows = [(row.domain, rule, count, row.drop_rate(rule)) for row in table for rule, count in row.rules.items()]
        return pl.DataFrame(rows, schema=schema, orient="row")

    def minhash(self) -> datasketch.MinHashLSH:
        """An index of datasketch over the documents of the corpus, by `doc`; `signature` makes what it is asked.

        Raises:
            UsageError: the run has no `minhash` with `hash: datasketch`, or datasketch is not installed.
        """
        from corpuskit.explore.near import lsh

        return lsh(self.root, self.plan)

    def signature(self, text: str) -> datasketch.MinHash:
        """The signature of a text by the parameters of the run: `run.minhash().query(run.signature(text))`.

        Raises:
            UsageError: as `minhash`.
        """
        from corpuskit.explore.near import signature

        return signature(self.root, text)


def open_run(path: str | os.PathLike[str]) -> OpenRun:
    """Open the run in the folder `path`."""
    return OpenRun(path)
