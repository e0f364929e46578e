"""The licences of a corpus: what the column `license` says, counted, and as Hugging Face's cards name them."""

from __future__ import annotations

import re
from collections import Counter

import pyarrow.parquet as pq

from corpuskit.exports.content import CorpusFile

COLUMN = "license"

KNOWN = frozenset(
    """
    afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-
    by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-
    by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 ecl-2.0 epl-1.0
    epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 gfdl gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr lppl-1.3c mit
    mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 osl-3.0 pddl postgresql unlicense wtfpl zlib
    """.split()  # noqa: SIM905 - read by people
)
"""Identifiers that the key `license` of a card may have (huggingface.co/docs/hub/repositories-licenses)."""


def licences(files: list[CorpusFile]) -> dict[str, Counter[str | None]]:
    """Documents by licence, by domain; None stands for documents that name none. Reads that one column."""
    found: dict[str, Counter[str | None]] = {}
    for file in files:
        counts = found.setdefault(file.domain, Counter())
        with pq.ParquetFile(file.path) as opened:
            if COLUMN not in opened.schema_arrow.names:
                counts[None] += file.rows
                continue
            for batch in opened.iter_batches(columns=[COLUMN]):
                for pair in batch.column(0).value_counts().to_pylist():
                    value = pair["values"]
                    counts[str(value) if value else None] += pair["counts"]
    return found


def identifiers(found: dict[str, Counter[str | None]]) -> list[str]:
    """What a card's `license` says, sorted; `other` for a licence without identifier, `unknown` where none is named.

    An expression (`MIT AND Apache-2.0`, `CC-BY-SA-3.0; CC-BY-SA-4.0`) names all of its parts.
    """
    named: set[str] = set()
    for counts in found.values():
        for value in counts:
            parts = re.split(r"\s+(?:AND|OR|WITH)\s+|[;,/()]", value) if value else []
            for part in filter(None, (part.strip().lower() for part in parts)):
                plain = re.sub(r"(-only|-or-later|\+)$", "", part).replace(" ", "-")
                named.add(plain if plain in KNOWN else "other")
            if not value:
                named.add("unknown")
    return sorted(named)
