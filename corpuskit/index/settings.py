"""The table `index` of a recipe."""

from __future__ import annotations

from corpuskit.core.settings import Keys


class Index(Keys):
    """What is kept beside the corpus to search it by."""

    spans: bool = False
    """Suffix arrays of the corpus, for `corpuskit find`: five bytes on disk for a byte of text."""
