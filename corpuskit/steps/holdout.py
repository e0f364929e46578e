"""`holdout`: validation documents of each domain, chosen by the hash of their normalized text.

Which documents are chosen depends on the texts and the seed only. Documents with the same normalized text fall on the
same side. The states are exact: `merge` gives the same whatever the order and the cut into batches.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BeforeValidator, Field

from corpuskit.core import step
from corpuskit.core.batch import text_bytes

BYTES_PER_TOKEN = 4
"""Tokens of a text are estimated as its UTF-8 bytes / 4: what holdout takes must not depend on a tokenizer."""

LARGEST_SHARE = 20
"""At most one part in this many (5 %) of a domain's bytes is held out."""

SHINGLE_WORDS = 13
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}


def _count(value: Any) -> Any:
    """Read `500k` or `1.5M` as a number; leave the rest to pydantic."""
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgb]?)", value.strip().lower())
        if match is None:
            msg = f"`{value}` is not a number of tokens such as 200000, 500k or 2M"
            raise ValueError(msg)
        value = round(float(match[1]) * _UNITS[match[2]])
    if isinstance(value, int) and value < 1:
        raise ValueError("at least one token; `holdout: none` turns it off")
    return value


@step.barrier()
def holdout(
    *,
    tokens: Annotated[int, BeforeValidator(_count)] = 200_000,
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0,
    dedup_train: bool = False,
) -> dict[str, Any]:
    """Hold out validation documents of each domain.

    Args:
        tokens: until this many estimated tokens (UTF-8 bytes / 4) of each domain, also written as `500k`; at least
            one document, at most 5 % of the domain's bytes unless one document exceeds that (a warning then).
        seed: another seed, another choice.
        dedup_train: drop train documents of whose 13-word shingles at least half are in one held-out document.
    """
    return {"tokens": tokens, "seed": seed, "dedup_train": dedup_train}


