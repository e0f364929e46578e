"""A table of sizes in place of a corpus: what a mixture would be, before there is a document."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from corpuskit.core.numbers import parse_count
from corpuskit.errors import UsageError, did_you_mean
from corpuskit.mix.problem import Bucket
from corpuskit.mix.tables import Row, read_table


def read_sizes(path: Path, domains: Collection[str]) -> list[Bucket]:
    """Read `domain,tokens`, a domain a line; numbers such as `2.5B` are read.

    Args:
        path: the table, CSV with a header.
        domains: those of the recipe; each has a line.

    Raises:
        UsageError: the table is damaged, or of other domains; with file and line.
    """
    table = read_table(path, "a CSV file: domain,tokens")
    if (table.corner, table.columns) != ("domain", ("tokens",)):
        msg = f"{path}:{table.header}: the header is not `domain,tokens`"
        raise UsageError(msg, "then one line a domain, such as `web,2.5B`")
    found: dict[str, int] = {}
    for name, row in table.rows.items():
        if name not in domains:
            hint = did_you_mean(name, domains) or f"its domains: {', '.join(sorted(domains))}"
            raise UsageError(f"{path}:{row.line}: `{name}` is no domain of the recipe", hint)
        found[name] = _tokens(path, name, row)
    missing = sorted(set(domains) - set(found))
    if missing:
        raise UsageError(f"{path}: no line for `{missing[0]}`", "a domain without text is a line with 0")
    return [Bucket(name, tokens, int(tokens > 0)) for name, tokens in sorted(found.items())]


def _tokens(path: Path, name: str, row: Row) -> int:
    (text,) = row.cells
    tokens = parse_count(text)
    if isinstance(tokens, str) and tokens.isdecimal():
        tokens = int(tokens)
    if not isinstance(tokens, int):
        msg = f"{path}:{row.line}: the tokens of `{name}` are {text!r}, not a whole number such as 2500000 or 2.5M"
        raise UsageError(msg)
    return tokens
