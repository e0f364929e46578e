"""Character references of HTML (`&eacute;`, `&#233;`), as browsers resolve them."""

from __future__ import annotations

import html
import re

_LONG = re.compile(r"&#([0-9]{8,})")


def unescape(text: str) -> str:
    """The text with its references resolved; a number that is no character becomes U+FFFD.

    `html.unescape` alone raises ValueError on a number of more than 4,300 digits, which any page can hold.
    """
    return html.unescape(_LONG.sub(_short, text) if "&#" in text else text)


def _short(found: re.Match[str]) -> str:
    return f"&#{found[1].lstrip('0')[:8] or 0}"
