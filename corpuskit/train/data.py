"""Reads token shards: any sequence of a phase or of a domain's held-out text by its number, with its documents.

Nothing is shuffled here: the order of the files is the order of training; where there are none, `planned` follows the
plan. Every file's size and every sidecar's runs are checked before they are used; `checked` compares contents.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from corpuskit.errors import InputError, UsageError
from corpuskit.train import planned
from corpuskit.train.cache import Cache, Wanted
from corpuskit.train.manifest import Manifest, Reader, Stored
from corpuskit.train.order import Indices
from corpuskit.train.stream import OpenFiles

IGNORE = -100

HELD = 32
"""Shard files whose documents' borders are held in memory: a run through thousands of files needs few at a time."""


@dataclass(frozen=True)
class Batch:
    """Rows of equal length; rows are padded with fully masked ones where a process has fewer.

    Attributes:
        inputs: int64 [rows, seq_len].
        targets: int64 [rows, seq_len]; IGNORE where there is no loss.
        documents: int32 [rows, seq_len]: number of the document's run within its sequence from 1; 0 is padding.
    """

    inputs: Tensor
    targets: Tensor
    documents: Tensor

    @property
    def valid(self) -> int:
        """Targets that carry loss; of batches on a CPU only: elsewhere it would wait for the device."""
        return int(np.count_nonzero(self.targets.numpy() != IGNORE))

    def micro_batches(self, rows: int, device: torch.device) -> list[Batch]:
        """Cut into batches of `rows`, ready to go to `device`."""
        whole = (self.inputs, self.targets, self.documents)
        parts = [[part[start : start + rows] for part in whole] for start in range(0, len(self.inputs), rows)]
        if device.type != "cuda":
            return [Batch(*part) for part in parts]
        # From pinned memory the copy to the device does not wait for what the device does.
        return [Batch(*(each.pin_memory() for each in part)) for part in parts]

    def to(self, device: torch.device) -> Batch:
        """The same on `device`; only what the device does with it waits for the copy."""
        parts = (self.inputs, self.targets, self.documents)
        return Batch(*(part.to(device, non_blocking=True) for part in parts))


class ShardFile:
    """One `.bin` and its sidecar; `sequences` of `seq_len` + 1 little-endian tokens."""

    def __init__(self, manifest: Manifest, entry: dict[str, Any], index: dict[str, Any]) -> None:
        self.stored = [manifest.file(entry[name]) for name in ("file", "sidecar")]
        self.path, self.sidecar = (file.path for file in self.stored)
        self.sequences: int = entry["sequences"]
        self.length: int = entry.get("seq_len", index["seq_len"]) + 1
        self.dtype = token_type(index)
        expected = self.sequences * self.length * self.dtype.itemsize
        found = self.stored[0].size
        if found != expected:
            state = "does not exist" if found is None else f"holds {found:,} bytes"
            raise InputError(f"{self.path} {state}; index.json says {expected:,} bytes", "write the shards again")

    @cached_property
    def _runs(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Start and end of every run, and where in these the runs of sequence i begin, int64 [sequences + 1]."""
        try:
            table = pq.read_table(self.stored[1].opened(), columns=["sequence", "start", "length"])
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{self.sidecar}: cannot be read: {error}", "write the shards again") from None
        sequence, start, length = (table[name].to_numpy().astype(np.int64) for name in ("sequence", "start", "length"))
        end = start + length
        follows = (sequence[1:] > sequence[:-1]) | ((sequence[1:] == sequence[:-1]) & (start[1:] >= end[:-1]))
        inside = (start >= 0) & (length > 0) & (end <= self.length) & (sequence >= 0) & (sequence < self.sequences)
        bad = np.flatnonzero(~inside | ~np.concatenate(([True], follows)))
        if len(bad):
            raise InputError(f"{self.sidecar}: row {bad[0]} lies outside its sequence, overlaps, or is out of order")
        return start, end, np.searchsorted(sequence, np.arange(self.sequences + 1))

    @property
    def tokens(self) -> int:
        """Tokens of documents, without padding."""
        start, end, _ = self._runs
        return int((end - start).sum())

    def forget(self) -> None:
        """Drop the runs; they are read again when they are asked for."""
        self.__dict__.pop("_runs", None)

    def blocks(self, sequences: Indices) -> list[Wanted]:
        """See `Source`; the sidecar's are the last."""
        size = self.length * self.dtype.itemsize
        file, sidecar = self.stored
        held = 0 if "_runs" in self.__dict__ else sidecar.size or 0
        places = (file.blocks(sequence * size, (sequence + 1) * size) for sequence in sequences.tolist())
        return [block for blocks in places for block in blocks] + sidecar.blocks(0, held)

    def fill(
        self, out: NDArray[Any], rows: Indices, sequences: Indices, files: OpenFiles
    ) -> tuple[Indices, Indices, Indices]:
        """Read sequences into rows of `out` (C-contiguous [n, seq_len + 1]); returns their runs: row, start, length."""
        size, view = self.length * self.dtype.itemsize, memoryview(out.data).cast("B")
        for row, sequence in zip(rows.tolist(), sequences.tolist(), strict=True):
            if files.read(self.path, view[row * size : (row + 1) * size], sequence * size) != size:
                raise InputError(f"{self.path}: ends before sequence {sequence} does", "write the shards again")
        start, end, bounds = self._runs
        first, count = bounds[sequences], bounds[sequences + 1] - bounds[sequences]
        run = np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)
        return np.repeat(rows, count), start[run], end[run] - start[run]


