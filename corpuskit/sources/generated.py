"""Whether a file says of itself that a program wrote it, as such files do in their first lines.

The signs are those of GitHub's linguist (`lib/linguist/generated.rb`), by which GitHub hides generated files, in the
general forms that other tools write as well: protocol buffers, gRPC, Swagger and OpenAPI, lex and yacc, SWIG, Cython.
"""

from __future__ import annotations

import itertools
import re

SEEN_CHARACTERS, SEEN_LINES = 4000, 8
"""Where a file says so: in these, blank lines not counted."""

_AUTO = r"(?:auto[- ]?|automatically |machine[- ])"
_WHAT = r"(?:file|code|class|source|script|module|header|parser|scanner|documentation|page|table)s?"
_SIGNS = (
    r"\bcode generated\b.{0,200}\bdo not (?:edit|modify)",  # Go's convention, and that of many beside it
    r"@generated\b",
    rf"\b(?:this|the following) {_WHAT} (?:is|was|has been) (?:{_AUTO})?generated\b",
    rf"\bthis is an? (?:{_AUTO})?generated {_WHAT}",
    rf"\b{_AUTO}generated (?:{_WHAT}|by|from|using|with)\b",
    rf"\bgenerated (?:{_WHAT}|automatically)\b.{{0,80}}\bdo not (?:edit|modify)",
    rf"\bdo not (?:edit|modify)\b.{{0,80}}\b(?:{_AUTO}generated|generated (?:by|from|with))",
    rf"^\W*(?:a |the |this )?(?:{_WHAT} |lexical scanner )?generated (?:by|from|with|using)\b",
    r"\bmade by gnu bison\b",
    r"<meta name=\"?generator\"?",
)
_EVERY = ("generat", "gnu bison")
"""One of these is in each sign."""
_SIGN = re.compile("|".join(_SIGNS), re.IGNORECASE | re.DOTALL | re.MULTILINE)


def is_generated(text: str) -> bool:
    """Whether a file says in its first lines that it is generated."""
    head = text[:SEEN_CHARACTERS]
    low = head.lower()
    if not any(sign in low for sign in _EVERY):
        return False
    lines = (line for line in head.split("\n") if line.strip())
    return _SIGN.search("\n".join(itertools.islice(lines, SEEN_LINES))) is not None
