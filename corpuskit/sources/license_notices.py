"""What the header of a source file says of its licence, in the ways that headers say it."""

from __future__ import annotations

import re

from corpuskit.sources.licenses import license_of_words, plain_words, spdx_tag

HEADER_CHARACTERS = 4000

_SAYS_SO = ("licen", "permission is hereby", "permission to use", "redistribution and use", "public domain")
_UNDER = ("under ", "governed by ", "terms of ", "license:", "license :", "license =", "license__ =", "@license ")
_NAMES = {
    "MIT": r"(?:mit|expat)\b(?!-)",
    "Apache-2.0": r"(?:apache|asl)(?: software)?(?: licen[cs]e)?,?[ -]?v?(?:ersion )?2(?:\.0)?\b",
    "BSD-3-Clause": r"(?:(?:new|modified|revised|3[ -]clause) bsd|bsd[ -]?3(?:[ -]clause)?)\b",
    "BSD-2-Clause": r"(?:(?:simplified|2[ -]clause) bsd|bsd[ -]?2(?:[ -]clause)?)\b",
    "MPL-2.0": r"(?:mozilla public licen[cs]e,? ?v?(?:ersion |\. ?)?2\.0|mpl[ -]2\.0)",
    "ISC": r"isc\b",
    "BSL-1.0": r"boost software licen[cs]e,? v?(?:ersion )?1\.0",
    "EPL-2.0": r"(?:eclipse public licen[cs]e,?[ -]+v?(?:ersion |\. ?)?2\.0|epl[ -]2\.0)",
    "EPL-1.0": r"(?:eclipse public licen[cs]e,?[ -]+v?(?:ersion |\. ?)?1\.0|epl[ -]1\.0)",
    "LicenseRef-BSD-style": r"bsd-style\b",
    "LicenseRef-MIT-style": r"mit-style\b",
}
_NAME = re.compile("|".join(f"({pattern})" for pattern in _NAMES.values()))
_FIRST = 30
"""Characters in which a licence is named behind `under`: `under the terms of the MIT License`."""
_SECOND = re.compile(r"[^.]{0,50}?\b(or|and)\b (?:under )?(?:the )?(?:terms of the )?")
_LICENSED = re.compile(r"\bmit licensed\b")
_GNU = re.compile(
    r"gnu (general|lesser general|library general|affero general) public licen[cs]e\b.{0,100}?\b(?:version|v) ?"
    r"(?P<number>[1-3](?:\.[01])?)(?P<later>.{0,50}?\b(?:any )?later version)?"
)
_GNU_NAMES = {"general": "GPL", "lesser general": "LGPL", "library general": "LGPL", "affero general": "AGPL"}
_GNU_TERMS = "under the terms of"


def stated_license(text: str) -> str | None:
    """What a source file's own header says of its licence: by a tag, in a notice, or with the licence's text.

    Returns:
        An SPDX expression; `LicenseRef-BSD-style` and `LicenseRef-MIT-style` where it says no more than that. None
        where nothing is said, or no more than that there is a licence.
    """
    head = text[:HEADER_CHARACTERS]
    tag = spdx_tag(head)
    low = head.lower()
    if tag is not None or not any(sign in low for sign in _SAYS_SO):
        return tag
    words = plain_words(head)
    return _notice(words) or license_of_words(words)


def _notice(words: str) -> str | None:
    if _GNU_TERMS in words and (match := _GNU.search(words)) is not None:
        number = match["number"] if "." in match["number"] else f"{match['number']}.0"
        return f"{_GNU_NAMES[match[1]]}-{number}-{'or-later' if match['later'] else 'only'}"
    for sign in _UNDER:
        end = 0
        while (start := words.find(sign, end)) >= 0:
            end = start + len(sign)
            if (found := _named(words, end)) is not None:
                return found
    return "MIT" if _LICENSED.search(words) else None


def _named(words: str, at: int) -> str | None:
    """The licence that is named next, or the two of a choice."""
    first = _NAME.search(words, at, at + _FIRST + 30)
    if first is None or first.start() > at + _FIRST:
        return None
    second = _SECOND.match(words, first.end())
    other = _NAME.match(words, second.end()) if second is not None else None
    if second is None or other is None or other.lastindex == first.lastindex:
        return _name_of(first)
    return f" {second[1].upper()} ".join(sorted((_name_of(first), _name_of(other))))


def _name_of(match: re.Match[str]) -> str:
    assert match.lastindex is not None
    return list(_NAMES)[match.lastindex - 1]