@dataclass(frozen=True)
class Candidates:
    """The documents of the smallest hashes until `limit` bytes, sorted by (hash, doc), and the size of all.

    Attributes:
        hashes: uint64[k, 2], keyed hash of the normalized text.
        docs: uint64[k].
        sizes: UTF-8 bytes of each document, int64[k].
        total: bytes of all documents seen.
        limit: bytes wanted.
    """

    hashes: npt.NDArray[np.uint64]
    docs: npt.NDArray[np.uint64]
    sizes: npt.NDArray[np.int64]
    total: int
    limit: int

    def groups(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Ends of the runs of equal hashes, and bytes up to each end, int64[groups] both."""
        last = np.any(self.hashes[1:] != self.hashes[:-1], axis=1)
        ends = np.flatnonzero(np.append(last, np.ones(min(len(self.docs), 1), bool))) + 1
        return ends, np.cumsum(self.sizes)[ends - 1]

    def first(self, rows: int) -> Candidates:
        """The same with the first `rows` documents only."""
        return Candidates(self.hashes[:rows], self.docs[:rows], self.sizes[:rows], self.total, self.limit)


def select(doc: pa.Array, text: pa.Array, *, tokens: int, seed: int) -> Candidates:
    """Candidates of a batch.

    Args:
        doc: ids, uint64[n].
        text: string[n]; null and empty texts are never chosen.
        tokens: wanted, estimated as UTF-8 bytes / 4.
        seed: of the keyed hash.
    """
    from corpuskit.kernels.normalize import normalized_hash

    sizes = text_bytes(text)
    there = np.flatnonzero(sizes)
    hashes = np.asarray(normalized_hash(text, seed), np.uint64)[there]
    docs = doc.to_numpy(zero_copy_only=False).astype(np.uint64, copy=False)[there]
    return _smallest(hashes, docs, sizes[there], int(sizes.sum()), tokens * BYTES_PER_TOKEN)


def _smallest(
    hashes: npt.NDArray[np.uint64],
    docs: npt.NDArray[np.uint64],
    sizes: npt.NDArray[np.int64],
    total: int,
    limit: int,
) -> Candidates:
    order = np.lexsort((docs, hashes[:, 1], hashes[:, 0]))
    whole = Candidates(hashes[order], docs[order], sizes[order], total, limit)
    ends, reached = whole.groups()
    enough = int(np.searchsorted(reached, limit))
    return whole.first(int(ends[enough])) if enough < len(ends) else whole


def merge(a: Candidates, b: Candidates) -> Candidates:
    """Candidates of two disjoint sets of documents together.

    Exact: a document beyond the limit in one set lies behind at least as many bytes in the union.
    """
    hashes = np.concatenate([a.hashes, b.hashes])
    docs = np.concatenate([a.docs, b.docs])
    sizes = np.concatenate([a.sizes, b.sizes])
    return _smallest(hashes, docs, sizes, a.total + b.total, a.limit)


def chosen(state: Candidates) -> tuple[npt.NDArray[np.uint64], str | None]:
    """The held-out documents of a domain.

    Returns:
        Sorted ids, uint64[k], and a warning or None. In the order of hashes, documents are taken until the wanted
        bytes are reached, or the next would bring them above 5 % of the domain; the first is taken in any case.
    """
    ends, reached = state.groups()
    if not len(ends):
        return np.zeros(0, np.uint64), None
    fitting = int(np.count_nonzero(reached * LARGEST_SHARE <= state.total))
    warning = None
    if fitting == 0:
        share = 100 * int(reached[0]) / state.total
        copies = int(ends[0])
        what = "one document is" if copies == 1 else f"one document in {copies} copies is"
        warning = f"{what} {share:.1f} % of the domain and is held out all the same: nothing smaller came first"
    elif fitting < len(ends) and 2 * LARGEST_SHARE * int(reached[fitting - 1]) < state.total:
        held = 100 * int(reached[fitting - 1]) / state.total
        warning = f"only {held:.1f} % of the domain is held out: the next document alone is over what 5 % leave"
    return np.sort(state.docs[: ends[max(fitting, 1) - 1]]), warning


@dataclass(frozen=True)
class Index:
    """13-word shingles of the held-out documents, as sorted arrays.

    Attributes:
        keys: shingle hashes, sorted, uint64[m]; one for each document that has it.
        owners: number of the document of each key, int32[m].
        heads: where the keys of each value of their highest bits begin, int64[2 ** bits + 1].
        shift: 64 - bits.
        documents: number of documents.
    """

    keys: npt.NDArray[np.uint64]
    owners: npt.NDArray[np.int32]
    heads: npt.NDArray[np.int64]
    shift: int
    documents: int


def _shingles(texts: pa.Array) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    from corpuskit.kernels.shingle import shingle_sets

    hashes, offsets = shingle_sets(texts, "word", SHINGLE_WORDS)
    return np.asarray(hashes, np.uint64), np.asarray(offsets, np.int64)


def build_index(texts: pa.Array) -> Index:
    """Index the texts of the held-out documents, string[n]."""
    hashes, offsets = _shingles(texts)
    owners = np.repeat(np.arange(len(texts), dtype=np.int32), np.diff(offsets))
    order = np.lexsort((owners, hashes))
    keys = hashes[order]
    return Index(keys, owners[order], *heads_of(keys), len(texts))


def heads_of(keys: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int64], int]:
    """Where the keys of each value of their highest bits begin, and by how many bits to shift a key to get these.

    Args:
        keys: sorted, uint64[m].
    """
    bits = min(max(len(keys).bit_length(), 1), 28)
    first = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
    return np.append(np.searchsorted(keys, first), len(keys)).astype(np.int64), 64 - bits


def contaminated(text: pa.Array, index: Index) -> npt.NDArray[np.bool_]:
    """Which documents overlap too much with one held-out document.

    With S the set of 13-word shingles, |S(document) & S(held out)| / |S(document)| >= 0.5 for some single held-out
    document. A document without shingles never does.

    Args:
        text: string[n].
        index: of the held-out documents.

    Returns:
        bool[n].
    """
    from corpuskit.kernels.containment import best_overlap

    hashes, offsets = _shingles(text)
    keys = (index.keys, index.owners, index.heads, np.uint64(index.shift), index.documents)
    best: npt.NDArray[np.int64] = best_overlap(hashes, offsets, *keys)
    return (best > 0) & (2 * best >= np.diff(offsets))
