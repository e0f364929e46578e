"""Stage `signatures`: what dedup needs to know of every document of one unit, in arrays that can be memory-mapped.

Row i of `doc`, `bytes` and `signature` is row i of the unit's documents. `exact_*` and `band_*` are runs sorted by
hash, so that any partition by leading bits is a slice of each; documents whose normalized text is empty are in neither.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
from numba import njit

from corpuskit.arrow import PartReader, text_bytes
from corpuskit.dedup.params import Minhash
from corpuskit.dedup.sort import U64
from corpuskit.kernels.hashing import mix
from corpuskit.kernels.minhash import sketch
from corpuskit.unit import Work


def signatures(work: Work) -> None:
    """Sketch the documents of the unit of the same number of `docs`.

    Parts: doc uint64[n]; bytes uint32[n], of UTF-8; signature uint32[n, permutations]; batch int64[b + 1], the first
    row of each record batch of `docs`; exact_key uint64[2, m] and exact_row uint32[m]; band_key uint64[1, m * bands]
    and band_row uint32[m * bands].
    """
    params = Minhash.parse({**work.spec["minhash"], "threshold": 1.0})  # it plays no part here
    seed = domain_seed(work.spec["domain"]) if params.scope == "domain" else 0
    path = work.receipt("docs").parts["docs"].path
    ids = [np.asarray(batch.column(0), np.uint64) for batch in PartReader(path, ["doc"])]
    doc: U64 = np.concatenate(ids) if ids else np.zeros(0, np.uint64)
    batches = np.concatenate([[0], np.cumsum([len(part) for part in ids])]).astype(np.int64)
    size = np.zeros(len(doc), np.uint32)
    hashes = np.zeros((len(doc), 2), np.uint64)
    alive = np.zeros(len(doc), np.bool_)
    signature_path = work.put("signature", ".npy", rows=len(doc))
    shape = (len(doc), params.permutations)
    signature = np.lib.format.open_memmap(signature_path, "w+", np.dtype("<u4"), shape)
    for batch, first in zip(PartReader(path, ["text"]), batches, strict=False):
        rows = slice(int(first), int(first) + batch.num_rows)
        made = sketch(batch.column(0), params.unit, params.n, params.permutations, seed)
        size[rows] = text_bytes(batch.column(0))
        hashes[rows] = made.hash
        alive[rows] = made.shingles > 0
        signature[rows] = made.signature
    rows_alive = np.flatnonzero(alive)
    order = rows_alive[np.lexsort((hashes[rows_alive, 1], hashes[rows_alive, 0]))]
    key, row = band_run(np.asarray(signature), rows_alive, params.bands, params.rows, seed)
    signature.flush()
    _save(work, "doc", doc)
    _save(work, "bytes", size)
    _save(work, "batch", batches)
    _save(work, "exact_key", np.ascontiguousarray(hashes[order].T))
    _save(work, "exact_row", order.astype(np.uint32))
    _save(work, "band_key", key)
    _save(work, "band_row", row)
    work.facts["empty"] = len(doc) - len(rows_alive)


def _save(work: Work, name: str, values: npt.NDArray[np.generic]) -> None:
    np.save(work.put(name, ".npy", rows=values.shape[-1]), values)


def domain_seed(domain: str) -> int:
    """Separates the hashes of domains where only documents of one domain are compared."""
    return int.from_bytes(hashlib.sha256(domain.encode()).digest()[:8], "little")


def band_run(
    signature: npt.NDArray[np.uint32], rows_alive: npt.NDArray[np.int64], bands: int, rows: int, seed: int
) -> tuple[U64, npt.NDArray[np.uint32]]:
    """Band hashes of the given rows, sorted by (hash, row): uint64[1, m * bands] and the rows, uint32[m * bands]."""
    keys = np.empty((len(rows_alive), bands), np.uint64)
    _band_keys(signature, rows_alive, rows, np.uint64(seed), keys)
    flat = keys.ravel()
    order = np.argsort(flat, kind="stable")
    return flat[order][None], rows_alive[order // bands].astype(np.uint32)


@njit(nogil=True, cache=True)
def _band_keys(signature, documents, rows, seed, keys):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    for i in range(len(documents)):
        for band in range(keys.shape[1]):
            key = mix(np.uint64(band), seed)
            for j in range(band * rows, (band + 1) * rows):
                key = mix(np.uint64(signature[documents[i], j]), key)
            keys[i, band] = key
