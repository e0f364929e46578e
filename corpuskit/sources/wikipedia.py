"""Wikipedia dumps: `pages-articles` XML to clean article text, page by page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import quote
from xml.parsers import expat

from pydantic import BeforeValidator

from corpuskit.core import step
from corpuskit.core.step import Bad, Skip
from corpuskit.sources.base import SourceFile
from corpuskit.sources.lines import too_large
from corpuskit.sources.wikitemplates import Spec, said_in
from corpuskit.sources.wikitext import plain_text
from corpuskit.sources.xml import clean_xml

ARTICLES = "0"
_KEPT = frozenset({"title", "ns", "id", "text", "base", "namespace"})
_DROPPED_NAMESPACE_KEYS = ("-2", "6", "14")  # media, file, category, in the words of the dump's language
_CLOSED = re.compile(r"(?:[^{}]|\{[^{}]+\})*")
_COLUMNS = {"title": "string", "page_id": "int64", "url": "string", "content_language": "string"}


def _meaning(said: Any) -> Spec:
    """What a template says, as a recipe gives it.

    Raises:
        ValueError: it is neither.
    """
    if (type(said) is int and said >= 1) or (isinstance(said, str) and _CLOSED.fullmatch(said)):
        return said
    msg = "should be the number of an argument, 1 or more, or a text whose braces name one, as `{1} ({date})`"
    raise ValueError(msg)


TemplateText = Annotated[Spec, BeforeValidator(_meaning)]


@step.source(version=2, columns=_COLUMNS, extract=True)
def wikipedia(
    file: SourceFile,
    *,
    templates: dict[str, TemplateText] = {},  # noqa: B006 - never changed
) -> Iterator[dict[str, Any] | Bad | Skip]:
    """Read a `pages-articles` dump: XML, plain or compressed (multistream too), UTF-8 or UTF-16.

    Kept: pages of the main namespace that are no redirects. A dump that was cut before it was compressed (its stream
    is whole, its last page is not) is read to its last whole page, and the cut is counted. Bytes that are no UTF-8 and
    characters that XML does not allow become U+FFFD.

    Text: paragraphs, headings and lists; mathematics as LaTeX; code with its line breaks. Tables, infoboxes, references
    and pictures are out, and templates but for some hundred that are part of sentences (`lang`, `convert`, `quote`).

    Args:
        file: what to read.
        templates: what further templates say, by name: the number of the argument that is the text, or a text with
            `{1}`, `{name}`, and `{2|1}` for the first that is not empty. An empty text drops a template.

    Raises:
        InputError: a stream that is cut or damaged; XML that is not well formed, after all complete pages; a DTD with
            entities.
    """
    dump = _Dump(file, templates)
    for chunk in clean_xml(file.chunks()):
        dump.feed(chunk)
        yield from dump.ready()
    if dump.ends_early() and file.compressed():
        yield Skip("cut off at the end of the dump")
    else:
        dump.feed(b"", last=True)
    yield from dump.ready()


@dataclass
class _Page:
    title: str = ""
    ns: str = ""
    id: str = ""
    text: str = ""
    redirect: bool = False
    too_large: bool = False


@dataclass
class _Site:
    language: str | None = None
    base: str = ""
    dropped: set[str] = field(default_factory=set)


class _Dump:
    """The pages of a dump, as the XML parser meets them; holds one page at a time."""

    def __init__(self, file: SourceFile, templates: Mapping[str, Spec]) -> None:
        self._file = file
        self._templates = templates
        self._site = _Site()
        self._page: _Page | None = None
        self._pages: list[_Page] = []
        self._error: Exception | None = None
        self._inside: list[str] = []
        self._said: list[str] = []
        self._size = 0
        self._namespace = ""
        self._own = said_in(None, templates)
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.buffer_size = 1 << 16
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.EntityDeclHandler = self._entity
        self._parser = parser

    def feed(self, chunk: bytes, *, last: bool = False) -> None:
        if self._error is None:
            try:
                self._parser.Parse(chunk, last)
            except (expat.ExpatError, ValueError) as error:
                self._error = error

    def ends_early(self) -> bool:
        """Whether the dump ended inside of an element, after its last byte was fed."""
        return bool(self._inside) and self._error is None

    def ready(self) -> Iterator[dict[str, Any] | Bad | Skip]:
        """The pages that are complete; then the error, if there was one."""
        pages, self._pages = self._pages, []
        for page in pages:
            yield self._document(page)
        if self._error is not None:
            parser = self._parser
            place = f"line {parser.ErrorLineNumber}, byte {parser.ErrorByteIndex} of the unpacked dump"
            raise self._file.damaged(f"the XML ends or breaks at {place}: {self._error}") from None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._inside.append(name)
        self._said, self._size = [], 0
        if name == "page":
            self._page = _Page()
        elif name == "redirect" and self._page:
            self._page.redirect = True
        elif name == "mediawiki":
            self._site.language = attributes.get("xml:lang")
            self._own = said_in(self._site.language, self._templates)
        elif name == "namespace":
            self._namespace = attributes.get("key", "")

    def _characters(self, data: str) -> None:
        if not self._inside or self._inside[-1] not in _KEPT:
            return
        self._size += len(data)
        if self._size <= self._file.max_doc_bytes:
            self._said.append(data)
        else:
            self._said.clear()

    def _end(self, name: str) -> None:
        self._inside.pop()
        said = "".join(self._said) if name in _KEPT else ""
        page = self._page
        if name == "page" and page is not None:
            self._pages.append(page)
            self._page = None
        elif (page is not None and name in ("title", "ns", "text")) or (
            page is not None and name == "id" and not page.id
        ):
            setattr(page, name, said)
            page.too_large = page.too_large or self._size > self._file.max_doc_bytes
        elif name == "base":
            self._site.base = said
        elif name == "namespace" and self._namespace in _DROPPED_NAMESPACE_KEYS:
            self._site.dropped.add(said.lower())
        self._said = []

    def _beyond_limit(self, text: str) -> bool:
        limit = self._file.max_doc_bytes
        return 4 * len(text) > limit and len(text.encode()) > limit  # no character takes more than four bytes

    def _entity(self, name: str, *_: Any) -> None:
        msg = f"the dump declares the entity `{name}`, which no Wikipedia dump does"
        raise ValueError(msg)

    def _document(self, page: _Page) -> dict[str, Any] | Bad | Skip:
        if page.ns.strip() != ARTICLES:
            return Skip("not in the main namespace")
        if page.redirect:
            return Skip("redirect")
        self._file.raw_record = page.text
        if page.too_large or self._beyond_limit(page.text):
            return Bad(too_large(self._file.max_doc_bytes), f"page {page.title!r}")
        folder = self._site.base.rpartition("/")[0]
        name = quote(page.title.replace(" ", "_"), safe="/:,()'!*;@$~")
        return {
            "text": plain_text(page.text, frozenset(self._site.dropped), self._own),
            "title": page.title,
            "page_id": int(page.id) if page.id.strip().isdecimal() else None,
            "url": f"{folder}/{name}" if folder else None,
            "content_language": self._site.language,
        }
