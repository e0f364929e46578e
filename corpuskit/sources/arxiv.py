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
from corpuskit.sources.latex import document_text
from corpuskit.sources.lines import too_large
from corpuskit.sources.raw import RawStream

_TEXT_SUFFIXES = (".tex", ".ltx", ".latex", ".txt", ".bbl", ".def", ".sty", ".cls")
_TAR_SIGN = slice(257, 262)


@step.source(columns={"arxiv_id": "string", "files": "int64"}, extract=True)
def arxiv(file: SourceFile) -> Iterator[dict[str, Any] | Bad | Skip]:
    r"""Read the tars of arXiv's bulk source: a gzip per paper, which holds one TeX file or a tar of files.

    The main file is found, `\input` and `\include` are inlined, comments, preamble and bibliography are out, the
    user's macros are expanded; sections and mathematics stay as written. `files` counts the paper's TeX files.

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
    text = document_text(files)
    if text is None:
        return Skip("no TeX source")
    tex = sum(path.lower().endswith(".tex") for path in files)
    return {"text": text, "arxiv_id": _identifier(entry.name), "files": max(1, tex)}


def _identifier(name: str) -> str:
    """`0704/0704.0001.gz` -> `0704.0001`; `9901/math9901001.gz` -> `math/9901001`."""
    stem = name.rpartition("/")[2].removesuffix(".gz").removesuffix(".tex")
    old = re.fullmatch(r"([a-z-]+)(\d{7})", stem)
    return f"{old[1]}/{old[2]}" if old else stem


def _sources(content: bytes, name: str, file: SourceFile) -> dict[str, str] | Bad | Skip:
    """A paper's text files by path."""
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
        return {"main.tex": decode(data)}
    files = {}
    for entry in tar_entries(io.BytesIO(data), inner):
        if entry.name.lower().endswith(_TEXT_SUFFIXES) and not entry.link:
            part = entry.content()
            if isinstance(part, bytes):
                files[entry.name.removeprefix("./")] = decode(part)
    return files or Skip("no TeX source")


def _is_tar(data: bytes) -> bool:
    if data[_TAR_SIGN] == b"ustar":
        return True
    try:
        tarfile.TarInfo.frombuf(data[:512], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True
