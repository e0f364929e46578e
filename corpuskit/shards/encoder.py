"""Columns of text to token numbers: by gigatoken, fifty times as fast, where it gives what `tokenizers` gives.

`tokenizers` is the reference. What gigatoken gives is compared with it on texts made to find differences before the
first document, and on a share of the documents: not one number may differ.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpuskit.core.batch import text_bytes
from corpuskit.errors import CorpuskitError
from corpuskit.shards.sample import scrambled
from corpuskit.shards.tokenizer import LoadedTokenizer, from_json

OFTEN, ENOUGH, SELDOM = 64, 1 << 14, 1 << 10
"""One in `OFTEN` documents of a unit, by the hash of its id, is encoded by both, until so much text was; from then on
one in `SELDOM`: `tokenizers` takes as long for one byte as gigatoken for fifty."""

RENEWED = 16
"""gigatoken remembers each word that it has seen, in about 7 bytes for a byte of words that do not recur: after text of
this share of the memory it begins anew. What it remembers stays in the worker for the next unit."""

QUICK_BYTES, SLOW_BYTES = 1 << 22, 1 << 20
"""Text to encode at a time: a call of gigatoken takes a millisecond, the objects of `tokenizers` about 110 bytes for
each byte of text."""

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]


class Encoder:
    """Encodes columns of text; never adds a token, and takes special tokens in text for text.

    Args:
        loaded: the tokenizer. memory: of this worker, bytes.

    Attributes:
        loaded: the tokenizer.
        why_slow: why `tokenizers` does all of it; None where gigatoken does.
        piece_bytes: the text that should be encoded at a time.
    """

    def __init__(self, loaded: LoadedTokenizer, memory: int) -> None:
        self.loaded, self._renew_after = loaded, max(1 << 20, memory // RENEWED)
        self._seen = self._compared = 0
        self._fast: Any = None
        self._description = _described(loaded.content)
        self.why_slow = self._renew()
        if self.why_slow is None:
            self.why_slow = self._differs()
            self._fast = self._fast if self.why_slow is None else None
        self.piece_bytes = SLOW_BYTES if self.why_slow else QUICK_BYTES

    def begin_unit(self) -> None:
        """Forget what was compared: which documents are compared follows from their unit alone."""
        self._compared = 0

    def encode(self, docs: npt.NDArray[np.uint64], texts: pa.Array) -> tuple[I32, I64]:
        """Token numbers of documents.

        Args:
            docs: uint64[n], their ids. texts: string[n] or large_string[n]; null is no text.

        Returns:
            (numbers int32[t], lengths int64[n]).

        Raises:
            CorpuskitError: the tokenizer makes its end token of ordinary text, or the two encoders differ.
        """
        texts = texts.fill_null("")
        if self._fast is None:
            found = self.loaded.encode(texts.to_pylist())
            lengths = np.array([len(one) for one in found], np.int64)
            return np.concatenate(found) if found else np.zeros(0, np.int32), lengths
        numbers, lengths = self._by_gigatoken(texts)
        ends = np.cumsum(lengths)
        if (numbers == self.loaded.eos).any():
            row = np.searchsorted(ends, np.argmax(numbers == self.loaded.eos), "right")
            self.loaded.refuse_end(texts[int(row)].as_py())
        self._compare(docs, texts, numbers, ends - lengths, ends)
        return numbers, lengths

    def _compare(self, docs: npt.NDArray[np.uint64], texts: pa.Array, numbers: I32, starts: I64, ends: I64) -> None:
        hashes = scrambled(docs)
        for row in np.flatnonzero(hashes % np.uint64(OFTEN) == 0).tolist():
            if self._compared >= ENOUGH and hashes[row] % np.uint64(SELDOM):
                continue
            text, found = texts[row].as_py(), numbers[starts[row] : ends[row]]
            piece = self.loaded.first_piece(text)
            (right,) = self.loaded.encode([piece])
            if not np.array_equal(found if piece == text else found[: len(right)], right):
                msg = f"gigatoken and `tokenizers` encode document {docs[row]} in two ways"
                raise CorpuskitError(msg, "pip uninstall gigatoken: `tokenizers` then encodes alone, which is slow")
            self._compared += len(piece.encode())

    def _renew(self) -> str | None:
        """Make the encoder anew, or say why it cannot be."""
        if (why := missing()) is not None:
            return why
        import gigatoken

        try:
            self._fast = gigatoken.Tokenizer.from_json(self._description)
        except (ValueError, RuntimeError, KeyError, TypeError, NotImplementedError) as error:
            return f"gigatoken cannot read this tokenizer: {str(error).splitlines()[0] if str(error) else error!r}"
        return None

    def _differs(self) -> str | None:
        texts = probes()
        try:
            numbers, lengths = self._by_gigatoken(pa.array(texts, pa.string()))
        except (ValueError, RuntimeError, TypeError) as error:
            return f"gigatoken fails: {error}"
        right = self.loaded.encode(texts)
        for text, one, end, length in zip(texts, right, np.cumsum(lengths), lengths, strict=True):
            if not np.array_equal(one, numbers[end - length : end]):
                return f"gigatoken encodes {text[:40]!r} in another way than `tokenizers`"
        return None

    def _by_gigatoken(self, texts: pa.Array) -> tuple[I32, I64]:
        import awkward

        size = int(text_bytes(texts).sum())
        if self._seen and self._seen + size > self._renew_after:
            self._renew()
            self._seen = 0
        self._seen += size
        texts = texts.cast(pa.large_string())
        _, offsets, data = texts.buffers()
        starts = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
        letters = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
        column = awkward.contents.ListOffsetArray(
            awkward.index.Index64(starts),
            awkward.contents.NumpyArray(letters, parameters={"__array__": "char"}),
            parameters={"__array__": "string"},
        )
        made = self._fast.encode_batch(awkward.Array(column), parallel=False).layout
        borders = np.asarray(made.offsets, np.int64)
        return np.asarray(made.content.data)[borders[0] : borders[-1]].astype(np.int32), np.diff(borders)


def missing() -> str | None:
    """Why there is no gigatoken; None if there is."""
    try:
        import gigatoken  # noqa: F401
    except ImportError:
        return "gigatoken is not installed"
    return None


@functools.lru_cache(maxsize=1)
def ready(content: str, memory: int) -> Encoder:
    """The encoder of a `tokenizer.json`, which a worker keeps from unit to unit: to make one takes 0.2 s."""
    return Encoder(from_json(content, "tokens/tokenizer.json"), memory)


def _described(content: bytes) -> str:
    """The tokenizer as gigatoken shall know it."""
    described = json.loads(content)
    # without them their text is ordinary text
    described["added_tokens"] = [token for token in described["added_tokens"] if not token["special"]]
    return json.dumps(described | {"truncation": None, "padding": None, "post_processor": None})


SPANS = (
    (32, 127),
    (0x80, 0x250),
    (0x370, 0x600),
    (0x600, 0x1000),
    (0x1000, 0x3000),
    (0x3000, 0xD800),
    (0xE000, 0x110000),
)
"""Code points of scripts that tokenizers treat each in their way."""


def probes() -> list[str]:
    """Texts in which encoders may differ: white space, marks, signs, digits, contractions, rare code points."""
    chance = np.random.default_rng(0)
    found = [
        "",
        " ",
        "  x",
        "x  ",
        "\n\n x\r\n\t",
        "'s't're'LL",
        "1234567890",
        "a\u0301 \u00e9 \ufb01",
        "\u3000\u00a0x",
    ]
    found += ["<|endoftext|>", "<s></s>[UNK]<pad><unk>", "\u200d\u200b\ufeff", "\ud7ff\ue000\uffff", "\0\x01\x7f\x80"]
    for number in range(400):
        low, high = SPANS[number % len(SPANS)]
        letters = chance.integers(low, high, 30)
        signs = chance.choice(np.frombuffer(b" \n\t'.-0aZ", np.uint8), 30)
        found.append("".join(map(chr, np.where(chance.random(30) < 0.8, letters, signs))))
    return found
