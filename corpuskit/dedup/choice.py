"""The choice by the edges that are known: which documents go, and for each its witness.

It is greedy in priority order, with one bit a document as its state; `component` removes all but the first document of
each connected component instead, with four bytes a document, in a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numba import njit

from corpuskit.dedup.files import ArrayFile, ArrayWriter
from corpuskit.dedup.index import Index, Signed
from corpuskit.dedup.sort import U64, Run, lower, merge, pack, upper
from corpuskit.dedup.verify import F64, Verifier

BLOCK = 1 << 20
"""Ranks written at a time."""


class Choice:
    """The choice by the edges so far.

    Args:
        folder: for its files; created.
        edges: files of compared pairs and their similarities, each sorted.

    Attributes:
        removed: uint64 file, sorted: a removed document's rank in the upper half, its witness in the lower; `jaccard`,
            float64 file: of these pairs, or NaN where they were not compared.
        witness: uint32 file: of each rank that of its witness, or its own where it is kept.
    """

    def __init__(self, folder: Path, verifier: Verifier, edges: list[Run]) -> None:
        folder.mkdir()
        removed, jaccard, witness = (folder / f"{name}.npy" for name in ("removed", "jaccard", "witness"))
        pick = _by_component if verifier.params.choose == "component" else _by_priority
        similar = _similar(verifier, edges)
        with ArrayWriter(removed, np.uint64) as removed_out, ArrayWriter(jaccard, np.float64) as jaccard_out:
            for pairs, values in pick(folder, verifier.index, similar):
                removed_out.write(pairs)
                jaccard_out.write(values)
        self.removed, self.jaccard = ArrayFile(removed), ArrayFile(jaccard)
        _write_witnesses(witness, self.removed, verifier.index)
        self.witness = ArrayFile(witness)


def _similar(verifier: Verifier, edges: list[Run]) -> Iterator[tuple[U64, F64]]:
    """All edges in order."""
    for pairs, jaccard in merge(edges, max(1024, verifier.memory // 64)):
        assert jaccard is not None
        good = verifier.similar(jaccard)
        yield pairs[good], jaccard[good]


def _by_priority(_folder: Path, index: Signed, edges: Iterator[tuple[U64, F64]]) -> Iterator[tuple[U64, F64]]:
    bits = np.zeros(index.documents // 8 + 1, np.uint8)
    for pairs, jaccard in edges:
        chosen = np.zeros(len(pairs), np.bool_)
        _greedy(pairs, bits, chosen)
        yield pairs[chosen], jaccard[chosen]


@njit(nogil=True, cache=True)
def _greedy(pairs: U64, removed: npt.NDArray[np.uint8], chosen: npt.NDArray[np.bool_]) -> None:
    """Mark the edges that remove: the first of a document whose other end is kept. Edges come in priority order."""
    for i in range(len(pairs)):
        x, y = np.int64(pairs[i] >> np.uint64(32)), np.int64(pairs[i] & np.uint64(0xFFFFFFFF))
        if (removed[x >> 3] >> (x & 7)) & 1 or (removed[y >> 3] >> (y & 7)) & 1:
            continue
        removed[x >> 3] |= np.uint8(1 << (x & 7))
        chosen[i] = True


def _by_component(folder: Path, index: Index, edges: Iterator[tuple[U64, F64]]) -> Iterator[tuple[U64, F64]]:
    parent = np.memmap(folder / "parent.u32", np.uint32, "w+", shape=(max(1, index.documents),))
    parent[:] = np.arange(len(parent), dtype=np.uint32)
    kept = folder / "edges.npy"
    with ArrayWriter(kept, np.uint64) as pairs_out, ArrayWriter(folder / "values.npy", np.float64) as values_out:
        for pairs, jaccard in edges:
            _join(pairs, parent)
            pairs_out.write(pairs)
            values_out.write(jaccard)
    pair_file, value_file = ArrayFile(kept), ArrayFile(folder / "values.npy")
    for first in range(index.finished, index.documents, BLOCK):
        ranks = np.arange(first, min(index.documents, first + BLOCK))
        roots = _roots(ranks, parent)
        gone = roots != ranks
        pairs = pack(ranks[gone], roots[gone])
        places = pair_file.find(pairs)
        jaccard = np.full(len(pairs), np.nan)
        jaccard[places >= 0] = value_file.gather(places[places >= 0])
        yield pairs, jaccard


@njit(nogil=True, cache=True, inline="always")
def _root(parent, x):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = np.int64(parent[x])
    return x


@njit(nogil=True, cache=True)
def _join(pairs, parent):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    for i in range(len(pairs)):
        x = _root(parent, np.int64(pairs[i] >> np.uint64(32)))
        y = _root(parent, np.int64(pairs[i] & np.uint64(0xFFFFFFFF)))
        parent[max(x, y)] = np.uint32(min(x, y))


@njit(nogil=True, cache=True)
def _roots(ranks, parent):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    result = np.empty(len(ranks), np.int64)
    for i in range(len(ranks)):
        result[i] = _root(parent, ranks[i])
    return result


def _write_witnesses(path: Path, removed: ArrayFile, index: Signed) -> None:
    at = 0
    with ArrayWriter(path, np.uint32) as writer:
        for first in range(0, index.documents, BLOCK):
            end = min(index.documents, first + BLOCK)
            witness = np.arange(first, end, dtype=np.uint32)
            stop = removed.search(end << 32)
            pairs = removed.read(at, stop)
            witness[upper(pairs) - first] = lower(pairs)
            writer.write(witness)
            at = stop
