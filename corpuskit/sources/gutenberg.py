"""Books as plain text, with or without a Project Gutenberg header and footer: one document a book."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from corpuskit.core import step
from corpuskit.core.step import Bad, Skip
from corpuskit.sources.archives import archive_kind, entries
from corpuskit.sources.base import SourceFile
from corpuskit.sources.decoding import decode
from corpuskit.sources.lines import too_large

_START = re.compile(
    r"^[^\S\n]*\*{3}[^\S\n]*START[^\S\n]+OF[^\S\n]+(?:THE|THIS)[^\S\n]+PROJECT[^\S\n]+GUTENBERG[^\n*]*"
    r"(?:\n[^\n*]+)?\*{3}[^\n]*$"
    r"|^[^\n]*\*END\*?[^\S\n]*THE SMALL PRINT[^\n]*$",
    re.MULTILINE | re.IGNORECASE,
)
_END = re.compile(
    r"^[^\S\n]*\*{3}[^\S\n]*END[^\S\n]+OF[^\S\n]+(?:THE|THIS)[^\S\n]+PROJECT[^\S\n]+GUTENBERG"
    r"|^[^\S\n]*End of (?:the |this )?Project Gutenberg\b",
    re.MULTILINE | re.IGNORECASE,
)
_CREDITS = re.compile(
    r"\A(?:(?:Produced by|This (?:e?book|etext) was (?:produced|prepared)|E-?text prepared by|Transcribed by|Scanned"
    r" by)[^\n]*(?:\n[^\n]+)*\n\s*\n)+",
    re.IGNORECASE,
)
_FIELD = re.compile(r"^(Title|Author|Language):[^\S\n]*(\S[^\n]*(?:\n[ \t]+\S[^\n]*)*)", re.MULTILINE)
HEADER_CHARACTERS = 40_000
"""The small print of old releases is about 12,000 characters long, with introductions before it."""

_SKIPPED = {".htm": "HTML book", ".html": "HTML book", ".xml": "TEI book"}
_COLUMNS = {"title": "string", "author": "string", "content_language": "string", "path": "string"}


@step.source(columns=_COLUMNS)
def gutenberg(file: SourceFile) -> Iterator[dict[str, Any] | Bad | Skip]:
    """Read `.txt` books, alone or in zip or tar archives, compressed or not.

    Project Gutenberg's header, licence and footer are cut off, of old releases too; books without them are read whole.
    HTML and TEI editions are counted and left out: they are editions of the same books, and plain text is complete.
    UTF-8, or what it looks like: older releases are windows-1252 and others.

    Raises:
        InputError: damaged compression or archive.
    """
    kind = archive_kind(file)
    if kind is None:
        content = _whole(file)
        if content != b"":
            yield _book(content, file.relative)
        return
    for entry in entries(file, kind):
        if entry.link:
            yield Skip("link")
        elif (reason := _no_text(entry.name)) is not None:
            yield Skip(reason)
        else:
            yield _book(entry.content(), entry.name)


def _no_text(path: str) -> str | None:
    name = path.lower().removesuffix(".gz").removesuffix(".zst").removesuffix(".bz2").removesuffix(".xz")
    suffix = name[name.rfind(".") :] if "." in name else ""
    return None if suffix in (".txt", "") else _SKIPPED.get(suffix, "not a text file")


def _whole(file: SourceFile) -> bytes | Bad | Skip:
    reason = _no_text(file.relative)
    if reason is not None:
        return Skip(reason)
    pieces, size = [], 0
    for chunk in file.chunks():
        size += len(chunk)
        if size > file.max_doc_bytes:
            return Bad(too_large(file.max_doc_bytes))
        pieces.append(chunk)
    return b"".join(pieces)


def _book(content: bytes | Bad | Skip, path: str) -> dict[str, Any] | Bad | Skip:
    if isinstance(content, Bad):
        return Bad(content.reason, path)
    if isinstance(content, Skip):
        return content
    text = decode(content).replace("\r\n", "\n").replace("\r", "\n")
    body, fields = split_book(text)
    return {"text": body, **fields, "path": path}


def split_book(text: str) -> tuple[str, dict[str, str | None]]:
    """Cut off header and footer.

    Returns:
        (the book's text, {title, author, content_language} as the header gives them).
    """
    head = text[:HEADER_CHARACTERS]
    starts = list(_START.finditer(head))
    begin = starts[-1].end() if starts else 0
    end = _END.search(text, begin)
    fields: dict[str, str | None] = {"title": None, "author": None, "language": None}
    if starts or end:
        for name, value in _FIELD.findall(head[:begin] if starts else head[:4000]):
            fields[name.lower()] = fields[name.lower()] or " ".join(value.split())
    body = text[begin : end.start() if end else len(text)].strip()
    body = _CREDITS.sub("", body) if starts else body
    return body.strip(), {"content_language": fields.pop("language"), **fields}
