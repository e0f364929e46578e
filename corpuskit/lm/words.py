"""Texts as numbers of words: each line is a sentence, in words between ASCII white space, as kenlm's tools have it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpuskit.core.batch import text_bytes, utf8
from corpuskit.kernels.language_model import FIRST_WORD, NONE, number_words, rehash
from corpuskit.lm.columns import Column

BATCH_BYTES = 1 << 20
"""Text whose words are numbered at a time."""

SPECIAL_WORDS = "<unk> <s> </s>"
"""Words 0, 1 and 2: not of a text, where they count as white space."""


class Words:
    """The words of texts, and the texts as numbers of words on disk.

    Attributes:
        tokens: uint32, sentences from `<s>` to `</s>`, in the numbers of this object.
        sentences, words: how many; special: `<s>`, `</s>` and `<unk>` in the texts, which are passed over; blank: lines
            without a word, which are no sentences.
    """

    def __init__(self, folder: Path) -> None:
        self.tokens = Column(folder / "tokens", np.uint32)
        self._hashes, self._numbers = np.zeros(1 << 16, np.uint64), np.full(1 << 16, NONE, np.uint32)
        self._blob, self._offsets = np.zeros(1 << 20, np.uint8), np.zeros(1 << 16, np.int64)
        self._known = 0
        self._counted = np.zeros(4, np.int64)
        self._add(pa.array([SPECIAL_WORDS]))
        self._counted[:] = 0

    @property
    def sentences(self) -> int:
        """Lines with a word."""
        return int(self._counted[0])

    @property
    def words(self) -> int:
        """Words of all sentences."""
        return int(self._counted[1])

    @property
    def special(self) -> int:
        """Words of the texts that were passed over."""
        return int(self._counted[2])

    @property
    def blank(self) -> int:
        """Lines without a word."""
        return int(self._counted[3])

    def add(self, texts: pa.Array) -> None:
        """Take texts, a string array[n]; a null is an empty text."""
        for part in _split(texts):
            self.tokens.append(self._add(part))

    def _add(self, texts: pa.Array) -> npt.NDArray[np.uint32]:
        data, offsets = utf8(texts)
        size = int(offsets[-1])
        self._make_room(size)
        tokens = np.empty(3 * size, np.uint32)
        self._known, count = number_words(
            data, offsets, self._hashes, self._numbers, self._blob, self._offsets, self._known, tokens, self._counted
        )
        return tokens[:count]

    def _make_room(self, size: int) -> None:
        """Room for what so many bytes of text can bring: a word has a byte, and one behind it."""
        words = self._known + size // 2 + 2
        if 2 * words > len(self._hashes):
            places = 1 << (2 * words - 1).bit_length()
            hashes, numbers = np.zeros(places, np.uint64), np.full(places, NONE, np.uint32)
            rehash(self._hashes, self._numbers, hashes, numbers)
            self._hashes, self._numbers = hashes, numbers
        if words + 1 > len(self._offsets):
            self._offsets = np.concatenate([self._offsets, np.zeros(2 * words - len(self._offsets), np.int64)])
        used = int(self._offsets[self._known])
        if used + size > len(self._blob):
            self._blob = np.concatenate([self._blob, np.zeros(max(size, len(self._blob)), np.uint8)])

    def vocabulary(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
        """Words in the order of their bytes, behind the special ones: it does not tell how the texts came.

        Returns:
            (bytes uint8[total], offsets int64[V + 1], the place of each of this object's numbers uint32[V]).
        """
        size = int(self._offsets[self._known])
        buffers = [None, pa.py_buffer(self._offsets[: self._known + 1]), pa.py_buffer(self._blob[:size])]
        words = pa.LargeBinaryArray.from_buffers(pa.large_binary(), self._known, buffers)
        others = pc.array_sort_indices(words[FIRST_WORD:]).to_numpy().astype(np.int64)
        order = np.concatenate([np.arange(FIRST_WORD), FIRST_WORD + others])
        places = np.empty(len(words), np.uint32)
        places[order] = np.arange(len(words), dtype=np.uint32)
        _, offsets, data = words.take(pa.array(order)).buffers()
        return np.frombuffer(data, np.uint8), np.frombuffer(offsets, np.int64)[: len(words) + 1], places


def lower(texts: pa.Array) -> pa.Array:
    """Texts in lower case, as Python has it and `perplexity` scores them."""
    plain = pc.fill_null(pc.string_is_ascii(texts), True)
    if plain.true_count == len(texts):
        return pc.ascii_lower(texts)
    others = pa.array([text.lower() for text in texts.filter(pc.invert(plain)).to_pylist()], texts.type)
    return pc.replace_with_mask(pc.ascii_lower(texts), pc.invert(plain), others)


def _split(texts: pa.Array) -> Iterator[pa.Array]:
    sizes = np.cumsum(text_bytes(texts))
    start = 0
    while start < len(texts):
        before = int(sizes[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(sizes, before + BATCH_BYTES, side="right")))
        yield texts.slice(start, end - start)
        start = end


def numbered(texts: Iterable[pa.Array], folder: Path) -> Words:
    """All words of texts, and the texts as numbers."""
    words = Words(folder)
    for part in texts:
        words.add(part)
    return words
