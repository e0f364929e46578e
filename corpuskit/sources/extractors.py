"""What finds the main text of a page: our own, or another library's, by the name that a recipe gives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

Extractor = Literal["corpuskit", "resiliparse", "trafilatura"]


def _by_corpuskit(page: str) -> str:
    from corpuskit.sources.main_text import main_text

    return main_text(page)


def _by_resiliparse(page: str) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    text: str = extract_plain_text(page, main_content=True, preserve_formatting=True, alt_texts=False, comments=False)
    return text.encode("utf-8", "replace").decode()


def _by_trafilatura(page: str) -> str:
    import trafilatura

    text: str | None = trafilatura.extract(page, include_comments=False, fast=True)
    return (text or "").encode("utf-8", "replace").decode()


EXTRACTORS: dict[str, Callable[[str], str]] = {
    "corpuskit": _by_corpuskit,
    "resiliparse": _by_resiliparse,
    "trafilatura": _by_trafilatura,
}


def libraries(*, extract: Extractor = "corpuskit", **_: Any) -> tuple[str, ...]:
    """What reading pages depends on, for the key of a reader; resiliparse detects encodings for all."""
    return ("resiliparse", "brotli", "zstandard", *(["trafilatura"] if extract == "trafilatura" else []))
