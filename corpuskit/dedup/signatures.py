"""Stages `signatures` and `buckets`: what dedup needs to know of every document of one unit.

Row i of `doc`, `bytes`, `hash` and `signature` is row i of the unit's documents. `exact_*` and `band_*` are entries
grouped by the leading bits of their key, so that any partition is one stretch of each; documents whose normalized text
is empty, and those that an earlier barrier removed, are in neither. Bands are a stage of their own: another threshold
or other bands leave the signatures as they are.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from corpuskit.core.batch import Batch, text_bytes
from corpuskit.core.work import Work
from corpuskit.dedup import reference
from corpuskit.dedup.entries import Entries
from corpuskit.dedup.files import ArrayFile
from corpuskit.dedup.kinds import Banded, Sketched
from corpuskit.dedup.sort import U64
from corpuskit.dedup.texts import Texts
from corpuskit.documents.decisions import Decisions
from corpuskit.kernels.hashing import hash_bytes, mix
from corpuskit.kernels.minhash import sketch

LEADING_BITS = 10
"""Entries are grouped by this many leading bits of their key: the finest partition that needs no further look."""


def signatures(work: Work[Sketched]) -> None:
    """Sketch the documents of the unit of the same number of `docs`.

    Parts: doc uint64[n]; bytes uint32[n], of UTF-8; shingles uint32[n], with repetitions; hash uint64[n], of the
    normalized text; signature uint32[n, permutations]; batch int64[b + 1], the first row of each batch of `docs`;
    exact_key uint64[m, 2], exact_row uint32[m], exact_start int64[1025].
    """
    params = work.spec.params
    seed = _seed(params.scope, work.spec.domain)
    texts = Texts.of(work)
    ids = [np.asarray(batch.column(0), np.uint64) for batch in texts.each(["doc"])]
    doc: U64 = np.concatenate(ids) if ids else np.zeros(0, np.uint64)
    batches = np.concatenate([[0], np.cumsum([len(part) for part in ids])]).astype(np.int64)
    left = _left(work, doc)
    size = np.zeros(len(doc), np.uint32)
    hashes = np.zeros((len(doc), 2), np.uint64)
    shingles = np.zeros(len(doc), np.uint32)
    publish = f"index/signatures/{work.key}" if params.permutations else None
    path = work.put("signature", ".npy", rows=len(doc), publish=publish and f"{publish}-signature.npy")
    with path.open("wb") as stream:
        shape = (len(doc), params.permutations)
        np.lib.format.write_array_header_1_0(stream, {"descr": "<u4", "fortran_order": False, "shape": shape})
        first = 0
        for batch in texts.read(["text"]):
            rows = slice(first, first + batch.num_rows)
            first += batch.num_rows
            column = pc.if_else(pa.array(left[rows]), batch.column(0), "") if left is not None else batch.column(0)
            made = sketch(column, params.unit, params.n, max(1, params.permutations), seed)
            signature = made.signature[:, : params.permutations]
            if params.hash == "datasketch":
                signature = reference.signatures(column, params.unit, params.n, params.permutations)
            size[rows] = text_bytes(column)
            hashes[rows] = made.hash
            shingles[rows] = made.shingles
            stream.write(np.ascontiguousarray(signature).data)
    rows_alive = np.flatnonzero(shingles)
    _save(work, "doc", doc, publish and f"{publish}-doc.npy")
    _save(work, "bytes", size)
    _save(work, "shingles", shingles)
    _save(work, "hash", hashes[:, 0].copy())
    _save(work, "batch", batches)
    _save_entries(work, "exact", hashes[rows_alive], rows_alive, 1)
    work.facts["empty"] = (len(doc) if left is None else int(left.sum())) - len(rows_alive)


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


def _left(work: Work[Sketched], doc: U64) -> npt.NDArray[np.bool_] | None:
    """Which documents earlier dedup has left, bool[n]; None where there was none. A removed one counts as no text."""
    if not work.spec.apply:
        return None
    left = Decisions(work, None)(pa.record_batch([pa.array(doc)], names=["doc"]), _nowhere)
    return np.isin(doc, left.column("doc").to_numpy())


def _nowhere(_batch: Batch) -> None:
    raise AssertionError("documents are held out after dedup")


def _save(work: Work[Any], name: str, values: npt.NDArray[np.generic], publish: str | None = None) -> None:
    np.save(work.put(name, ".npy", rows=len(values), publish=publish), values)


def _save_entries(work: Work[Any], name: str, keys: U64, rows: npt.NDArray[np.int64], each: int) -> None:
    """Save entries (key, row); row i has `each` keys in succession."""
    found, found_rows, starts = grouped(keys, rows, each, LEADING_BITS)
    _save(work, f"{name}_key", found.reshape(-1) if keys.shape[1] == 1 else found)
    _save(work, f"{name}_row", found_rows)
    _save(work, f"{name}_start", starts)


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
