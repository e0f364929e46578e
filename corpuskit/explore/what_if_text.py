"""The answer of `corpuskit.explore.what_if` for people: what `corpuskit stats --what-if` prints."""

from __future__ import annotations

from collections.abc import Iterator

from corpuskit.core.tables import table
from corpuskit.explore.what_if import WhatIf


def render(found: WhatIf) -> str:
    """The answer as text."""
    lines = [f"if `{found.rule}` were `{found.after}`, and not `{found.before}`", ""]
    head = ["would leave", "kept now", "leave", "share", "tokens", "held out", "orphans", "again"]
    rows = [
        [
            one.domain,
            *(f"{count:,}" for count in (one.kept, one.leave)),
            f"{100 * one.leave / one.kept:.2f} %" if one.kept else "",
            "" if one.tokens is None else f"{one.tokens:,}",
            *(f"{count:,}" for count in (one.held_out, one.orphans, one.again)),
        ]
        for one in found.changes
    ]
    lines += [table(head, rows, right=range(1, len(head))), ""]
    head = ["would pass", "dropped now", "pass", "unjudged", "tokens"]
    rows = [
        [
            one.domain,
            *(f"{count:,}" for count in (one.dropped, one.back, one.unjudged)),
            "" if not one.estimated_tokens else f"about {one.estimated_tokens:,}",
        ]
        for one in found.changes
    ]
    lines += [table(head, rows, right=range(1, len(head))), "", *_notes(found)]
    return "\n".join(lines)


def _notes(found: WhatIf) -> Iterator[str]:
    total = {
        name: sum(getattr(one, name) for one in found.changes) for name in ("orphans", "again", "back", "unjudged")
    }
    yield "orphans: duplicates whose kept witness leaves; again: of those, what would pass and be compared anew"
    if total["orphans"] and not total["again"]:
        yield "  none would: with their witness the last of their clusters leaves"
    if not total["unjudged"]:
        yield "unjudged: what passes this rule and has not met all that comes below it"
    else:
        longest_first = sorted(found.later.values(), key=len, reverse=True)
        behind = dict.fromkeys(name for names in longest_first for name in names)
        yield f"unjudged: what passes this rule and has not met {', '.join(behind)}"
    if total["back"]:
        yield "tokens of what would pass are estimated: its documents times the mean of the kept ones of its domain"
    if found.anew:
        yield f"not counted: {', '.join(found.anew)} would choose anew, from other documents"
