"""Runs of small recipes, and what they give: shared by the tests of steps."""

import pyarrow as pa
import pyarrow.parquet as pq

from corpuskit.cli import main


def build(path, *words, root=None):
    """`corpuskit run` of a recipe, inline unless `words` say otherwise; its exit code."""
    return main(["run", str(path), "--root", str(root or path.parent / "root"), *(words or ("--engine", "inline"))])


def by_row(found, rows):
    """Findings as a dict of counts for each of so many documents."""
    counts = [{} for _ in range(rows)]
    for one in found.to_pylist():
        counts[one["row"]][one["what"]] = one["times"]
    return counts


def kept(root, column):
    """{text: value of a column} of the corpus."""
    found = [pq.read_table(path, partitioning=None) for path in sorted((root / "corpus").rglob("*.parquet"))]
    table = pa.concat_tables(found, promote_options="default")
    return dict(zip(table.column("text").to_pylist(), table.column(column).to_pylist(), strict=True))
