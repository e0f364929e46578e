"""Hugging Face: the corpus as Parquet that `datasets` loads, with a dataset card and Croissant metadata."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from corpuskit.explore.stats import domain_table
from corpuskit.exports.card import Card, Split
from corpuskit.exports.content import CorpusFile, open_corpus
from corpuskit.exports.croissant import Table, croissant
from corpuskit.exports.licenses import identifiers, licences
from corpuskit.exports.target import Target
from corpuskit.store.root import Root

HOLDS = "corpus"

_MADE_WITH = ("corpuskit", "numpy", "pyarrow", "numba", "duckdb", "tokenizers", "resiliparse", "kenlm")


def export(root: Root, into: Target) -> None:
    """Put `data/DOMAIN/SPLIT-00000-of-00004.parquet` and so on, the card, `croissant.json`, and what tells the lineage.

    A file is linked where all files of its domain have the same columns; else those that lack one get it, as nulls,
    since `datasets` wants one schema a configuration.
    """
    files = open_corpus(root)
    card = _card(root, files)
    groups: dict[str, dict[str, list[CorpusFile]]] = {}
    for file in files:
        groups.setdefault(file.domain, {}).setdefault(file.split, []).append(file)
    known: dict[str, tuple[str, int]] = {}
    tables = []
    for domain, splits in groups.items():
        schema = _common([file for group in splits.values() for file in group])
        for split, group in splits.items():
            about = card.splits.setdefault(domain, {}).setdefault(split, Split())
            for number, file in enumerate(group):
                name = f"data/{domain}/{split}-{number:05d}-of-{len(group):05d}.parquet"
                known[name] = _put(file, schema, into, name, about)
            into.count(split, domain, documents=about.documents)
            tables.append(Table(f"{domain}-{split}", f"data/{domain}/{split}-*.parquet", schema))
    for row in card.domains:
        if row.kept:
            into.count("train", row.domain, bytes=row.bytes)  # as its receipts say
    into.write("README.md", card.render())
    about_all = (card.recipe, card.description(), identifiers(card.licenses), card.made)
    into.write("croissant.json", json.dumps(croissant(*about_all, known, tables), indent=1, ensure_ascii=False))
    into.write("recipe.yaml", card.text)
    # without the places on the machine that built it
    pq.write_table(_raw_files(root).drop_columns(["path"]), into.new("files.parquet"), compression="zstd")


def _common(files: list[CorpusFile]) -> pa.Schema:
    """The columns of all files, in the order in which they first come."""
    schemas = [pq.read_schema(file.path).remove_metadata() for file in files]
    return pa.unify_schemas(schemas, promote_options="permissive")


def _put(file: CorpusFile, schema: pa.Schema, into: Target, name: str, about: Split) -> tuple[str, int]:
    """Link a file, or write it with all columns of its domain; returns its SHA-256 and bytes."""
    digest = file.sha256
    if pq.read_schema(file.path).remove_metadata().equals(schema):
        into.link(file.path, name)
    else:
        _widen(file, schema, into.new(name))
        with (into.path / name).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    size = (into.path / name).stat().st_size
    metadata = pq.read_metadata(into.path / name)
    about.documents += metadata.num_rows
    about.stored += sum(metadata.row_group(k).total_byte_size for k in range(metadata.num_row_groups))
    about.files += size
    return digest, size


def _widen(file: CorpusFile, schema: pa.Schema, target: Path) -> None:
    with pq.ParquetFile(file.path) as opened, pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for batch in opened.iter_batches():
            there = set(batch.schema.names)
            columns = [
                batch.column(each.name).cast(each.type) if each.name in there else pa.nulls(len(batch), each.type)
                for each in schema
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def _raw_files(root: Root) -> pa.Table:
    return pq.read_table(pa.BufferReader(root.store.get("files.parquet")))


def _card(root: Root, files: list[CorpusFile]) -> Card:
    plan, run = root.require_plan(), root.latest_run()
    environment = json.loads(root.store.get(f"{run}/env.json"))["packages"]
    made = re.sub(r"^(\d{4})(\d{2})(\d{2}).*", r"\1-\2-\3", run.rpartition("/")[2])
    sources: dict[str, Counter[str]] = {}
    for row in _raw_files(root).select(["source", "relative", "start", "size", "records"]).to_pylist():
        whole = not row["start"]  # of a file that was split, one row stands for its size
        found = {"files": int(whole), "records": row["records"] or 0, "bytes": row["size"] if whole else 0}
        sources.setdefault(row["source"], Counter()).update(found)
    return Card(
        recipe=plan.recipe,
        text=root.store.get(f"{run}/recipe.yaml").decode(),
        made=made,
        plan=root.manifest("corpus")["plan"],
        versions={name: environment[name] for name in _MADE_WITH if name in environment},
        domains=domain_table(root, plan),
        licenses=licences(files),
        sources=dict(sorted(sources.items())),
    )
