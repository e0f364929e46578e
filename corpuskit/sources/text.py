"""Folders of ordinary files: text as it is, and the main text of HTML pages; one document a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from corpuskit.core import step
from corpuskit.core.step import Bad
from corpuskit.sources.base import SourceFile
from corpuskit.sources.decoding import decode, decode_page, is_binary
from corpuskit.sources.decompress import ending
from corpuskit.sources.extractors import EXTRACTORS, Extractor, libraries
from corpuskit.sources.lines import too_large

PAGES = (".html", ".htm", ".xhtml")


@step.source(columns={"path": "string"}, extract=True, libraries=libraries)
def text(file: SourceFile, *, extract: Extractor = "corpuskit") -> Iterator[dict[str, Any] | Bad]:
    r"""Read ordinary files, plain or compressed, each a document: `.txt` and the like whole, of `.html` the main text.

    What a file is, its name says: `.html`, `.htm` and `.xhtml` are pages, and everything else is text as it stands,
    with line ends as `\n`. Encodings are told by the evidence, see `decoding`. `Bad` are binary files, text with a NUL
    character among them, and pages with more tags than are read.

    Args:
        file: what to read; `path` is its path below the folder that all files of the source share.
        extract: what finds the main text of a page, as of `warc`.

    Raises:
        InputError: damaged compression.
    """
    content = file.content()
    if content is None:
        yield Bad(too_large(file.max_doc_bytes), file.relative)
        return
    is_page = ending(file.relative) in PAGES
    whole = decode_page(content) if is_page else decode(content).replace("\r\n", "\n").replace("\r", "\n")
    file.raw_record = whole
    if "\0" in whole or is_binary(whole):
        yield Bad("binary, not text (a pattern in `path`, such as `**/*.txt`, leaves other files out)", file.relative)
    elif is_page:
        yield _page(whole, file.relative, extract)
    else:
        yield {"text": whole, "path": file.relative}


def _page(page: str, path: str, extract: Extractor) -> dict[str, Any] | Bad:
    from corpuskit.kernels.html import MOST_TAGS

    if page.count("<") > MOST_TAGS:
        return Bad(f"more than {MOST_TAGS:,} tags", path)
    return {"text": EXTRACTORS[extract](page), "path": path}
