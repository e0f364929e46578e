"""Tokenizers: a byte-level BPE trained on a bounded sample of the corpus, a local `tokenizer.json`, or a hub name.

Whatever its origin, a tokenizer is kept as canonical JSON: its SHA-256, which anybody can take of the file, is its
identity. Text is always encoded as ordinary text: a document that contains the literal end token never yields it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from corpuskit.errors import CorpuskitError, UsageError
from corpuskit.lm import cutting
from corpuskit.shards.fim import HINT, LACKS, Marks, known

END = "<|endoftext|>"
_END_TOKENS = (END, "<|end_of_text|>", "</s>", "<eos>", "<|end|>")
"""What published tokenizers call their end of text; the first that one has as a special token is used."""

_LATER = (".model", ".tiktoken")


@dataclass(frozen=True)
class LoadedTokenizer:
    """A tokenizer ready to encode.

    Attributes:
        tokenizer: the library's object; encodes special tokens in text as ordinary text, adds none.
        content: its canonical JSON. sha256: of `content`, the identity.
        eos: number of the end token, `end`: its text.
        vocab_size: largest token number plus one.
        cuttable: whether a long text may be encoded in pieces.
    """

    tokenizer: Tokenizer
    content: bytes
    sha256: str
    eos: int
    end: str
    vocab_size: int
    cuttable: bool

    def encode(self, texts: list[str]) -> list[npt.NDArray[np.int32]]:
        """Token numbers of each text, without end tokens.

        A text of more than 2^20 characters is encoded in pieces where that gives the same tokens (`cuttable`): the
        library takes about 110 bytes of memory for each byte of text.

        Raises:
            CorpuskitError: the tokenizer makes its end token out of ordinary text.
        """
        short = iter(self._encode([text for text in texts if not self._long(text)]))
        return [
            np.concatenate([self._encode([piece])[0] for piece in cutting.pieces(text)])
            if self._long(text)
            else next(short)
            for text in texts
        ]

    def first_piece(self, text: str) -> str:
        """The text, or of a long one the first piece that `encode` would encode by itself."""
        return next(cutting.pieces(text)) if self._long(text) else text

    def _long(self, text: str) -> bool:
        return self.cuttable and len(text) > cutting.LONG

    def _encode(self, texts: list[str]) -> list[npt.NDArray[np.int32]]:
        encoded = [
            np.fromiter(encoding.ids, np.int32, len(encoding.ids))
            for encoding in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ]
        for text, ids in zip(texts, encoded, strict=True):
            if (ids == self.eos).any():
                self.refuse_end(text)
        return encoded

    def fim_marks(self) -> Marks:
        """The tokens that mark the parts of a document for fill in the middle.

        Raises:
            UsageError: it has none, or pieces of a text that are encoded one by one are not the text.
        """
        added = {token.content: number for number, token in self.tokenizer.get_added_tokens_decoder().items()}
        names = known(added)
        if names is None:
            msg = f"the tokenizer {LACKS}"
            raise UsageError(msg, HINT)
        pieces = np.concatenate(self._encode(["ab", "cd"]))
        if self.tokenizer.decode(pieces.tolist()).strip() != "abcd":
            msg = "the tokenizer begins each text with a space: fill in the middle would put one at each cut"
            raise UsageError(msg, "use one that encodes bytes as they are, or leave out `fim`")
        return Marks(*(added[name] for name in names))

    def refuse_end(self, text: str) -> NoReturn:
        """Say that the tokenizer makes its end token of this text."""
        place = f"in the text that begins {text[:60]!r}"
        msg = f"the tokenizer turns ordinary text into its end token {self.end!r}: {place}"
        raise CorpuskitError(msg, "use a tokenizer whose end token is a special token only")


def _cuttable(content: dict[str, Any]) -> bool:
    """Whether a tokenizer never joins what stands before and after a single space between words.

    So for byte-level BPE with the word pattern of GPT-2 (GPT-2, GPT-NeoX, and what `train` makes), where a space begins
    a word; others are encoded whole.
    """
    pre, normalizer = content["pre_tokenizer"] or {}, content["normalizer"] or {"type": "NFC"}
    plain: bool = (
        content["model"]["type"] == "BPE"
        and not content["model"].get("dropout")
        and normalizer["type"] in {"NFC", "NFD"}
        and pre.get("type") == "ByteLevel"
        and pre.get("use_regex") is True
    )
    ordinary = [token for token in content["added_tokens"] if not token["special"]]
    return plain and all(token["content"].isspace() and not (token["lstrip"] or token["rstrip"]) for token in ordinary)


def from_json(content: str, name: str) -> LoadedTokenizer:
    """Make a tokenizer ready from the content of a `tokenizer.json`; `name` is for errors.

    Raises:
        UsageError: not a tokenizer, or none of its special tokens is a known end of text.
    """
    try:
        tokenizer = Tokenizer.from_str(content)
    except Exception as error:  # noqa: BLE001 - the library raises no narrower class
        msg = f"{name}: not a tokenizer.json that `tokenizers` can read: {error}"
        raise UsageError(msg) from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    special = {token.content: number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    end = next((token for token in _END_TOKENS if token in special), None)
    if end is None:
        msg = f"{name}: has no special token that ends a text; known are {', '.join(_END_TOKENS)}"
        raise UsageError(msg, f"its special tokens: {', '.join(sorted(special)[:10]) or 'none'}")
    parsed = json.loads(tokenizer.to_str())
    canonical = canonical_json(parsed)
    largest = int(max(tokenizer.get_vocab(with_added_tokens=True).values()))
    identity = hashlib.sha256(canonical).hexdigest()
    return LoadedTokenizer(tokenizer, canonical, identity, special[end], end, largest + 1, _cuttable(parsed))


def canonical_json(value: Any) -> bytes:
    """The one way to write a JSON value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def load(reference: str) -> LoadedTokenizer:
    """Load a tokenizer from a `tokenizer.json`, a folder that holds one, or the Hugging Face hub (`org/name@revision`).

    Raises:
        UsageError: there is no such file, no such name, or it cannot be fetched or read.
    """
    path = Path(reference)
    if path.is_dir():
        path = path / "tokenizer.json"
    if path.is_file() and path.suffix not in _LATER:
        return from_json(path.read_text(encoding="utf-8", errors="replace"), str(path))
    if path.suffix in {".json", *_LATER} or path.is_absolute() or reference.startswith("."):
        kind = "SentencePiece and tiktoken files are not read yet" if path.suffix in _LATER else ""
        msg = f"tokenizer {reference}: {kind or 'there is no such file'}"
        raise UsageError(
            msg, "name a tokenizer.json, a folder that holds one, or a hub name such as `EleutherAI/pythia-70m`"
        )
    name, _, revision = reference.partition("@")
    try:
        fetched = Tokenizer.from_pretrained(name, revision=revision or "main")
    except Exception as error:  # noqa: BLE001 - as above, for network and content alike
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        msg = f"tokenizer `{reference}`: neither a local file nor fetched from the Hugging Face hub: {first}"
        hint = "download its tokenizer.json and name that file, or train one: tokenizer: {train: {vocab_size: 32000}}"
        raise UsageError(msg, hint) from None
    return from_json(fetched.to_str(), reference)
