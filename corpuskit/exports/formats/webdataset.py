"""WebDataset: the corpus as tar files of samples, `ID.txt` and `ID.json`, a document's text and other columns."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from corpuskit.exports.content import CorpusFile, open_corpus
from corpuskit.exports.target import Target
from corpuskit.store.root import Root

HOLDS = "corpus"

TAR_BYTES = 256 << 20
"""A tar file is closed when it has reached this size."""

_ROWS = 1024


def export(root: Root, into: Target) -> None:
    """Write `SPLIT/DOMAIN-000000.tar` and so on; the same corpus gives the same bytes."""
    groups: dict[tuple[str, str], list[CorpusFile]] = {}
    for file in open_corpus(root):
        groups.setdefault((file.split, file.domain), []).append(file)
    for (split, domain), files in groups.items():
        _write(split, domain, files, into)


def _write(split: str, domain: str, files: list[CorpusFile], into: Target) -> None:
    documents, number = _documents(domain, files), 0
    document = next(documents, None)
    while document is not None:
        with tarfile.open(into.new(f"{split}/{domain}-{number:06d}.tar"), "w", format=tarfile.USTAR_FORMAT) as tar:
            while document is not None and tar.offset < TAR_BYTES:
                name, text, columns = document
                _add(tar, f"{name}.json", columns)
                _add(tar, f"{name}.txt", text)
                into.count(split, domain, documents=1, bytes=len(text))
                document = next(documents, None)
        number += 1


def _documents(domain: str, files: list[CorpusFile]) -> Iterator[tuple[str, bytes, bytes]]:
    """Name, text and other columns of each document; the name is its number, in digits of the same count."""
    for file in files:
        with pq.ParquetFile(file.path) as opened:
            for batch in opened.iter_batches(_ROWS):
                yield from _samples(domain, batch)


def _samples(domain: str, batch: pa.RecordBatch) -> Iterator[tuple[str, bytes, bytes]]:
    for row in batch.to_pylist():
        text = row.pop("text").encode()
        columns = orjson.dumps({"domain": domain, **row}, default=str, option=orjson.OPT_SORT_KEYS)
        yield f"{row['doc']:020d}", text, columns


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
