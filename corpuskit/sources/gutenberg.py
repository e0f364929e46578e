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

_OF_GUTENBERG = r"[^\n*]{0,60}?\bPRO[JYG]E[CKT]?T\w*[^\S\n]+GUTENBERG"
_BEGINS = r"(?:START|BEGIN|BEGINN|ANFANG|D[EÉ]BUT|INICIO|IN[IÍ]CIO|COMIENZO|INIZIO|ALKU)"
_ENDS = r"(?:END|ENDE|FIN|FINE|FIM|EINDE|SLUT|LOPPU)"
_START = re.compile(
    rf"^[^\S\n]*\*{{3}}[^\S\n]*{_BEGINS}\b{_OF_GUTENBERG}[^\n*]*(?:\n[^\n*]+)?\*{{3}}[^\n]*$"
    rf"|^[^\S\n]*\*+{_ENDS}\b\*?[^\n]*(?:SMALL PRINT|KLEINGEDRUCKTE|PUBLIC DOMAIN E)[^\n]*$",
    re.MULTILINE | re.IGNORECASE,
)
_END = re.compile(
    rf"^[^\S\n]*\*{{3}}[^\S\n]*{_ENDS}\b{_OF_GUTENBERG}"
    rf"|^[^\S\n]*(?-i:(?=[A-Z])){_ENDS}[^\S\n]+(?:of|de[rsl]?|dieses|del|do|dell|van|på)?\b{_OF_GUTENBERG}",
    re.MULTILINE | re.IGNORECASE,
)
_CREDITS = re.compile(
    r"\A\s*(?:(?:\[?(?:Produced|Prepared|Transcribed|Scanned|Digiti[sz]ed|Proofread|Typed|Updated|Corrected"
    r"|HTML version) (?:from\b|by\b(?! (?:the|an?) (?!anonymous|volunteer|team|group|member)(?-i:[a-z])))"
    r"|Proofreaders?:|Thanks to\b[^\n]*proofread"
    r"|\[?This (?:e-?book|e-?text|text|file|book) (?:was|is) (?:produced|prepared|scanned|converted|typed|created"
    r"|entered|first posted|transcribed)"
    r"|E-?(?:text|book) (?:produced|prepared|scanned|created|entered|typed|transcribed) by"
    r"|\[Portions of this|\[?Note: Project Gutenberg|Project Gutenberg volunteer"
    r"|\[(?:Transcriber|Redactor|Proofreader)['\u2019]?s?['\u2019]?[^\S\n]note)"
    r"[^\n]*(?:\n[^\S\n]*\S[^\n]*)*\n[^\S\n]*\n\s*)+",
    re.IGNORECASE,
)
_NOTE = re.compile(
    r"^[^\S\n]*(?:\[|\*+[^\S\n]*)?Transcriber['\u2019]?s?['\u2019]?s?[^\S\n]+Notes?\b", re.MULTILINE | re.IGNORECASE
)
_FIELD = re.compile(
    r"^(?:(Title|Titel|Titre|T[íi]tulo|Titolo|Tittel)|(Author|Autor|Auteur|Autore|Verfasser|Forfatter|Författare)"
    r"|(Language|Sprache|Langue|Idioma|Lingua|Taal|Språk|Kieli)):[^\S\n]*(\S[^\n]*(?:\n[ \t]+\S[^\n]*)*)",
    re.MULTILINE,
)
_FIRST = re.compile(
    r"\A\W*(?:This is )?(?:the )?Project Gutenberg(?:['\u2019]s)?(?: E-?(?:text|book)s?)?(?:,| of|:)? (.+?)\W*?"
    r"(?:\n\s*\n|\n\W*#|\n\*|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_SERIES = re.compile(r"^\(?#\d+ in our series by ([^\n)]+)", re.MULTILINE)
HEADER_CHARACTERS = 40_000
"""The small print of old releases is about 12,000 characters long, with introductions before it."""

FIRST_CHARACTERS = 1_000
"""The first line of a release, which names title and author, may be folded."""

NOTE_CHARACTERS = 10_000
"""How far before the end of a book transcribers note what they changed."""

_SKIPPED = {".htm": "HTML book", ".html": "HTML book", ".xml": "TEI book"}
_COLUMNS = {"title": "string", "author": "string", "content_language": "string", "path": "string"}


@step.source(version=2, columns=_COLUMNS)
def gutenberg(file: SourceFile) -> Iterator[dict[str, Any] | Bad | Skip]:
    """Read `.txt` books, alone or in zip or tar archives, compressed or not.

    Project Gutenberg's header, licence and footer are cut off, of old releases too and in other languages, and with
    them the credits before the book and transcribers' notes around it; books without a header are read whole.
    HTML and TEI editions are counted and left out: they are editions of the same books, and plain text is complete.
    UTF-8, or what it looks like: older releases are windows-1252 and others.

    Raises:
        InputError: damaged compression or archive.
    """
    kind = archive_kind(file)
    if kind is None:
        content = _whole(file)
        if content != b"":
            yield _book(content, file.relative, file)
        return
    for entry in entries(file, kind):
        if entry.link:
            yield Skip("link")
        elif (reason := _no_text(entry.name)) is not None:
            yield Skip(reason)
        else:
            yield _book(entry.content(), entry.name, file)


def _no_text(path: str) -> str | None:
    name = path.lower().removesuffix(".gz").removesuffix(".zst").removesuffix(".bz2").removesuffix(".xz")
    suffix = name[name.rfind(".") :] if "." in name else ""
    return None if suffix in (".txt", "") else _SKIPPED.get(suffix, "not a text file")


def _whole(file: SourceFile) -> bytes | Bad | Skip:
    reason = _no_text(file.relative)
    if reason is not None:
        return Skip(reason)
    content = file.content()
    return Bad(too_large(file.max_doc_bytes)) if content is None else content


def _book(content: bytes | Bad | Skip, path: str, file: SourceFile) -> dict[str, Any] | Bad | Skip:
    if isinstance(content, Bad):
        return Bad(content.reason, path)
    if isinstance(content, Skip):
        return content
    text = decode(content).replace("\r\n", "\n").replace("\r", "\n")
    file.raw_record = text
    body, fields = split_book(text)
    return {"text": body, **fields, "path": path}


def split_book(text: str) -> tuple[str, dict[str, str | None]]:
    """Cut off header and footer.

    Returns:
        (the book's text, {title, author, content_language} as the header gives them).
    """
    head = text[:HEADER_CHARACTERS]
    # small print may stand at the end of a short book, too
    first_end = _END.search(text)
    starts = [found for found in _START.finditer(head) if first_end is None or found.start() < first_end.start()]
    begin = starts[-1].end() if starts else 0
    end = _END.search(text, begin)
    fields: dict[str, str | None] = {"title": None, "author": None, "language": None}
    if starts or end:
        header = head[:begin] if starts else head[:4000]
        for *values, value in _FIELD.findall(header):
            name = next(name for name, found in zip(fields, values, strict=True) if found)
            fields[name] = fields[name] or " ".join(value.split())
        title, author = _first_line(header)
        fields["title"], fields["author"] = fields["title"] or title, fields["author"] or author
    body = text[begin : end.start() if end else len(text)].strip()
    if starts:
        body = _CREDITS.sub("", body)
        notes = [found.start() for found in _NOTE.finditer(body, max(0, len(body) - NOTE_CHARACTERS))]
        body = body[: notes[0]] if notes and notes[0] > len(body) // 2 else body
    return body.strip(), {"content_language": fields.pop("language"), **fields}


def _first_line(header: str) -> tuple[str | None, str | None]:
    """Title and author as releases of the 1990s have them: `The Project Gutenberg Etext of TITLE, by AUTHOR`."""
    found, series = _FIRST.match(header[:FIRST_CHARACTERS]), _SERIES.search(header)
    title, _, author = " ".join(found[1].split()).rpartition(" by ") if found else ("", "", "")
    if found and not title:
        title, author = author, ""
    author = author or (series[1] if series else "")
    return title.strip(" ,*").strip() or None, author.strip(" ,*.").strip() or None
