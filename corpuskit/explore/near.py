"""The signatures of a run in datasketch's own index: asked from Python whether a text is near one of the corpus."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpuskit.core.plan import Plan
from corpuskit.dedup import reference
from corpuskit.errors import UsageError, install
from corpuskit.store.root import Root

if TYPE_CHECKING:
    import datasketch


def lsh(root: Root, plan: Plan) -> datasketch.MinHashLSH:
    """The bands of the run over the documents of its corpus; keys are document ids."""
    library, params = _library(), _parameters(root)
    index = library.MinHashLSH(num_perm=params["permutations"], params=(params["bands"], params["rows"]))
    kept = np.concatenate([np.zeros(0, np.uint64), *_docs(root)])
    for stage in plan.stages.values():
        if stage.kind != "signatures":
            continue
        for receipt in root.receipts(stage):
            docs, signatures = (np.load(receipt.parts[name].local(), mmap_mode="r") for name in ("doc", "signature"))
            for row in np.flatnonzero(np.isin(docs, kept)):
                index.insert(int(docs[row]), _made(library, signatures[row]))
    return index


def _docs(root: Root) -> Iterator[npt.NDArray[np.uint64]]:
    """The ids of the documents of each file of the corpus, of which one is open at a time."""
    for name in root.manifest("corpus").get("files", {}):
        with root.store.open(f"corpus/{name}") as file:
            yield pq.read_table(file, columns=["doc"]).column("doc").to_numpy()


def signature(root: Root, text: str) -> datasketch.MinHash:
    """The signature of one text by the parameters of the run."""
    params = _parameters(root)
    column = pa.array([text], pa.large_string())
    return _made(_library(), reference.signatures(column, params["unit"], params["n"], params["permutations"])[0])


def _made(library: Any, values: Any) -> datasketch.MinHash:
    hashes = np.asarray(values, np.uint64)
    return library.MinHash(num_perm=len(hashes), seed=reference.SEED, scheme="legacy", hashvalues=hashes)


def _library() -> Any:
    try:
        return importlib.import_module("datasketch")
    except ImportError:
        raise UsageError("datasketch is not installed", install("datasketch")) from None


def _parameters(root: Root) -> dict[str, Any]:
    key = "index/minhash.json"
    params: dict[str, Any] = json.loads(root.store.get(key)) if root.store.size(key) is not None else {}
    if params.get("hash") != "datasketch":
        why = f"has signatures by `hash: {params['hash']}`" if params else "has no signatures of `minhash`"
        raise UsageError(f"{root.url} {why}; datasketch's index takes its own", "minhash: {hash: datasketch, ...}")
    return params
