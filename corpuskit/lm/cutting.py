"""Cuts long texts before they are encoded: a tokenizer takes about 110 bytes of memory for each byte of text."""

from __future__ import annotations

import re
from collections.abc import Iterator

LONG = 1 << 20
_LONE_SPACE = re.compile(r"(?<=\S) (?=\S)")


def pieces(text: str) -> Iterator[str]:
    """Cut a long text before single spaces between words, at the first one after each 2^20 characters."""
    start = 0
    while start < len(text):
        found = _LONE_SPACE.search(text, min(start + LONG, len(text)))
        end = found.start() if found else len(text)
        yield text[start:end]
        start = end
