"""Where two texts differ, word by word."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

WORDS = 4000
"""Words of each text that are compared, after what both begin and end with: comparing takes the product of the two."""

Piece = tuple[str, str]


def compared(one: str, two: str) -> tuple[list[Piece], int]:
    """What stands in both texts or in one, in order: (`same`, `one` or `two`; text); and the words left uncompared.

    All `same` and `one` together are the first text, all `same` and `two` the second, but for what is left uncompared.
    """
    left, right = _words(one), _words(two)
    start = _agree(left, right)
    end = _agree(left[start:][::-1], right[start:][::-1])
    middle, other = left[start : len(left) - end], right[start : len(right) - end]
    uncompared = max(0, len(middle) - WORDS) + max(0, len(other) - WORDS)
    middle, other = middle[:WORDS], other[:WORDS]
    pieces = [("same", "".join(left[:start]))]
    for what, a, b, c, d in SequenceMatcher(None, middle, other, autojunk=False).get_opcodes():
        if what == "equal":
            pieces.append(("same", "".join(middle[a:b])))
        else:
            pieces += [("one", "".join(middle[a:b])), ("two", "".join(other[c:d]))]
    pieces.append(("same", "".join(left[len(left) - end :])))
    return [piece for piece in pieces if piece[1]], uncompared


def _words(text: str) -> list[str]:
    """Runs of letters and digits and single other characters, each with the white space behind it."""
    return re.findall(r"\w+\s*|[^\w\s]\s*|\s+", text)


def _agree(one: list[str], two: list[str]) -> int:
    """How many words both begin with."""
    for number, (a, b) in enumerate(zip(one, two, strict=False)):
        if a != b:
            return number
    return min(len(one), len(two))
