"""Reads token shards: any sequence of a phase or of a domain's held-out text by its number, with its documents.

Nothing is shuffled here: the order of the files is the order of training. Every file's size and every sidecar's runs
are checked before they are used.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from corpuskit.errors import InputError, UsageError

IGNORE = -100

MEND = "corpuskit verify ROOT --repair, then corpuskit run RECIPE --root ROOT makes it again"


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
    """One `.bin` and its sidecar; `sequences` of `seq_len` + 1 little-endian tokens.

    `checked`: whether it was compared with its digests, see `corpuskit.train.checked`.
    """

    def __init__(
        self, folder: Path, entry: dict[str, Any], index: dict[str, Any], digests: dict[str, str] | None = None
    ) -> None:
        self.path = folder / entry["file"]
        self.sidecar = folder / entry["sidecar"]
        self.sha256, self.sidecar_sha256 = ((digests or {}).get(entry[name]) for name in ("file", "sidecar"))
        self.checked = False
        self.sequences: int = entry["sequences"]
        self.length: int = entry.get("seq_len", index["seq_len"]) + 1
        self.vocab_size: int = index["vocab_size"]
        self.dtype = np.dtype("<u2" if index["dtype"] == "uint16" else "<i4")
        expected = self.sequences * self.length * self.dtype.itemsize
        found = self.path.stat().st_size if self.path.is_file() else None
        if found != expected:
            state = "does not exist" if found is None else f"holds {found:,} bytes"
            raise InputError(f"{self.path} {state}; index.json says {expected:,} bytes", "write the shards again")

    @cached_property
    def _descriptor(self) -> int:
        return os.open(self.path, os.O_RDONLY)

    @cached_property
    def _runs(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Start and end of every run, and where in these the runs of sequence i begin, int64 [sequences + 1]."""
        try:
            table = pq.read_table(self.sidecar, columns=["sequence", "start", "length"])
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

    def read(self, sequence: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Tokens int64 [seq_len + 1] and the number of the run that each belongs to, int32, 0 for padding."""
        size = self.length * self.dtype.itemsize
        raw = np.frombuffer(os.pread(self._descriptor, size, sequence * size), self.dtype)
        if len(raw) != self.length or int(raw.max()) >= self.vocab_size or int(raw.min()) < 0:
            raise InputError(
                f"{self.path}: sequence {sequence} is cut short or has tokens outside 0..{self.vocab_size - 1}"
            )
        documents = np.zeros(self.length, np.int32)
        start, end, bounds = self._runs
        for number, run in enumerate(range(bounds[sequence], bounds[sequence + 1]), 1):
            documents[start[run] : end[run]] = number
        return raw.astype(np.int64), documents


class Split:
    """Shard files of one length of sequences as one list of sequences, in the order of the files."""

    def __init__(self, files: list[ShardFile], seq_len: int, mask: str) -> None:
        self.files, self.seq_len, self.mask = files, seq_len, mask
        self.starts = np.cumsum([0] + [file.sequences for file in files])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def between(self, start: int, stop: int) -> list[ShardFile]:
        """The files that hold sequences [start, stop)."""
        first, last = (int(np.searchsorted(self.starts, place, side="right")) - 1 for place in (start, stop - 1))
        return self.files[first : last + 1]

    def batch(self, sequences: Sequence[int], rows: int) -> Batch:
        """Read these sequences, padded with masked rows to `rows`.

        A target carries loss if it and its input belong to a document, and, under document masks, to the same one: the
        first token of a document has nothing to be predicted from.
        """
        tokens = np.zeros((rows, self.seq_len + 1), np.int64)
        documents = np.zeros((rows, self.seq_len + 1), np.int32)
        for row, sequence in enumerate(sequences):
            at = int(np.searchsorted(self.starts, sequence, side="right")) - 1
            tokens[row], documents[row] = self.files[at].read(sequence - int(self.starts[at]))
        before, after = documents[:, :-1], documents[:, 1:]
        valid = (before > 0) & (after == before if self.mask == "document" else after > 0)
        targets = np.where(valid, tokens[:, 1:], IGNORE)
        return Batch(*(torch.from_numpy(np.ascontiguousarray(part)) for part in (tokens[:, :-1], targets, before)))


class Shards:
    """A folder of shards: `train`, one split for every phase; `validation`, one for every domain, with its `bytes`.

    `seq_len` is that of validation, and of the longest phase; `bytes` are those of the text in UTF-8.
    """

    def __init__(self, folder: Path, mask: str) -> None:
        path = folder / "index.json"
        digests = _digests(folder)
        try:
            content = path.read_bytes()
            index = json.loads(content)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}", "`shards` is the folder that `mix` wrote") from None
        except ValueError as error:
            raise InputError(f"{path}: not JSON: {error}", "write the shards again") from None
        if digests and digests.get(path.name) != hashlib.sha256(content).hexdigest():
            raise InputError(f"{path} is damaged: its SHA-256 is not the one in _manifest.json", MEND)
        wanted = {"format", "dtype", "seq_len", "vocab_size", "tokenizer", "train", "validation", "fingerprint"}
        if index.get("format") not in (1, 2) or index.get("dtype") not in ("uint16", "int32") or wanted - set(index):
            raise InputError(f"{path}: not an index of shards of format 1 or 2", "write the shards again")
        if not index["train"]:
            raise InputError(f"{path}: names no file to train on", "write the shards again")
        self.folder = folder
        self.seq_len: int = index["seq_len"]
        self.vocab_size: int = index["vocab_size"]
        self.tokenizer: str = index["tokenizer"]
        self.fingerprint: str = index["fingerprint"]
        phases = groupby(index["train"], lambda entry: (entry.get("phase", 0), entry.get("seq_len", self.seq_len)))
        self.train = [
            Split([ShardFile(folder, entry, index, digests) for entry in entries], seq_len, mask)
            for (_, seq_len), entries in phases
        ]
        held_out = sorted(index["validation"].items())
        self.validation = {
            name: Split([ShardFile(folder, entry, index, digests)], self.seq_len, mask) for name, entry in held_out
        }
        self.bytes: dict[str, int] = {name: entry["bytes"] for name, entry in held_out}


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file by its name, from the folder's manifest; nothing where there is none."""
    path = folder / "_manifest.json"
    try:
        return {name: entry["sha256"] for name, entry in json.loads(path.read_bytes())["files"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is damaged: {error!r}", "corpuskit verify ROOT --repair, then run the recipe"
        ) from None


def share(start: int, stop: int, rank: int, size: int) -> tuple[range, int]:
    """The sequences of the global batch [start, stop) that a process reads, and how many rows every process fills.

    The union over processes is the batch, whatever `size` is; a process with fewer sequences fills up with masked rows.
    """
    return range(start + rank, stop, size), -(-(stop - start) // size)
