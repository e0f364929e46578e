"""Stages `signatures` and `buckets`: what dedup needs to know of every document of one unit.

Row i of `doc`, `bytes`, `hash` and `signature` is row i of the unit's documents. `exact_*` and `band_*` are entries
grouped by the leading bits of their key, so that any partition is one stretch of each; documents whose normalized text
is empty, and those that an earlier barrier removed, are in neither. Bands are a stage of their own: another threshold
or other bands leave the signatures as they are.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from corpuskit.core.batch import Batch, text_bytes
from corpuskit.core.work import Work
from corpuskit.dedup import reference
from corpuskit.dedup.entries import Entries
from corpuskit.dedup.files import ArrayFile, ArrayWriter
from corpuskit.dedup.kinds import Banded, Sketched
from corpuskit.dedup.sort import U64
from corpuskit.dedup.texts import Texts
from corpuskit.documents.decisions import Decisions
from corpuskit.kernels.hashing import hash_bytes, mix
from corpuskit.kernels.minhash import sketch

LEADING_BITS = 10
"""Entries are grouped by this many leading bits of their key: the finest partition that needs no further look."""


def signatures(work: Work[Sketched]) -> None:
    """Sketch the documents of the unit of the same number of `docs`, however many they are.

    Parts: doc uint64[n]; bytes uint32[n], of UTF-8; shingles uint32[n], with repetitions; hash uint64[n], of the
    normalized text; signature uint32[n, permutations]; batch int64[b + 1], the first row of each batch of `docs`;
    exact_key uint64[m, 2], exact_row uint32[m], exact_start int64[1025].
    """
    texts = Texts.of(work)
    publish = f"index/signatures/{work.key}" if work.spec.params.permutations else None
    documents = _save_ids(work, texts, publish and f"{publish}-doc.npy")
    left, alive = _save_sketches(work, texts, publish and f"{publish}-signature.npy")
    for name in ("bytes", "shingles", "hash", "doc", "signature"):
        work.rows(name, documents)
    work.facts["empty"] = left - alive


def _save_ids(work: Work[Sketched], texts: Texts, publish: str | None) -> int:
    """Write `doc` and `batch`; how many documents there are."""
    borders = [0]
    with ArrayWriter(work.put("doc", ".npy", publish=publish), np.uint64) as file:
        for batch in texts.each(["doc"]):
            file.write(batch.column(0).to_numpy())
            borders.append(file.rows)
    np.save(work.put("batch", ".npy", rows=len(borders)), np.array(borders, np.int64))
    return file.rows


def _save_sketches(work: Work[Sketched], texts: Texts, publish: str | None) -> tuple[int, int]:
    """Write what is made of texts; how many documents earlier dedup has left, and how many of these have a text."""
    params = work.spec.params
    seed, decide = _seed(params.scope, work.spec.domain), Decisions(work, None) if work.spec.apply else None
    entries, left = _Exact(work), 0
    with ExitStack() as stack:

        def file(name: str, kind: type[np.generic], *columns: int, publish: str | None = None) -> ArrayWriter:
            return stack.enter_context(ArrayWriter(work.put(name, ".npy", publish=publish), kind, columns))

        size, shingles, hashes = file("bytes", np.uint32), file("shingles", np.uint32), file("hash", np.uint64)
        signatures = file("signature", np.uint32, params.permutations, publish=publish)
        for batch in texts.read(["doc", "text"]):
            column = batch.column("text")
            here = _left(decide, batch.column("doc"))
            if not here.all():
                column = pc.if_else(pa.array(here), column, "")
            left += int(here.sum())
            made = sketch(column, params.unit, params.n, max(1, params.permutations), seed)
            signature = made.signature[:, : params.permutations]
            if params.hash == "datasketch":
                signature = reference.signatures(column, params.unit, params.n, params.permutations)
            rows = np.flatnonzero(made.shingles)
            entries.add(made.hash[rows], rows + size.rows)
            size.write(text_bytes(column))
            shingles.write(made.shingles)
            hashes.write(made.hash[:, 0])
            signatures.write(signature)
    return left, entries.save()


def buckets(work: Work[Banded]) -> None:
    """Hash the bands of the signatures of the unit of the same number.

    Parts: band_key uint64[m * bands], band_row uint32[m * bands], band_start int64[1025].
    """
    spec = work.spec
    parts = work.receipt("signatures").parts
    signature, alive = ArrayFile.of(parts["signature"]), ArrayFile.of(parts["shingles"]).read() > 0
    # at least one block: a unit without documents has parts as well
    entries = Entries(work, "band", work.memory // 64)
    rows = max(1, work.memory // (16 * (64 * spec.bands + 4 * signature.shape[1])))
    for first in range(0, max(1, len(alive)), rows):
        block = signature.read(first, min(len(alive), first + rows))
        keys, there = np.empty((len(block), spec.bands), np.uint64), alive[first : first + rows]
        band_keys(block, spec.rows, np.uint64(_seed(spec.scope, spec.domain)), keys)
        numbers = np.flatnonzero(there) + first
        found, found_rows, starts = grouped(keys[there].reshape(-1, 1), numbers, spec.bands, LEADING_BITS)
        entries.add(found.reshape(-1), found_rows, starts)
    entries.save()


def _left(decide: Decisions | None, doc: pa.Array) -> npt.NDArray[np.bool_]:
    """Which documents earlier dedup has left, bool[n]. A removed one counts as no text."""
    if decide is None:
        return np.ones(len(doc), np.bool_)
    left = decide(pa.record_batch([doc], names=["doc"]), _nowhere)
    return np.isin(doc.to_numpy(), left.column("doc").to_numpy())


def _nowhere(_batch: Batch) -> None:
    raise AssertionError("documents are held out after dedup")


class _Exact:
    """Entries of the hashes of normalized texts, of which a part of the unit's are in memory."""

    def __init__(self, work: Work[Sketched]) -> None:
        self._entries = Entries(work, "exact", work.memory // 64)
        self._room = max(1, work.memory // 256)
        self._waiting: list[tuple[U64, npt.NDArray[np.int64]]] = []
        self._count = self._saved = 0

    def add(self, keys: U64, rows: npt.NDArray[np.int64]) -> None:
        """Take keys uint64[n, 2] of rows."""
        self._waiting.append((keys, rows))
        self._count += len(rows)
        if self._count >= self._room:
            self._flush()

    def _flush(self) -> None:
        keys = np.concatenate([np.zeros((0, 2), np.uint64), *(keys for keys, _ in self._waiting)])
        rows = np.concatenate([np.zeros(0, np.int64), *(rows for _, rows in self._waiting)])
        self._entries.add(*grouped(keys, rows, 1, LEADING_BITS))
        self._saved += len(rows)
        self._waiting, self._count = [], 0

    def save(self) -> int:
        """Write the parts; how many entries they have."""
        if self._count or not self._saved:  # at least one block: a unit without documents has parts as well
            self._flush()
        self._entries.save()
        return self._saved


def _seed(scope: str, domain: str) -> int:
    """Separates the hashes of domains where only documents of one domain are compared."""
    return int.from_bytes(hashlib.sha256(domain.encode()).digest()[:8], "little") if scope == "domain" else 0


@njit(nogil=True, cache=True)
def grouped(keys, rows, each, bits):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Group keys uint64[m, k], of which each row has `each`, by leading bits of the first of the k.

    Returns:
        (keys uint64[m, k], rows uint32[m], starts int64[2^bits + 1]): group i is starts[i] to starts[i + 1].
    """
    shift = np.uint64(64 - bits)
    starts = np.zeros((1 << bits) + 1, np.int64)
    for i in range(len(keys)):
        starts[np.int64(keys[i, 0] >> shift) + 1] += 1
    for i in range(1 << bits):
        starts[i + 1] += starts[i]
    at = starts[:-1].copy()
    found, found_rows = np.empty_like(keys), np.empty(len(keys), np.uint32)
    for r in range(len(rows)):
        for i in range(r * each, (r + 1) * each):
            group = np.int64(keys[i, 0] >> shift)
            place = at[group]
            at[group] = place + 1
            found_rows[place] = rows[r]
            for j in range(keys.shape[1]):
                found[place, j] = keys[i, j]
    return found, found_rows, starts


@njit(nogil=True, cache=True)
def band_keys(signature, rows, seed, keys):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Hash the bands of signatures uint32[n, permutations] into `keys`, uint64[n, bands]."""
    room = np.empty(rows * 4 + 64, np.uint8)  # hashing reads ahead
    band_of = room.view(np.uint32)
    for i in range(len(signature)):
        for band in range(keys.shape[1]):
            for j in range(rows):
                band_of[j] = signature[i, band * rows + j]
            keys[i, band] = hash_bytes(room, 0, rows * 4, mix(np.uint64(band), seed))