class Source(Protocol):
    """Sequences of one length by number."""

    @property
    def tokens(self) -> int:
        """Tokens of documents, without padding."""

    def __len__(self) -> int: ...

    @property
    def indexes(self) -> list[Stored]:
        """Files by which sequences are found; to be checked before `files` is asked."""

    def files(self, start: int, stop: int) -> list[Stored]:
        """The files that sequences [start, stop) are read from."""

    def blocks(self, sequences: Indices) -> list[Wanted]:
        """What is fetched to read sequences; nothing of files of this machine."""

    def place(self, sequence: int) -> str:
        """Where a sequence stands, for errors."""

    def domains(self) -> NDArray[np.str_]:
        """The domain of every sequence."""

    def read(self, sequences: Indices) -> tuple[NDArray[Any], Indices, Indices, Indices]:
        """Tokens [n, seq_len + 1], and the runs of tokens of one document: row, start, length, int64 each, sorted."""


class Files:
    """Shard files of one length of sequences as one list of sequences, in the order of the files."""

    def __init__(self, files: list[ShardFile]) -> None:
        self.shards = files
        self.starts = np.cumsum([0] + [file.sequences for file in files])
        self.indexes: list[Stored] = []
        self._files = Reader(stored for file in files for stored in file.stored)
        self._recent: OrderedDict[int, None] = OrderedDict()
        """Numbers of the files whose runs are held."""

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def tokens(self) -> int:
        """Of all files."""
        return sum(file.tokens for file in self.shards)

    def files(self, start: int, stop: int) -> list[Stored]:
        """See `Source`."""
        first, last = (int(np.searchsorted(self.starts, place, side="right")) - 1 for place in (start, stop - 1))
        return [file for shard in self.shards[first : last + 1] for file in shard.stored]

    def blocks(self, sequences: Indices) -> list[Wanted]:
        """See `Source`."""
        at = np.searchsorted(self.starts, sequences, side="right") - 1
        found = (self.shards[number].blocks(sequences[at == number] - self.starts[number]) for number in np.unique(at))
        return [block for blocks in found for block in blocks]

    def place(self, sequence: int) -> str:
        """File and number in it."""
        at = int(np.searchsorted(self.starts, sequence, side="right")) - 1
        return f"{self.shards[at].path}: sequence {sequence - int(self.starts[at])}"

    def domains(self) -> NDArray[np.str_]:
        """See `Source`; "" for a sequence without documents."""
        names = []
        for shard in self.shards:
            table = pq.read_table(shard.stored[1].opened(), columns=["sequence", "domain"])
            sequence, first = np.unique(table["sequence"].to_numpy(), return_index=True)
            held = np.full(shard.sequences, "", dtype=object)
            held[sequence] = np.asarray(table["domain"].to_pylist(), dtype=object)[first]
            names.append(held)
        return np.concatenate(names).astype(str)

    def read(self, sequences: Indices) -> tuple[NDArray[Any], Indices, Indices, Indices]:
        """See `Source`."""
        at = np.searchsorted(self.starts, sequences, side="right") - 1
        out = np.empty((len(sequences), self.shards[0].length), self.shards[0].dtype)
        parts = []
        for number in np.unique(at).tolist():
            rows = np.flatnonzero(at == number)
            parts.append(self.shards[number].fill(out, rows, sequences[rows] - self.starts[number], self._files))
            self._recent[number] = None
            self._recent.move_to_end(number)
        while len(self._recent) > HELD:
            self.shards[self._recent.popitem(last=False)[0]].forget()
        row, start, length = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        sorting = np.argsort(row, kind="stable") if len(parts) > 1 else slice(None)
        return out, row[sorting], start[sorting], length[sorting]


