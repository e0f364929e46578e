"""Fill in the middle (Bavarian et al. 2022): documents whose middle comes last, so that a model learns to insert.

A document is cut at two characters, uniformly at random, into prefix, middle and suffix, each encoded by itself, as the
paper advises: cuts between tokens alone would never end a prefix inside a word, as a cursor does. So it is done where
text is encoded, and `tokens/` holds what the trainer sees: another rate encodes anew. With <P>, <S>, <M> the tokens
that mark the parts, and the end token behind it as behind any document:

    PSM: <P> prefix <S> suffix <M> middle        SPM: <P> <S> suffix <M> prefix middle

Which documents, in which form and cut where follows from the seed and the document's number alone; a document that is
read again in a later epoch has the form that it had. Held-out text is left as it is.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpuskit.errors import CorpuskitError

TOKENS = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
"""What marks the parts in a tokenizer that is trained here, as in Qwen's."""

_KNOWN = (
    TOKENS,
    ("<fim_prefix>", "<fim_middle>", "<fim_suffix>"),
    ("<fim-prefix>", "<fim-middle>", "<fim-suffix>"),
    ("▁<PRE>", "▁<MID>", "▁<SUF>"),
    ("<\uff5cfim▁begin\uff5c>", "<\uff5cfim▁end\uff5c>", "<\uff5cfim▁hole\uff5c>"),
    ("[PREFIX]", "[MIDDLE]", "[SUFFIX]"),
)
"""What published tokenizers call them: Qwen, StarCoder, SantaCoder, Code Llama, DeepSeek, Codestral."""

LACKS = "has no tokens for fill in the middle"
HINT = f"known are {', '.join(' '.join(names) for names in _KNOWN)}; train one, or leave out `fim`"


@dataclass(frozen=True)
class Marks:
    """The numbers of the tokens that mark the parts of a document."""

    prefix: int
    middle: int
    suffix: int


def known(added: Collection[str]) -> tuple[str, str, str] | None:
    """The marks (prefix, middle, suffix) among the added tokens of a tokenizer, by their text."""
    return next((names for names in _KNOWN if all(name in added for name in names)), None)


@dataclass(frozen=True)
class Fim:
    """What is done with the documents of a domain.

    Attributes:
        rate: probability that a document with text is rearranged. spm_rate: that one of these is in the form SPM.
        seed: of the draws.
    """

    rate: float
    spm_rate: float
    seed: int

    @classmethod
    def of(cls, told: Mapping[str, Any] | None) -> Fim | None:
        """From what the stage is told."""
        return None if told is None else cls(told["rate"], told["spm_rate"], told["seed"])


@dataclass(frozen=True)
class Rows:
    """Texts to encode, one or three a document, in the order of their tokens.

    Attributes:
        docs: uint64[n], numbers of their documents. texts: large_string[n].
        marks: int32[n, 2], tokens that stand before each, -1 for none.
        last: bool[n], whether the document ends with it.
        forms: how many documents are in the forms `psm` and `spm`.
    """

    docs: npt.NDArray[np.uint64]
    texts: pa.Array
    marks: npt.NDArray[np.int32]
    last: npt.NDArray[np.bool_]
    forms: dict[str, int]


def whole(docs: npt.NDArray[np.uint64], texts: pa.Array) -> Rows:
    """Documents as they are."""
    return Rows(docs, texts, np.full((len(docs), 2), -1, np.int32), np.ones(len(docs), np.bool_), {})


def rearranged(docs: npt.NDArray[np.uint64], texts: pa.Array, fim: Fim, marks: Marks) -> Rows:
    """Documents of which `fim.rate` are cut into three and have their middle last."""
    of, parts, before, last = [], [], [], []
    forms = {"psm": 0, "spm": 0}
    for doc, text in zip(docs.tolist(), texts.to_pylist(), strict=True):
        chosen, form, *cuts = _draws(fim.seed, doc)
        if not text or chosen >= fim.rate * _ALL:
            three, tokens = [text or ""], [(-1, -1)]
        else:
            low, high = sorted((cut * (len(text) + 1)) >> 64 for cut in cuts)
            prefix, middle, suffix = text[:low], text[low:high], text[high:]
            if form < fim.spm_rate * _ALL:
                three, tokens = [suffix, prefix, middle], [(marks.prefix, marks.suffix), (marks.middle, -1), (-1, -1)]
            else:
                three, tokens = [prefix, suffix, middle], [(marks.prefix, -1), (marks.suffix, -1), (marks.middle, -1)]
            forms["spm" if form < fim.spm_rate * _ALL else "psm"] += 1
        of += [doc] * len(three)
        parts += three
        before += tokens
        last += [*[False] * (len(three) - 1), True]
    return Rows(
        np.array(of, np.uint64),
        pa.array(parts, pa.large_string()),
        np.array(before, np.int32).reshape(-1, 2),
        np.array(last, np.bool_),
        forms,
    )


def refuse_marks(numbers: npt.NDArray[np.int32], counts: npt.NDArray[np.int64], rows: Rows, marks: Marks) -> None:
    """Raise if the tokenizer makes a mark out of text: then a document could not be told from a rearranged one.

    Raises:
        CorpuskitError: names the document.
    """
    found = np.isin(numbers, (marks.prefix, marks.middle, marks.suffix))
    if found.any():
        doc = rows.docs[np.searchsorted(np.cumsum(counts), np.argmax(found), "right")]
        msg = f"the tokenizer turns text of document {doc} into a token that marks parts for fill in the middle"
        raise CorpuskitError(
            msg, "drop such documents, as by `where: not contains(text, 'fim_')`, or make it `special`"
        )


_ALL = 1 << 64


def _draws(seed: int, doc: int) -> tuple[int, ...]:
    """Four numbers below 2^64: whether, in which form, and the two cuts."""
    digest = hashlib.blake2b(struct.pack("<QQ", seed, doc), digest_size=32, person=b"fim")
    return struct.unpack("<4Q", digest.digest())


def joined(
    numbers: npt.NDArray[np.int32], counts: npt.NDArray[np.int64], rows: Rows, eos: int, dtype: str
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Tokens of documents with their marks, each with its end token behind it.

    Args:
        numbers: int32[t], of all texts of `rows`. counts: int64[n], of each. eos: the end token.
        dtype: of the result.

    Returns:
        (tokens, lengths of the documents int64[m]).
    """
    marked = rows.marks >= 0
    before = marked.sum(1)
    sizes = counts + before + rows.last
    ends = np.cumsum(sizes)
    found = np.empty(int(ends[-1]) if len(ends) else 0, dtype)
    inside = np.ones(len(found), np.bool_)
    last = ends[rows.last] - 1
    found[last], inside[last] = eos, False
    for column in range(2):
        here = (ends - sizes + column)[marked[:, column]]
        found[here], inside[here] = rows.marks[marked[:, column], column], False
    found[inside] = numbers
    return found, np.diff(ends[rows.last], prepend=0)
