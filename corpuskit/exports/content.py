"""What of a run an export holds, opened and checked: token files, shards, the corpus; and what the run says of each."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from corpuskit.errors import DamagedFile, InputError, UsageError
from corpuskit.explore.stats import domain_table
from corpuskit.exports.target import Target
from corpuskit.run.seal import published, unsealed
from corpuskit.shards import megatron
from corpuskit.shards.plan import train_files
from corpuskit.shards.read import Shard, open_shard, read_index
from corpuskit.store.root import MANIFEST, Root, described
from corpuskit.train.order import Plan

Counts = dict[tuple[str, str], Counter[str]]
"""By (split, domain): documents, tokens and bytes, or sequences and tokens."""

READ = {
    "corpus": ("corpus/", "holdout/"),
    "tokens": ("tokens/", "shards/plan.json"),
    "shards": ("shards/", "tokens/tokenizer.json"),
}
"""What an export of a folder reads or links: beginnings of names."""

AGAIN = "`corpuskit run RECIPE --root {root}` publishes what is missing again"


def require(root: Root, folder: str) -> str:
    """The identity of a published folder (`corpus`, `tokens` or `shards`), which is complete and of the last plan.

    Raises:
        UsageError: there is no run, or it has no such folder, or not yet.
    """
    plan = root.require_plan()
    manifest = root.manifest(folder)
    if not manifest.get("files"):
        recipe = f"corpuskit run RECIPE --root {root.url}"
        how = f"{recipe} runs it to its end" + ("" if folder == "corpus" else "; its recipe needs `mix:`")
        raise UsageError(f"{root.url} has no {folder}/ to export", how)
    if ("corpus" if folder == "corpus" else "shards") in unsealed(plan, root):
        raise UsageError(
            f"{root.url}/{folder} is of an earlier plan: the last run did not come to its end",
            f"corpuskit run RECIPE --root {root.url} goes on with it",
        )
    published = [f"{name}/{MANIFEST}" for name in (folder, *(("holdout",) if folder == "corpus" else ()))]
    return hashlib.sha256(b"".join(content or b"" for content in root.store.get_all(published))).hexdigest()


def check(root: Root, holds: str) -> None:
    """Check each file that an export will read or link: what a byte is wrong in is exported nowhere.

    Raises:
        DamagedFile: a file is not what was written. InputError: it is missing.
    """
    for part in published(root, root.require_plan(), READ[holds]):
        try:
            part.local()
        except FileNotFoundError:
            raise InputError(f"{root.url}/{part.key}: missing", AGAIN.format(root=root.url)) from None
    if holds == "corpus":
        for name, about in root.manifest("corpus").get("beside", {}).items():
            if root.store.size(name) is None:
                raise InputError(f"{root.url}/{name}: missing", AGAIN.format(root=root.url))
            if described(root.store.get(name)) != about:
                raise DamagedFile(root.url, name, "its SHA-256 is not the one in corpus/_manifest.json", "")


def said(root: Root, holds: str) -> Counts:
    """What the run itself says that its corpus, tokens or shards hold."""
    found: Counts = {}
    if holds == "corpus":
        for row in domain_table(root, root.require_plan()):
            kept = {"documents": row.kept, "bytes": row.bytes}
            for split, counts in (("train", kept), ("validation", {"documents": row.held_out})):
                if counts["documents"]:
                    found[split, row.domain] = Counter(counts)
    elif holds == "tokens":
        for part in _manifest(root)["parts"]:
            counts = {name: part[name] for name in ("documents", "tokens", "bytes")}
            found.setdefault((part["split"], part["domain"]), Counter()).update(counts)
    else:
        plan, index = read_plan(root), root_index(root)
        for name, domain in plan["domains"].items():
            found["train", name] = Counter(sequences=domain["sequences"], tokens=domain["taken"])
        for name, entry in index["validation"].items():
            found["validation", name] = Counter(sequences=entry["sequences"], tokens=entry["tokens"])
    return found


# -- tokens ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TokenFile:
    """Documents of one domain and split as tokens.

    Attributes:
        split, domain, part: `train` or `validation`; the domain; the name of the file without its ending.
        bin: the tokens, each document with its end token. idx: Megatron's index. docs: the table of documents.
        lengths: tokens of each document, int32[documents].
        bytes: of the texts in UTF-8.
    """

    split: str
    domain: str
    part: str
    bin: Path
    idx: Path
    docs: Path
    lengths: npt.NDArray[np.int32]
    bytes: int

    @property
    def place(self) -> str:
        """Where exports put it: split, domain and part."""
        return f"{self.split}/{self.domain}/{self.part}"

    @property
    def counts(self) -> dict[str, int]:
        """Documents, tokens and bytes."""
        tokens = int(self.lengths.sum(dtype=np.int64))
        return {"documents": len(self.lengths), "tokens": tokens, "bytes": self.bytes}


@dataclass(frozen=True)
class Tokens:
    """The token files of a run.

    Attributes:
        folder: `tokens/`.
        about: the content of its `manifest.json`.
        files: in the order of the manifest.
    """

    folder: Path
    about: dict[str, Any]
    files: list[TokenFile]

    def link_about(self, into: Target) -> None:
        """Put beside the tokens their tokenizer, and `manifest.json`: vocabulary, end token, type."""
        for name in ("tokenizer.json", "manifest.json"):
            into.link(self.folder / name, name)


def open_tokens(root: Root) -> Tokens:
    """The token files of a run.

    Raises:
        InputError: a file is not what `manifest.json` says.
    """
    about, folder = _manifest(root), root.store.folder("tokens")
    return Tokens(folder, about, [_token_file(root, about, folder, part) for part in about["parts"]])


def _token_file(root: Root, about: dict[str, Any], folder: Path, part: dict[str, Any]) -> TokenFile:
    path = folder / part["file"]
    idx, docs = path.with_suffix(".idx"), path.with_suffix(".docs.parquet")
    index = megatron.read_index(idx)
    file = TokenFile(part["split"], part["domain"], path.stem, path, idx, docs, index.lengths, part["bytes"])
    stored = path.stat().st_size // np.dtype(about["dtype"]).itemsize
    wanted = {name: part[name] for name in ("documents", "tokens", "bytes")}
    if file.counts != wanted or stored != part["tokens"] or index.dtype != about["dtype"]:
        raise InputError(
            f"{path}: {stored:,} tokens, its index {len(index.lengths):,} documents of {file.counts['tokens']:,} "
            f"{index.dtype} tokens; the manifest says {part['documents']:,} documents of {part['tokens']:,} "
            f"{about['dtype']} tokens",
            AGAIN.format(root=root.url),
        )
    return file


def _manifest(root: Root) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(root.store.get("tokens/manifest.json"))
    return found


# -- shards ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShardFile:
    """One shard, in the order of training.

    Attributes:
        split: `train` or `validation`.
        path: of its tokens.
        shard: the sequences and their runs.
        domains: the domain of each sequence.
    """

    split: str
    path: Path
    shard: Shard
    domains: list[str]

    def counts(self) -> dict[str, Counter[str]]:
        """Sequences, and the tokens that they predict, by domain."""
        runs = self.shard.runs()
        filled = np.bincount(runs["sequence"].to_numpy(), runs["length"].to_numpy(), len(self.domains))
        found: dict[str, Counter[str]] = {}
        for domain, tokens in zip(self.domains, np.maximum(filled.astype(np.int64) - 1, 0).tolist(), strict=True):
            found.setdefault(domain, Counter()).update({"sequences": 1, "tokens": tokens})
        return found


def read_plan(root: Root) -> dict[str, Any]:
    """The content of `shards/plan.json`."""
    found: dict[str, Any] = json.loads(root.store.get("shards/plan.json"))
    return found


def root_index(root: Root) -> dict[str, Any]:
    """The content of `shards/index.json`; raises InputError as `read_index`."""
    return read_index(root.store.local("shards/index.json").parent)


def open_shards(root: Root) -> Iterator[ShardFile]:
    """The train files of a run in their order, then its validation files, one a domain.

    Raises:
        InputError: a file is missing, or has not the size that the index says.
    """
    folder = root.store.folder("shards")
    index, plan = read_index(folder), read_plan(root)
    orders, spans = Plan.from_json(plan), train_files(plan)
    for entry, (phase, low, end) in zip(index["train"], spans, strict=True):
        order = orders[phase]
        domains = [order.names[number] for number in order.locate(np.arange(low, end))[0].tolist()]
        yield ShardFile("train", folder / entry["file"], open_shard(folder, index, entry), domains)
    for name, entry in index["validation"].items():
        shard = open_shard(folder, index, entry)
        yield ShardFile("validation", folder / entry["file"], shard, [name] * entry["sequences"])


# -- corpus ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CorpusFile:
    """A Parquet file of documents.

    Attributes:
        split: `train`, or `validation` for what was held out. domain: its domain.
        path: of the file. rows: its documents. sha256: its digest, as the run says.
    """

    split: str
    domain: str
    path: Path
    rows: int
    sha256: str


def open_corpus(root: Root) -> list[CorpusFile]:
    """The files of a corpus and of what was held out that have documents, sorted by domain, split and name."""
    found = []
    for split, folder in (("train", "corpus"), ("validation", "holdout")):
        here = root.store.folder(folder)
        for name, about in root.manifest(folder).get("files", {}).items():
            path = here / name
            rows = pq.read_metadata(path).num_rows
            if rows:
                domain = name.partition("/")[0].removeprefix("domain=")
                found.append(CorpusFile(split, domain, path, rows, about["sha256"]))
    return sorted(found, key=lambda file: (file.domain, file.split, file.path.name))