class Split:
    """A phase, or a domain's held-out text, ready for the loop."""

    def __init__(self, source: Source, seq_len: int, mask: str, vocab_size: int, cache: Cache | None) -> None:
        self.source, self.seq_len, self.mask, self.vocab_size, self.cache = source, seq_len, mask, vocab_size, cache

    def __len__(self) -> int:
        return len(self.source)

    @property
    def tokens(self) -> int:
        """Tokens of documents, without padding."""
        return self.source.tokens

    def batch(self, sequences: Sequence[int], rows: int) -> Batch:
        """Read these sequences, padded with masked rows to `rows`.

        A target carries loss if it and its input belong to a document, and, under document masks, to the same one: the
        first token of a document has nothing to be predicted from.

        Raises:
            InputError: a file is cut short, or a token is outside the vocabulary.
        """
        inputs, targets = np.zeros((rows, self.seq_len), np.int64), np.full((rows, self.seq_len), IGNORE, np.int64)
        documents = np.zeros((rows, self.seq_len), np.int32)
        if len(sequences):
            wanted, count = np.asarray(sequences, np.int64), len(sequences)
            if self.cache is not None:
                self.cache.gather(self.source.blocks(wanted))
            tokens, row, start, length = self.source.read(wanted)
            if int(tokens.max()) >= self.vocab_size or int(tokens.min()) < 0:
                bad = wanted[np.argmax(((tokens >= self.vocab_size) | (tokens < 0)).any(1))]
                where = self.source.place(int(bad))
                raise InputError(f"{where} has tokens outside 0..{self.vocab_size - 1}", "write the shards again")
            owner = owners(row, start, length, tokens.shape)
            before, after = owner[:, :-1], owner[:, 1:]
            valid = (after == before) & (before > 0) if self.mask == "document" else (before > 0) & (after > 0)
            inputs[:count], documents[:count] = tokens[:, :-1], before
            np.copyto(targets[:count], tokens[:, 1:], where=valid)
        return Batch(*(torch.from_numpy(part) for part in (inputs, targets, documents)))


def owners(row: Indices, start: Indices, length: Indices, shape: tuple[int, ...]) -> NDArray[np.int32]:
    """For each token the number of its run within its sequence from 1, int32 of this shape; 0 where there is none.

    Args:
        row, start, length: of the runs, int64[n] each, in the order of the tokens; they do not overlap.
    """
    found = np.zeros(shape, np.int32)
    flat = found.reshape(-1)
    number = np.arange(1, len(row) + 1) - np.searchsorted(row, row)
    begin = row * shape[1] + start
    for low, end, value in zip(begin.tolist(), (begin + length).tolist(), number.tolist(), strict=True):
        flat[low:end] = value
    return found


