"""arXiv source tars: one document a paper, from its LaTeX."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from typing import Any

from corpuskit.core import step
from corpuskit.core.step import Bad, Skip
from corpuskit.errors import InputError
from corpuskit.sources.archives import Entry, archive_kind, entries, tar_entries
from corpuskit.sources.base import SourceFile
from corpuskit.sources.decoding import decode
from corpuskit.sources.decompress import decompressed
from corpuskit.sources.latex import TEX_SUFFIXES, read_paper
from corpuskit.sources.lines import too_large
from corpuskit.sources.raw import RawStream

_READ_SUFFIXES = (*TEX_SUFFIXES, ".bbl", ".def", ".sty", ".cls")
_TAR_SIGN = slice(257, 262)


@step.source(columns={"arxiv_id": "string", "files": "int64", "left_out": "string"}, version=2, extract=True)
def arxiv(file: SourceFile) -> Iterator[dict[str, Any] | Bad | Skip]:
    r"""Read the tars of arXiv's bulk source: a gzip per paper, which holds one TeX file or a tar of files.

    The main file is found, what it inputs is inlined, comments, preamble and bibliography are out, the user's macros
    are expanded; sections, mathematics and verbatim text stay as written. Text that nobody inputs follows, then a
    supplement or other document of its own. `files` counts the TeX files that the text was made of; `left_out` names
    the paper's other TeX files as `NAME (REASON, N characters)`, joined by `; `, or is null: macros, pictures, other
    versions of the same text, letters to referees, files whose input is commented out.

    Raises:
        InputError: the outer tar is damaged or cut, after every whole paper before.
    """
    kind = archive_kind(file)
    if kind is None:
        if not file.first_bytes(1):
            return
        raise file.damaged("not a tar of papers", "each source file must be a tar as arXiv's bulk data has them")
    for entry in entries(file, kind):
        yield _paper(entry, file)


def _paper(entry: Entry, file: SourceFile) -> dict[str, Any] | Bad | Skip:
    if entry.link:
        return Skip("link")
    name = entry.name.lower()
    if name.endswith(".pdf"):
        return Skip("PDF only")
    if not name.endswith((".gz", ".tex")):
        return Skip("not a paper's source")
    content = entry.content()
    if isinstance(content, Bad):
        return Bad(content.reason, entry.name)
    try:
        files = _sources(content, entry.name, file)
    except InputError as error:
        return Bad(error.message.partition(": ")[2], entry.name)
    if isinstance(files, Bad | Skip):
        return files
    texts, unread = files
    file.raw_record = texts
    paper = read_paper(texts)
    if paper is None:
        return Skip("no TeX source")
    left_out = "; ".join([*paper.left_out, *unread])
    return {
        "text": paper.text,
        "arxiv_id": _identifier(entry.name),
        "files": len(paper.files),
        "left_out": left_out or None,
    }


def _identifier(name: str) -> str:
    """`0704/0704.0001.gz` -> `0704.0001`; `9901/math9901001.gz` -> `math/9901001`."""
    stem = name.rpartition("/")[2].removesuffix(".gz").removesuffix(".tex")
    old = re.fullmatch(r"([a-z-]+)(\d{7})", stem)
    return f"{old[1]}/{old[2]}" if old else stem


def _sources(content: bytes, name: str, file: SourceFile) -> tuple[dict[str, str], list[str]] | Bad | Skip:
    """A paper's text files by path, and those that could not be read."""
    inner = SourceFile(f"{file.path}#{name}", name, max_doc_bytes=file.max_doc_bytes)
    pieces, size = [], 0
    for chunk in decompressed(RawStream(inner.path, io.BytesIO(content))):
        size += len(chunk)
        if size > file.max_doc_bytes:
            return Bad(too_large(file.max_doc_bytes), name)
        pieces.append(chunk)
    data = b"".join(pieces)
    if data.startswith(b"%PDF"):
        return Skip("PDF only")
    if data.startswith(b"%!PS"):
        return Skip("PostScript only")
    if not _is_tar(data):
        return {"main.tex": decode(data, _declared(data))}, []
    files, unread = {}, []
    for entry in tar_entries(io.BytesIO(data), inner):
        if entry.name.lower().endswith(_READ_SUFFIXES) and not entry.link:
            part = entry.content()
            if isinstance(part, bytes):
                files[entry.name.removeprefix("./")] = part
            else:
                unread.append(f"{entry.name.removeprefix('./')} ({part.reason})")
    whole = next(filter(None, map(_declared, files.values())), None)
    texts = {path: decode(part, _declared(part), whole) for path, part in files.items()}
    return (texts, unread) if texts else Skip("no TeX source")


_INPUTENC = re.compile(
    rb"^[^%\n]{0,200}?\\(?:(?:usepackage|RequirePackage)\s*\[([^\]%]{1,100})\]\s*\{[\w,\s]{0,100}inputenc\b|inputencoding\s*\{([\w-]+))",
    re.MULTILINE,
)
_ENCODINGS = {
    "latin9": "iso-8859-15", "latin10": "iso-8859-16", "ansinew": "windows-1252", "applemac": "macintosh",
    "maccyr": "mac-cyrillic", "macce": "mac-latin2", "cp437de": "cp437", "koi8-ru": "koi8-u",
}  # fmt: skip
"""Names of inputenc (The LaTeX Companion, table 7.22) that are not those of the web."""


def _declared(data: bytes) -> str | None:
    """The encoding that a file declares with `inputenc`, the last of several options."""
    if b"inputenc" not in data or (found := _INPUTENC.search(data)) is None:
        return None
    name = (found[1] or found[2]).decode("ascii", "replace").rpartition(",")[2].strip()
    return _ENCODINGS.get(name, name)


def _is_tar(data: bytes) -> bool:
    if data[_TAR_SIGN] == b"ustar":
        return True
    try:
        tarfile.TarInfo.frombuf(data[:512], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True
