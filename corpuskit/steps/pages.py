"""Pages with ids, on which models were measured: JSON Lines with `id` and `text`, read by id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from corpuskit.core.step import Bad
from corpuskit.errors import InputError, UsageError, did_you_mean
from corpuskit.sources.base import SourceFile
from corpuskit.sources.jsonl import jsonl

FIX = "fix or remove it: `quality` trains on all that it is given"


def read_pages(path: Path) -> Iterator[tuple[str, str]]:
    """Ids and texts, in the order of the file.

    Raises:
        InputError: a line cannot be read, or has no `id` that is a string.
    """
    for number, record in enumerate(jsonl.function(SourceFile(str(path), path.name), columns={"id": "string"}), 1):
        if isinstance(record, Bad):
            raise InputError(f"{path}: {record.where}: {record.reason}", FIX)
        if record.get("id") is None:
            raise InputError(f"{path}: page {number} has no `id`", "it is what the table of losses names pages by")
        yield record["id"], record["text"]


def page_sizes(paths: Sequence[Path], measured: Sequence[str], losses: str) -> dict[str, int]:
    """UTF-8 bytes of text by id; texts with the same id are one page.

    Args:
        paths: files of pages. measured: the ids that the table of losses has. losses: its path.

    Raises:
        UsageError: a page has no losses, or losses have no page with text.
    """
    sizes = dict.fromkeys(measured, 0)
    for path in paths:
        for page, text in read_pages(path):
            if page not in sizes:
                hint = did_you_mean(page, sizes) or "measure it, or leave it out"
                raise UsageError(f"{path}: the page `{page}` has no line in {losses}", hint)
            sizes[page] += len(text.encode())
    for page, size in sizes.items():
        if not size:
            named = ", ".join(str(path) for path in paths)
            raise UsageError(f"{losses}: there is no text of the page `{page}` in {named}", "leave out its line")
    return sizes
