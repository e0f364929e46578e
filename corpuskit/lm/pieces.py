"""Texts in pieces of a SentencePiece model, as CCNet has them (Wenzek et al. 2019, arXiv:1911.00359).

A text is normalized as in `text_normalizer.py` of cc_net: lower case, accents taken off, digits to 0, punctuation to
ASCII, control characters (line feeds among them) left out. Its pieces, with spaces between, are then one sentence.
"""

from __future__ import annotations

import functools
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpuskit.errors import UsageError, install

_PUNCTUATION = {
    ",": "，、",
    ".": "。",
    ". ": "．",
    "...": "…",
    '"': "„”“«»」「《》",
    "'": "´’",
    ":": "∶：",
    ";": "；",
    "?": "？",
    "!": "！",
    "(": "（",
    ")": "）",
    "[": "【",
    "]": "】",
    "<": "〈",
    ">": "〉",
    "-": "–━►",
    " - ": "—",
    "~": "～",
    "%": "％",
}
_CONTROL = (*range(32), *range(127, 160))


@functools.cache
def _table() -> dict[int, str | None]:
    """What becomes of a character, once accents are characters of their own."""
    found: dict[int, str | None] = {}
    for point in range(128, sys.maxunicode + 1):
        character = chr(point)
        if character.isdecimal():
            found[point] = "0"
        elif unicodedata.category(character) == "Mn":
            found[point] = None
    found |= {ord(digit): "0" for digit in "123456789"}
    found |= {ord(other): plain for plain, others in _PUNCTUATION.items() for other in others}
    return found | dict.fromkeys(_CONTROL)


def ccnet_text(text: str) -> str:
    """A text as CCNet has it before it is cut into pieces."""
    low = text.strip().lower()
    return (low if low.isascii() else unicodedata.normalize("NFD", low)).translate(_table())


@functools.lru_cache(maxsize=16)
def load_tokenizer(path: Path, _digest: str) -> Any:
    """A SentencePiece model, loaded once in a process for each content of a file.

    Raises:
        UsageError: it is none, or the package is missing.
    """
    try:
        import sentencepiece
    except ImportError:
        raise UsageError("`tokenizer` needs sentencepiece, which is not installed", install("sentencepiece")) from None
    try:
        return sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError):
        raise UsageError(
            f"{path}: not a SentencePiece model", "`tokenizer` is a .model file as spm_train writes it"
        ) from None


def in_pieces(texts: pa.Array, tokenizer: Any) -> pa.Array:
    """Texts, string[n], as normalized pieces with spaces between; null where they were."""
    made = [
        None if text is None else " ".join(tokenizer.encode(ccnet_text(text), out_type=str))
        for text in texts.to_pylist()
    ]
    return pa.array(made, texts.type)
