"""A finished (or stopped) run, opened from Python: its tables and its statistics."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from corpuskit.core.plan import Plan
from corpuskit.core.tables import html
from corpuskit.errors import ExpectFailed, UsageError
from corpuskit.mix.problem import Mixture
from corpuskit.store.root import Root

if TYPE_CHECKING:
    import datasketch
    import polars as pl

    from corpuskit.recipe import Recipe


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

        keys = [key for key in self.root.store.list("corpus") if key.endswith(".parquet")]
        if not keys:
            raise UsageError(f"{self.root.url} has no corpus yet", "run the recipe to its end")
        folders = dict.fromkeys(f"{self.root.url}/{key.rpartition('/')[0]}" for key in keys)
        scans = [pl.scan_parquet(f"{folder}/*.parquet", hive_partitioning=True) for folder in folders]
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

    def mixture(self) -> Mixture | None:
        """What the mixture gives each domain, as shares of its tokens; None before there is one."""
        from corpuskit.explore.stats import mixture

        made = mixture(self.root, self.plan)
        if made is None:
            return None
        total = sum(domain["taken"] for domain in made["domains"].values())
        return Mixture({name: domain["taken"] / total for name, domain in made["domains"].items()})

    def __repr__(self) -> str:
        return f"OpenRun({self.root.url!r})"

    def _repr_html_(self) -> str:
        from corpuskit.explore.stats import domain_table, total
        from corpuskit.explore.stats_text import COLUMNS, cells

        found = domain_table(self.root, self.plan)
        head = f"{self.plan.recipe} in {self.root.url}"
        return html(COLUMNS, [cells(row) for row in (*found, total(found))], caption=head)

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


def build(
    recipe: Recipe,
    root: str | os.PathLike[str] | None = None,
    *,
    engine: str = "inline",
    workers: int | None = None,
    until: str | None = None,
) -> OpenRun:
    """Run what of a recipe has no receipt, and open the run: `corpuskit.run`.

    Args:
        recipe: as `corpuskit.load` gives it. root: a folder; default: `runs/<recipe name>`.
        engine: `inline`, in this process, or `local`, processes of which each imports the script that calls this: it
            must then stand behind `if __name__ == "__main__":`. workers: of `local`; default: one a core.
        until: stop after this stage.

    Raises:
        UsageError: the recipe cannot be run. UnitFailed: a unit failed; all others are committed.
        ExpectFailed: the run is complete, and an `expect` of the recipe does not hold.
    """
    from corpuskit.plan.planner import make
    from corpuskit.run import failure_report
    from corpuskit.run import run as run_plan

    plan, at = make(recipe), Root(root if root is not None else f"runs/{recipe.name}")
    folder = at.new_run(recipe.path.read_text(encoding="utf-8"), as_yaml(recipe), plan)
    outcome = run_plan(plan, at, folder, engine=engine, workers=workers, until=until)
    if outcome.failures:
        raise failure_report(outcome, plan, f"{at.url}/{folder}/log.jsonl", str(recipe.path), "")
    failed = failed_expects(plan, at) if until is None else []
    if failed:
        raise ExpectFailed("does not hold: " + "; ".join(failed), "open_run(root).stats() shows the figures")
    return OpenRun(at.url)


def as_yaml(recipe: Recipe) -> str:
    """The resolved recipe, as a run keeps it."""
    import yaml

    text: str = yaml.safe_dump(recipe.resolved(), sort_keys=False, allow_unicode=True)
    return text


def failed_expects(plan: Plan, root: Root) -> list[str]:
    """Which `expect` of the recipe does not hold."""
    from corpuskit.explore import stats
    from corpuskit.recipe import parse_expect

    functions = stats.functions(root, plan)
    return [text for text in plan.expect if not parse_expect(text).evaluate(functions)]
