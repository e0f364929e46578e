"""Licences of source files: SPDX tags, and the key phrases of the common licence texts."""

from __future__ import annotations

import re

_SPDX = re.compile(
    r"SPDX-License-Identifier:[ \t]*\(?([A-Za-z0-9.+\-]+(?:[ \t]+(?:OR|AND|WITH)[ \t]+[A-Za-z0-9.+\-]+)*)"
)
_SPACES = re.compile(r"[\s*#/;\"']+")
_NAMED = re.compile(
    r"^(?:licen[cs]e|copying|copyright|unlicense|mit-license)(?:[-_.].*)?$|^.*[-_.]licen[cs]e(?:\.\w+)?$", re.IGNORECASE
)
SEEN_CHARACTERS = 50_000


def spdx_tag(text: str) -> str | None:
    """The expression of an `SPDX-License-Identifier:` tag in a file's first 4,000 characters."""
    found = _SPDX.search(text, 0, 4000)
    return " ".join(found[1].split()) if found else None


def is_license_file(path: str) -> bool:
    """Whether a file's name is one of a licence text."""
    name = path.rpartition("/")[2]
    return _NAMED.match(name) is not None and not name.lower().endswith((".py", ".js", ".go", ".rs", ".c", ".h"))


def classify_license(text: str) -> str | None:
    """The SPDX identifier of a licence text; several, joined with AND, where one file holds several; else None."""
    return license_of_words(plain_words(text[:SEEN_CHARACTERS]))


def plain_words(text: str) -> str:
    """A text in lower case with one blank for white space, comment signs and quotation marks."""
    return _SPACES.sub(" ", text).lower()


def license_of_words(words: str) -> str | None:
    """As `classify_license`, of plain words."""
    found = [name for name, phrases in _PHRASES if all(phrase in words for phrase in phrases)]
    for name, others in _IMPLIED.items():
        if name in found:
            found = [other for other in found if other not in others]
    return " AND ".join(sorted(set(found))) or None


_PHRASES: list[tuple[str, tuple[str, ...]]] = [
    ("Apache-2.0", ("apache license", "version 2.0")),
    ("Apache-2.0", ("apache license", "version: 2.0")),
    ("MIT", ("permission is hereby granted, free of charge", "the above copyright notice and this permission notice")),
    ("MIT-0", ("permission is hereby granted, free of charge", "without limitation the rights", "mit no attribution")),
    ("ISC", ("permission to use, copy, modify, and or distribute this software for any purpose",)),
    ("ISC", ("permission to use, copy, modify, and distribute this software for any purpose with or without fee",)),
    (
        "BSD-3-Clause",
        ("redistribution and use in source and binary forms", "may be used to endorse or promote products derived"),
    ),
    ("BSD-2-Clause", ("redistribution and use in source and binary forms",)),
    ("MPL-2.0", ("mozilla public license", "2.0")),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",)),
    ("CC0-1.0", ("cc0 1.0 universal",)),
    ("AGPL-3.0", ("gnu affero general public license", "version 3")),
    ("LGPL-3.0", ("gnu lesser general public license", "version 3, 29 june 2007")),
    ("LGPL-2.1", ("gnu lesser general public license", "version 2.1")),
    ("GPL-3.0", ("gnu general public license", "version 3, 29 june 2007")),
    ("GPL-2.0", ("gnu general public license", "version 2, june 1991")),
    ("Zlib", ("this software is provided as-is, without any express or implied warranty", "altered source versions")),
    ("PSF-2.0", ("python software foundation license",)),
]
_IMPLIED = {
    "BSD-3-Clause": {"BSD-2-Clause"},
    "MIT-0": {"MIT"},
    "AGPL-3.0": {"GPL-3.0"},
    "LGPL-3.0": {"GPL-3.0"},
    "LGPL-2.1": {"GPL-2.0"},
    "GPL-3.0": {"LGPL-3.0", "AGPL-3.0"},  # its text names both
    "MPL-2.0": {"GPL-2.0", "LGPL-2.1", "AGPL-3.0"},  # as secondary licences
}
