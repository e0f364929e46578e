"""Each unit's slice of the choice: which of its documents are removed."""

from __future__ import annotations

import numpy as np

from corpuskit.core.batch import PartReader
from corpuskit.core.spec import Spec
from corpuskit.core.work import Work
from corpuskit.documents.lookup import Lookup, mapped


def decide(work: Work[Spec]) -> None:
    """Body: what the choice of `minhash` says of the documents of one unit.

    Needs `docs` one to one and `choose`. Parts: removed_docs, uint64, sorted; removed_exact, uint8, whether each is an
    exact copy. In memory: 9 bytes for each document of this unit that is removed.
    """
    parts = work.receipts("choose")[0].parts
    removed, exact = Lookup(parts["removed_docs"].local()), mapped(parts["removed_exact"].local(), "u1")
    docs, flags = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint8)]
    for batch in PartReader(work.receipt("docs").parts["docs"].local(), ["doc"]):
        _, places = removed(batch.column("doc"))
        docs.append(removed.docs[places])
        flags.append(exact[places])
    found, kind = np.concatenate(docs), np.concatenate(flags)
    order = np.argsort(found)
    work.put("removed_docs", ".u64", rows=len(found)).write_bytes(found[order].astype("<u8").tobytes())
    work.put("removed_exact", ".u8", rows=len(found)).write_bytes(kind[order].astype("u1").tobytes())