class Shards:
    """A folder of shards: `train`, one split for every phase; `validation`, one for every domain, with its `bytes`.

    `seq_len` is that of validation, and of the longest phase; `bytes` are those of the text in UTF-8; `cache` keeps a
    part of what is in a bucket. Arguments are those of `Manifest`.
    """

    def __init__(
        self,
        folder: str | Path,
        mask: str,
        bucket: str | None = None,
        cache: str | None = None,
        cache_bytes: int | None = None,
    ) -> None:
        manifest = Manifest(folder, bucket, cache, cache_bytes)
        path = f"{manifest.place}/index.json"
        try:
            index = json.loads(manifest.read("index.json"))
        except OSError as error:
            said = error.strerror or "there is none"
            raise UsageError(f"{path}: {said}", "`shards` is the folder that `mix` wrote") from None
        except ValueError as error:
            raise InputError(f"{path}: not JSON: {error}", "write the shards again") from None
        wanted = {"format", "dtype", "seq_len", "vocab_size", "tokenizer", "train", "validation", "fingerprint"}
        if index.get("format") not in (1, 2, 3) or index.get("dtype") not in ("uint16", "int32") or wanted - set(index):
            raise InputError(f"{path}: not an index of shards of format 1, 2 or 3", "write the shards again")
        if not index["train"]:
            raise InputError(f"{path}: names nothing to train on", "write the shards again")
        self.folder, self.cache = manifest.place, manifest.cache
        self.seq_len: int = index["seq_len"]
        self.vocab_size: int = index["vocab_size"]
        self.tokenizer: str = index["tokenizer"]
        self.fingerprint: str = index["fingerprint"]
        phases, held_out = (_planned if index["format"] == 3 else _written)(manifest, index)
        self.train = [Split(source, seq_len, mask, self.vocab_size, self.cache) for source, seq_len in phases]
        self.validation = {
            name: Split(source, self.seq_len, mask, self.vocab_size, self.cache) for name, source in held_out.items()
        }
        self.bytes: dict[str, int] = {name: index["validation"][name]["bytes"] for name in held_out}

    def close(self) -> None:
        """Remove what was fetched, unless another process reads it."""
        if self.cache is not None:
            self.cache.close()


Sources = tuple[list[tuple[Source, int]], dict[str, Source]]
"""The phases, each with its seq_len, and the held-out text by domain, sorted."""


def _written(manifest: Manifest, index: dict[str, Any]) -> Sources:
    """Shards in files."""
    phases = groupby(index["train"], lambda entry: (entry.get("phase", 0), entry.get("seq_len", index["seq_len"])))
    train: list[tuple[Source, int]] = [
        (Files([ShardFile(manifest, entry, index) for entry in entries]), seq_len) for (_, seq_len), entries in phases
    ]
    return train, {
        name: Files([ShardFile(manifest, entry, index)]) for name, entry in sorted(index["validation"].items())
    }


def _planned(manifest: Manifest, index: dict[str, Any]) -> Sources:
    """Shards that are not written."""
    manifest.with_tokens()
    dtype = token_type(index)
    train: list[tuple[Source, int]] = list(planned.phases(manifest, index, dtype))
    return train, {name: planned.held_out(manifest, name, index, dtype) for name in sorted(index["validation"])}


def token_type(index: dict[str, Any]) -> np.dtype[Any]:
    """Of the files that an index describes."""
    return np.dtype("<u2" if index["dtype"] == "uint16" else "<i4")


def share(start: int, stop: int, rank: int, size: int) -> tuple[range, int]:
    """The sequences of the global batch [start, stop) that a process reads, and how many rows every process fills.

    The union over processes is the batch, whatever `size` is; a process with fewer sequences fills up with masked rows.
    """
    return range(start + rank, stop, size), -(-(stop - start) // size)
