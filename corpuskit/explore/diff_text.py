"""Two builds compared, for people: what `corpuskit diff` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from corpuskit.core.tables import size, table
from corpuskit.explore.diff import Difference

SHOWN = 60
"""Characters of a text."""


def render(found: Difference) -> str:
    """The comparison as text."""
    return "\n\n".join(_sections(found))


def _sections(found: Difference) -> Iterator[str]:
    yield "\n".join(f"{name}: {root}, run {run}" for name, root, run in zip("AB", found.roots, found.runs, strict=True))
    yield "recipe\n" + ("\n".join(f"  {text}" for text in found.recipe) or "  the same")
    if not found.common:
        yield "no document of A is in B: ids follow from the names of sources and files, and from `salt`"
    head = ["documents", "A", "B", "came", "went", "changed", "bytes A", "bytes B"]
    rows = [
        [
            one.domain,
            *(f"{count:,}" for count in (*one.kept, one.came, one.went, one.changed)),
            *(size(count) for count in one.bytes),
        ]
        for one in found.domains
    ]
    yield table(head, rows, right=range(1, len(head)))
    head = ["", "tokens A", "tokens B", "duplicates A", "duplicates B"]
    rows = [
        [
            one.domain,
            *("" if count is None else f"{count:,}" for count in one.tokens),
            *(f"{count:,}" for count in one.duplicates),
        ]
        for one in found.domains
    ]
    yield table(head, rows, right=range(1, len(head)))
    for change, said in (
        ("came", "in B, and in A: {before}"),
        ("went", "in A, and in B: {after}"),
        ("changed", "in both, with another text"),
    ):
        for reason in found.reasons:
            if reason["change"] == change:
                count = f"{reason['documents']:,} {change}: "
                yield count + said.format(**reason) + "".join(f"\n  {_example(one)}" for one in reason["examples"])
    if not found.reasons:
        yield "both have the same documents"


def _example(one: dict[str, Any]) -> str:
    text = " ".join(one["text"].split())
    return f"{one['raw']}  {text if len(text) <= SHOWN else text[: SHOWN - 3] + '...'}"
