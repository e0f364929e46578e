"""A table of sizes in place of a corpus: what a mixture would be, before there is a document."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

from corpuskit.errors import UsageError, did_you_mean
from corpuskit.mix.problem import Bucket
from corpuskit.recipe.numbers import parse_count


def read_sizes(path: Path, domains: Collection[str]) -> list[Bucket]:
    """Read `domain,tokens`, a domain a line; numbers such as `2.5B` are read.

    Args:
        path: the table, CSV with a header.
        domains: those of the recipe; each has a line.

    Raises:
        UsageError: the table is damaged, or of other domains; with file and line.
    """
    try:
        lines = [line for line in csv.reader(path.read_text(encoding="utf-8-sig").splitlines()) if line]
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})", "a CSV file: domain,tokens") from error
    if not lines or [cell.strip() for cell in lines[0]] != ["domain", "tokens"]:
        raise UsageError(f"{path}:1: the header is not `domain,tokens`", "then one line a domain, such as `web,2.5B`")
    found: dict[str, int] = {}
    for number, cells in enumerate(lines[1:], 2):
        name, tokens = _line(path, number, cells)
        if name not in domains:
            hint = did_you_mean(name, domains) or f"its domains: {', '.join(sorted(domains))}"
            raise UsageError(f"{path}:{number}: `{name}` is no domain of the recipe", hint)
        if name in found:
            raise UsageError(f"{path}:{number}: `{name}` stands twice")
        found[name] = tokens
    missing = sorted(set(domains) - set(found))
    if missing:
        raise UsageError(f"{path}: no line for `{missing[0]}`", "a domain without text is a line with 0")
    return [Bucket(name, tokens, int(tokens > 0)) for name, tokens in sorted(found.items())]


def _line(path: Path, number: int, cells: list[str]) -> tuple[str, int]:
    if len(cells) != 2:
        raise UsageError(f"{path}:{number}: {len(cells)} values, not a domain and its tokens")
    name, text = (cell.strip() for cell in cells)
    tokens = parse_count(text)
    if isinstance(tokens, str) and tokens.isdecimal():
        tokens = int(tokens)
    if not isinstance(tokens, int):
        raise UsageError(
            f"{path}:{number}: the tokens of `{name}` are {text!r}, not a whole number such as 2500000 or 2.5M"
        )
    return name, tokens
